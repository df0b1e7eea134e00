/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A call on the control socket whose answer comes later, or from somewhere else.
 */

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/control-methods.h"
#include "leaks.h"
#include "os/loop.h"
#include "varlink/client.h"
#include "varlink/interfaces.h"

#define LONG usec_add(usec_now(), 30 * USEC_PER_SEC)

static struct {
        char folder[40], path[80];
        struct loop loop;
        struct control *control;
        struct control_call *call; /* that waits */
} fixture;

static void on_reload(struct control_call *call, void *userdata)
{
        assert_ptr_equal(userdata, &fixture);
        assert_null(fixture.call);
        fixture.call = call;
}

static int make_socket(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 8), 0);

        return fd;
}

static int set_up(void **state)
{
        struct control_context context = {
                .loop = &fixture.loop,
                .run = control_run,
                .instance = "test",
                .reload = on_reload,
                .userdata = &fixture,
        };

        leaks_begin(state);
        memset(&fixture, 0, sizeof(fixture));
        strcpy(fixture.folder, "/tmp/acceptd-control-XXXXXX");
        assert_non_null(mkdtemp(fixture.folder));
        (void)snprintf(fixture.path, sizeof(fixture.path), "%s/io.acceptd.Pool", fixture.folder);
        assert_int_equal(loop_init(&fixture.loop, false), 0);
        fixture.control = control_open(&context, make_socket(fixture.path));
        assert_non_null(fixture.control);

        return 0;
}

static int tear_down(void **state)
{
        control_close(fixture.control);
        loop_deinit(&fixture.loop);
        assert_int_equal(unlink(fixture.path), 0); /* it is not the dispatcher's */
        assert_int_equal(rmdir(fixture.folder), 0);

        return leaks_end(state);
}

static void run_loop(void)
{
        int r;

        while ((r = sd_event_run(fixture.loop.event, 0)) > 0)
                ;
        assert_int_equal(r, 0);
}

static void put(struct varlink_stream *stream, const char *text)
{
        assert_int_equal(send(stream->fd, text, strlen(text) + 1, MSG_NOSIGNAL), strlen(text) + 1);
        run_loop();
}

/* Connects and calls Reload(), which waits then. */
static void call_reload(struct varlink_stream *stream)
{
        assert_int_equal(varlink_connect(fixture.path, LONG, stream), 0);
        put(stream, "{\"method\":\"io.acceptd.Pool.Reload\"}");
        assert_non_null(fixture.call);
}

/* Returns the reply that is there, or NULL. */
static json_t *receive(struct varlink_stream *stream)
{
        json_t *message = NULL;
        int r = varlink_stream_receive(stream, &message);

        assert_true(r == 0 || r == VARLINK_WAIT);
        return message;
}

static void expect(struct varlink_stream *stream, const char *text)
{
        json_auto_t *message = receive(stream), *wanted = json_loads(text, 0, NULL);

        assert_non_null(message);
        assert_true(json_equal(message, wanted));
}

static void test_answer_comes_later(void **state _unused_)
{
        struct varlink_stream stream;

        call_reload(&stream);
        run_loop();
        assert_null(receive(&stream));

        control_reply(fixture.call, json_pack("{s:i}", "n", 5));
        expect(&stream, "{\"parameters\":{\"n\":5}}");
        varlink_stream_done(&stream);
}

/* The next call of the same client waits for the answer to the one before. */
static void test_calls_are_answered_in_their_order(void **state _unused_)
{
        struct varlink_stream stream;

        call_reload(&stream);
        put(&stream, "{\"method\":\"a.B\"}");
        assert_null(receive(&stream));

        control_fail(fixture.call, "a.Failed", json_pack("{s:s}", "reason", "it rains"));
        run_loop();
        expect(&stream, "{\"error\":\"a.Failed\",\"parameters\":{\"reason\":\"it rains\"}}");
        expect(&stream, "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                        "\"parameters\":{\"interface\":\"a\"}}");
        varlink_stream_done(&stream);
}

static void test_other_clients_do_not_wait(void **state _unused_)
{
        struct varlink_stream stream, other;

        call_reload(&stream);
        assert_int_equal(varlink_connect(fixture.path, LONG, &other), 0);
        put(&other, "{\"method\":\"a.B\"}");
        json_decref(receive(&other));
        varlink_stream_done(&other);
        control_reply(fixture.call, json_object());
        varlink_stream_done(&stream);
}

static void test_caller_goes_away(void **state _unused_)
{
        struct varlink_stream stream;
        int before;

        run_loop();
        before = fd_count();
        call_reload(&stream);
        varlink_stream_done(&stream);
        run_loop();
        control_reply(fixture.call, json_object());
        run_loop();
        assert_int_equal(fd_count(), before);
}

/* No memory for the answer: the caller need not wait for it. */
static void test_no_answer(void **state _unused_)
{
        struct varlink_stream stream;
        json_t *message;

        call_reload(&stream);
        control_reply(fixture.call, NULL);
        assert_int_equal(varlink_stream_receive(&stream, &message), VARLINK_END);
        varlink_stream_done(&stream);
}

static void test_oneway(void **state _unused_)
{
        struct varlink_stream stream;

        assert_int_equal(varlink_connect(fixture.path, LONG, &stream), 0);
        put(&stream, "{\"method\":\"io.acceptd.Pool.Reload\",\"oneway\":true}");
        control_reply(fixture.call, json_object());
        assert_null(receive(&stream));
        put(&stream, "{\"method\":\"nix\",\"oneway\":true}");
        assert_null(receive(&stream));
        put(&stream, "{\"method\":\"org.varlink.service.GetInfo\"}");
        json_decref(receive(&stream));
        varlink_stream_done(&stream);
}

/* Somebody else answers, and what came behind the call is there for him. */
static void test_call_is_given_away(void **state _unused_)
{
        _cleanup_(fd_closep) int fd = -1;
        struct varlink_stream stream;
        char text[32];

        call_reload(&stream);
        put(&stream, "more");
        fd = control_take_fd(fixture.call);
        assert_true(fd >= 0);
        run_loop();
        assert_int_equal(recv(fd, text, sizeof(text), 0), 5);
        assert_string_equal(text, "more");
        assert_int_equal(send(fd, "{}", 3, 0), 3);
        expect(&stream, "{}");
        varlink_stream_done(&stream);
}

static void test_closed_meanwhile(void **state _unused_)
{
        struct varlink_stream stream;
        json_t *message;

        call_reload(&stream);
        control_close(fixture.control);
        fixture.control = NULL;
        assert_int_equal(varlink_stream_receive(&stream, &message), VARLINK_END);
        varlink_stream_done(&stream);
}

#define CONTROL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                CONTROL_TEST(test_answer_comes_later),
                CONTROL_TEST(test_calls_are_answered_in_their_order),
                CONTROL_TEST(test_other_clients_do_not_wait),
                CONTROL_TEST(test_caller_goes_away),
                CONTROL_TEST(test_no_answer),
                CONTROL_TEST(test_oneway),
                CONTROL_TEST(test_call_is_given_away),
                CONTROL_TEST(test_closed_meanwhile),
        };

        if (geteuid() != 0) {
                printf("1..0 # SKIP only root is answered\n");
                return 0;
        }

        return cmocka_run_group_tests(tests, NULL, NULL);
}
