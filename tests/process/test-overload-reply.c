/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * OverloadReply=: who is refused gets to read it, whatever it has sent or is sending, and however
 * many there are.
 */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adoption.h"
#include "base/fd.h"
#include "ctl.h"
#include "procfs.h"

#define BUSY "HTTP/1.1 503 busy\r\nConnection: close\r\n\r\n"

static char option[160];

static void write_reply(const struct harness *h, const char *text)
{
        char path[128];
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/reply", h->dir);
        (void)snprintf(option, sizeof(option), "OverloadReply=%s", path);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static void start(struct harness *h)
{
        harness_start(h, .options = WORDS("Workers=1", "MaxConnectionsPerSource=1", option),
                .stub = WORDS("--serve=obey", "--capacity=1000"), .store = ADOPTION_STORE);
        harness_await_ready(h);
}

/* One client is served, and all others are refused. */
static void begin(struct harness *h, enum listener_kind kind, struct client *ret_served)
{
        (void)listener_add(h, kind, "main");
        write_reply(h, BUSY);
        start(h);
        client_open_served(h, ret_served, 0);
}

static void expect_reply(struct harness *h, struct client *client, const char *expected)
{
        _cleanup_(freep) char *text = client_await_all(h, client);

        assert_string_equal(text, expected);
}

static void check_kind(struct harness *h, enum listener_kind kind)
{
        struct client served, refused;

        begin(h, kind, &served);
        for (int i = 0; i < 5; i++) {
                client_open(h, &refused, 0);
                if (i % 2 == 1)
                        (void)send(refused.fd, "GET /", 5, MSG_NOSIGNAL);
                expect_reply(h, &refused, BUSY);
        }
        client_finish(h, &served);
        assert_int_equal(harness_await_counter(h, done, 1).refused, 5);
        harness_stop(h);
}

static void test_tcp(void **state)
{
        check_kind(*state, LISTENER_TCP4);
}

static void test_unix(void **state)
{
        check_kind(*state, LISTENER_UNIX);
}

static void test_seqpacket(void **state)
{
        check_kind(*state, LISTENER_SEQPACKET);
}

#define SENT (64 * 1024)

/* Returns how many bytes were sent; it may have been closed in between. */
static size_t send_much(struct harness *h, int fd)
{
        static char data[SENT];
        size_t sent = 0;

        while (sent < SENT) {
                ssize_t n = send(fd, data + sent, SENT - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno != EAGAIN)
                        break;
                if (n < 0)
                        (void)harness_wait(h, fd, POLLOUT);
                sent += n < 0 ? 0 : (size_t)n;
        }

        return sent;
}

static void test_who_has_sent_much_reads_it(void **state)
{
        struct harness *h = *state;
        struct client served, refused;

        begin(h, LISTENER_TCP4, &served);
        for (int i = 0; i < 1000; i++) {
                client_open(h, &refused, 0);
                assert_int_equal(send_much(h, refused.fd), SENT);
                expect_reply(h, &refused, BUSY);
        }
        client_finish(h, &served);
        assert_int_equal(harness_await_counter(h, done, 1).refused, 1000);
        harness_stop(h);
}

static size_t count_descriptors(const struct harness *h)
{
        _cleanup_(freep) char *text = procfs_descriptors(h->pid);

        return procfs_lines(text);
}

/* Those that do not close after they were told are closed; and more than so many are at once. */
static void test_who_stays_is_closed(void **state)
{
        struct harness *h = *state;
        struct client served, refused[150];
        usec_t deadline;
        size_t before, now;

        begin(h, LISTENER_TCP4, &served);
        before = count_descriptors(h);
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                client_open(h, &refused[i], 0);
        assert_int_equal(harness_await_counter(h, refused, ELEMENTSOF(refused)).open, 1);
        now = count_descriptors(h);
        if (now > before + 64 + 2) /* they linger; a timer, and what the test has it open */
                fail_msg("%zu descriptors, %zu before", now, before);

        deadline = usec_now() + HARNESS_DEADLINE;
        while (count_descriptors(h) > before + 1) {
                assert_true(usec_now() < deadline);
                (void)harness_wait(h, -1, 0);
                (void)poll(NULL, 0, 20);
        }
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                expect_reply(h, &refused[i], BUSY);
        client_finish(h, &served);
        harness_stop(h);
}

/* Who goes on sending does not keep its place. */
static void test_who_never_stops_sending_is_closed(void **state)
{
        struct harness *h = *state;
        usec_t deadline = usec_now() + HARNESS_DEADLINE;
        struct client served, refused;

        begin(h, LISTENER_TCP4, &served);
        client_open(h, &refused, 0);
        while (send_much(h, refused.fd) == SENT)
                assert_true(usec_now() < deadline);
        client_close(&refused);
        client_finish(h, &served);
        harness_stop(h);
}

static void test_stop_while_some_linger(void **state)
{
        struct harness *h = *state;
        struct client served, refused[3];

        begin(h, LISTENER_TCP4, &served);
        for (size_t i = 0; i < 3; i++)
                client_open(h, &refused[i], 0);
        (void)harness_await_counter(h, refused, 3);
        client_finish(h, &served);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_notify(h, "STOPPING=1");
        for (size_t i = 0; i < 3; i++)
                client_close(&refused[i]);
        harness_expect_exit(h, 0);
}

/* --- In force --- */

static void expect_refusal(struct harness *h, const char *text)
{
        struct client refused;

        client_open(h, &refused, 0);
        expect_reply(h, &refused, text);
}

static void test_it_is_kept_with_the_settings_in_force(void **state)
{
        struct harness *h = *state;
        struct client served;

        begin(h, LISTENER_TCP4, &served);
        write_reply(h, "edited\n");
        expect_refusal(h, BUSY);
        harness_crash(h);
        start(h);
        expect_refusal(h, BUSY);

        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_notify(h, "RELOADING=1");
        harness_await_notify(h, "READY=1");
        harness_await_line(h, "Settings that changed: OverloadReply=");
        expect_refusal(h, "edited\n");
        client_finish(h, &served);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

static void test_file_that_is_not_there(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "OverloadReply=/nowhere/at/all"));
        harness_await_line(h, "cannot open /nowhere/at/all: No such file");
        harness_expect_exit(h, 78);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_tcp),
                HARNESS_TEST(test_unix),
                HARNESS_TEST(test_seqpacket),
                HARNESS_TEST(test_who_has_sent_much_reads_it),
                HARNESS_TEST(test_who_stays_is_closed),
                HARNESS_TEST(test_who_never_stops_sending_is_closed),
                HARNESS_TEST(test_stop_while_some_linger),
                HARNESS_TEST(test_it_is_kept_with_the_settings_in_force),
                HARNESS_TEST(test_file_that_is_not_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
