/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Varlink messages over a real socket: what a peer can send, and what it can leave undone. What is
 * in them is tested in test-varlink-message.c.
 */

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "leaks.h"
#include "varlink/client.h"
#include "varlink/message.h"

/* The stream under test, and the peer as a plain socket. */
struct ends {
        struct varlink_stream stream;
        int peer;
};

static struct ends open_ends(void)
{
        struct ends ends = { .stream = VARLINK_STREAM_NULL };
        int pair[2];

        open_pair(SOCK_STREAM, pair);
        varlink_stream_init(&ends.stream, pair[0], VARLINK_CALL_MAX);
        ends.peer = pair[1];

        return ends;
}

static void close_ends(struct ends *ends)
{
        varlink_stream_done(&ends->stream);
        ends->peer = fd_close(ends->peer);
}

static void put(int fd, const void *data, size_t size)
{
        assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

#define PUT(fd, text) put(fd, text, sizeof(text)) /* with the zero byte at its end */

/* Receives a message that is there, and returns its member "n". */
static json_int_t receive_n(struct varlink_stream *stream)
{
        json_auto_t *message = NULL;

        assert_int_equal(varlink_stream_receive(stream, &message), 0);
        return json_integer_value(json_object_get(message, "n"));
}

/* --- Framing --- */

static void test_byte_by_byte(void **state _unused_)
{
        static const char text[] = "{\"n\": 7, \"text\": \"zero \\\\u0000 byte\"}";
        struct ends ends = open_ends();
        json_t *message;

        for (size_t i = 0; i + 1 < sizeof(text); i++) {
                put(ends.peer, &text[i], 1);
                assert_int_equal(varlink_stream_receive(&ends.stream, &message), VARLINK_WAIT);
                assert_int_equal(varlink_stream_receive(&ends.stream, &message), VARLINK_WAIT);
        }
        put(ends.peer, "", 1);
        assert_int_equal(receive_n(&ends.stream), 7);
        close_ends(&ends);
}

/* What follows a message stays in the socket, for whoever has that then. */
static void test_messages_behind_each_other(void **state _unused_)
{
        struct ends ends = open_ends();
        int queued = 0, fd;

        PUT(ends.peer, "{\"n\":1}\0{\"n\":2}\0{\"n\":3}");
        assert_int_equal(receive_n(&ends.stream), 1);
        assert_int_equal(ioctl(ends.stream.fd, FIONREAD, &queued), 0);
        assert_int_equal(queued, 16);

        assert_int_equal(receive_n(&ends.stream), 2);
        fd = varlink_stream_take_fd(&ends.stream);
        assert_int_equal(ends.stream.fd, -1);
        varlink_stream_init(&ends.stream, fd, VARLINK_CALL_MAX);
        assert_int_equal(receive_n(&ends.stream), 3);
        close_ends(&ends);
}

static void test_end_of_the_peer(void **state _unused_)
{
        struct ends ends = open_ends();
        json_auto_t *object = json_object();
        json_t *message;

        PUT(ends.peer, "{\"n\":1}");
        put(ends.peer, "{\"n\"", 4);
        ends.peer = fd_close(ends.peer);
        assert_int_equal(receive_n(&ends.stream), 1);
        assert_int_equal(varlink_stream_receive(&ends.stream, &message), VARLINK_WAIT);
        assert_int_equal(varlink_stream_receive(&ends.stream, &message), VARLINK_END);
        assert_int_equal(varlink_stream_send(&ends.stream, object), VARLINK_END);
        close_ends(&ends);
}

static void test_malformed(void **state _unused_)
{
        static const struct {
                const char *text;
                size_t size;
        } cases[] = {
#define CASE(text) { text, sizeof(text) }
                CASE(""),
                CASE("{"),
                CASE("x"),
                CASE("[1]"),
                CASE("null"),
                CASE("\"text\""),
                CASE("{} {}"),
                CASE("{\"a\":1,}"),
                CASE("{\"a\":1, \"a\":2}"),
                CASE("{\"a\":\"\\u0000\"}"),
                CASE("{\"\\u0000\":1}"),
                CASE("{\"a\":\"\xff\xfe\"}"),
                CASE("{\"a\":\"\xc0\x80\"}"),
                CASE("{\"a\":99999999999999999999}"),
                CASE("{\"a\":NaN}"),
#undef CASE
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct ends ends = open_ends();
                json_t *message;

                put(ends.peer, cases[i].text, cases[i].size);
                if (varlink_stream_receive(&ends.stream, &message) != VARLINK_MALFORMED)
                        fail_msg("case %zu is accepted: %s", i, cases[i].text);
                close_ends(&ends);
        }
}

/* Fills the socket from the other end as far as it goes, and reads. Returns the first result but
 * VARLINK_WAIT, and how much the stream kept at most. */
static int flood(struct ends *ends, const char *text, size_t *ret_most)
{
        json_t *message;
        int r;

        assert_int_equal(fd_set_nonblock(ends->peer), 0);
        *ret_most = 0;
        do {
                while (send(ends->peer, text, strlen(text), MSG_NOSIGNAL) > 0)
                        ;
                r = varlink_stream_receive(&ends->stream, &message);
                *ret_most = MAX(*ret_most, ends->stream.input_size);
        } while (r == VARLINK_WAIT);

        return r;
}

static void test_endless(void **state _unused_)
{
        static const char *const texts[] = { "x", "{\"a\":\"", "[[[[[[[[", "          " };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                struct ends ends = open_ends();
                size_t most;

                assert_int_equal(flood(&ends, texts[i], &most), VARLINK_MALFORMED);
                assert_true(most <= 2 * VARLINK_CALL_MAX);
                close_ends(&ends);
        }
}

/* Calls of just the size that is allowed, and one byte more. */
static void test_longest(void **state _unused_)
{
        for (size_t more = 0; more < 2; more++) {
                struct ends ends = open_ends();
                _cleanup_(freep) char *text = malloc(VARLINK_CALL_MAX + 2);
                json_t *message = NULL;
                int r;

                assert_non_null(text);
                memset(text, ' ', VARLINK_CALL_MAX + 2);
                text[0] = '{';
                text[VARLINK_CALL_MAX - 1 + more] = '}';
                text[VARLINK_CALL_MAX + more] = '\0';
                put(ends.peer, text, VARLINK_CALL_MAX + more + 1);

                do
                        r = varlink_stream_receive(&ends.stream, &message);
                while (r == VARLINK_WAIT);
                assert_int_equal(r, more == 0 ? 0 : VARLINK_MALFORMED);
                json_decref(message);
                close_ends(&ends);
        }
}

/* As deep as the longest call can be: no stack is that large. */
static void test_deep(void **state _unused_)
{
        struct ends ends = open_ends();
        _cleanup_(freep) char *text = malloc(VARLINK_CALL_MAX);
        json_t *message;
        int r;

        assert_non_null(text);
        memset(text, '[', VARLINK_CALL_MAX);
        memcpy(text, "{\"a\":", 5);
        text[VARLINK_CALL_MAX - 1] = '\0';
        put(ends.peer, text, VARLINK_CALL_MAX);

        do
                r = varlink_stream_receive(&ends.stream, &message);
        while (r == VARLINK_WAIT);
        assert_int_equal(r, VARLINK_MALFORMED);
        close_ends(&ends);
}

/* A descriptor that comes along is for nobody, and stays nowhere: leaks_end() counts. */
static void test_descriptor(void **state _unused_)
{
        struct ends ends = open_ends();
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(sizeof(int))];
        } control = {
                .header = {
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                },
        };
        char text[] = "{\"n\":5}";
        struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        int before;

        memcpy(CMSG_DATA(&control.header), &ends.peer, sizeof(int));
        assert_int_equal(sendmsg(ends.peer, &message, MSG_NOSIGNAL), sizeof(text));
        before = fd_count();
        assert_int_equal(receive_n(&ends.stream), 5);
        assert_int_equal(fd_count(), before);
        close_ends(&ends);
}

static void test_peer_that_never_reads(void **state _unused_)
{
        struct ends ends = open_ends();
        json_auto_t *message = json_object();
        _cleanup_(freep) char *text = calloc(1, 1 << 20);
        char piece[65536];
        size_t total = 0;
        ssize_t n;
        int r;

        assert_non_null(text);
        memset(text, 'x', (1 << 20) - 1);
        json_object_set_new(message, "text", json_string(text));
        assert_int_equal(varlink_stream_send(&ends.stream, message), VARLINK_WAIT);
        assert_true(varlink_stream_has_output(&ends.stream));
        assert_int_equal(varlink_stream_flush(&ends.stream), VARLINK_WAIT);

        /* now it does */
        do {
                r = varlink_stream_flush(&ends.stream);
                while ((n = recv(ends.peer, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
                        total += (size_t)n;
        } while (r == VARLINK_WAIT);
        assert_int_equal(r, 0);
        assert_false(varlink_stream_has_output(&ends.stream));
        assert_int_equal(total, strlen("{\"text\":\"\"}") + (1 << 20) - 1 + 1);
        assert_int_equal(varlink_stream_flush(&ends.stream), 0);
        close_ends(&ends);
}

/* --- The calling end --- */

#define SHORTLY usec_add(usec_now(), 50 * USEC_PER_MSEC)
#define LONG    usec_add(usec_now(), 30 * USEC_PER_SEC)

/* Calls where this is what the peer has said before. */
static int call_answered(const char *answer, size_t size, bool hang_up, usec_t deadline)
{
        struct ends ends = open_ends();
        json_auto_t *reply = NULL;
        int r;

        put(ends.peer, answer, size);
        if (hang_up)
                assert_int_equal(shutdown(ends.peer, SHUT_WR), 0);
        r = varlink_call(&ends.stream, "a.B", json_object(), deadline, &reply);
        close_ends(&ends);

        return r;
}

static void test_answers(void **state _unused_)
{
        assert_int_equal(call_answered("{}", 3, false, LONG), 0);
        assert_int_equal(call_answered("{", 2, false, LONG), -EBADMSG);
        assert_int_equal(call_answered("{", 1, true, LONG), -ECONNRESET);
        assert_int_equal(call_answered("", 0, true, LONG), -ECONNRESET);
        assert_int_equal(call_answered("{", 1, false, SHORTLY), -ETIMEDOUT);
        assert_int_equal(call_answered("", 0, false, SHORTLY), -ETIMEDOUT);
}

static int answer_without_end(void)
{
        static char piece[65536];
        struct varlink_stream stream;
        json_t *reply = NULL;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return 10;
        memset(piece, ' ', sizeof(piece));
        if (fork() == 0) {
                close(pair[0]);
                while (send(pair[1], piece, sizeof(piece), MSG_NOSIGNAL) > 0)
                        ;
                _exit(0);
        }

        close(pair[1]);
        varlink_stream_init(&stream, pair[0], VARLINK_REPLY_MAX);
        r = varlink_call(&stream, "a.B", json_object(), LONG, &reply);
        varlink_stream_done(&stream);
        (void)wait(NULL);

        return r == -EBADMSG ? 0 : 11;
}

static void test_endless_answer(void **state _unused_)
{
        assert_int_equal(run_in_child(answer_without_end), 0);
}

/* A service that is there and does not get to its clients. */
static void test_connecting(void **state _unused_)
{
        char folder[] = "/tmp/acceptd-varlink-XXXXXX", path[64], longer[200] = "/";
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct varlink_stream streams[3];
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_non_null(mkdtemp(folder));
        (void)snprintf(path, sizeof(path), "%s/socket", folder);
        assert_int_equal(varlink_connect(path, LONG, &streams[0]), -ENOENT);
        strcpy(address.sun_path, path);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(varlink_connect(path, LONG, &streams[0]), -ECONNREFUSED);

        /* a backlog of 0 has room for one */
        assert_int_equal(listen(fd, 0), 0);
        assert_int_equal(varlink_connect(path, LONG, &streams[0]), 0);
        assert_int_equal(varlink_connect(path, SHORTLY, &streams[1]), -ETIMEDOUT);
        varlink_stream_done(&streams[0]);

        memset(longer + 1, 'x', sizeof(longer) - 2);
        assert_int_equal(varlink_connect(longer, LONG, &streams[2]), -ENAMETOOLONG);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_byte_by_byte),
                WITHOUT_LEAKS(test_messages_behind_each_other),
                WITHOUT_LEAKS(test_end_of_the_peer),
                WITHOUT_LEAKS(test_malformed),
                WITHOUT_LEAKS(test_endless),
                WITHOUT_LEAKS(test_longest),
                WITHOUT_LEAKS(test_deep),
                WITHOUT_LEAKS(test_descriptor),
                WITHOUT_LEAKS(test_peer_that_never_reads),
                WITHOUT_LEAKS(test_answers),
                WITHOUT_LEAKS(test_endless_answer),
                WITHOUT_LEAKS(test_connecting),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
