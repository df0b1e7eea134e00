/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What acceptd-echo sends back, src/workers/acceptd-echo.c: streams, messages and their edges, and
 * when it closes a connection. Clients that do not read are in test-echo-slow.c, the channel and
 * the process in test-echo-life.c.
 */

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "echo-fixture.h"

static void echo_over(struct fixture *f, enum echo_listener listener)
{
        _cleanup_(fd_closep) int fd = echo_connect(f, listener);

        say(fd, "hello\r\n", 7);
        expect_bytes(fd, "hello\r\n", 7);
        say(fd, "again", 5);
        expect_bytes(fd, "again", 5);
        say(fd, "last", 4);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        expect_bytes(fd, "last", 4);
        expect_end(fd);
        echo_expect_done(f, 1);
}

static void test_stream(void **state)
{
        echo_over(*state, ECHO_STREAM);
}

static void test_seqpacket(void **state)
{
        echo_over(*state, ECHO_SEQPACKET);
}

static void test_tcp(void **state)
{
        echo_over(*state, ECHO_TCP);
}

/* What the client sent before the worker saw the connection, and its end with it. */
static void test_all_said_before(void **state)
{
        struct fixture *f = *state;

        for (enum echo_listener listener = ECHO_STREAM; listener <= ECHO_SEQPACKET; listener++) {
                int pair[2];

                echo_make_pair(listener, pair);
                say(pair[0], "early", 5);
                assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
                echo_hand_over(f, listener, pair[1]);
                fd_close(pair[1]);
                expect_bytes(pair[0], "early", 5);
                expect_end(pair[0]);
                fd_close(pair[0]);
                echo_expect_done(f, 1);
        }
}

static void test_client_gone_before(void **state)
{
        struct fixture *f = *state;

        for (enum echo_listener listener = ECHO_STREAM; listener <= ECHO_SEQPACKET; listener++) {
                int pair[2];

                echo_make_pair(listener, pair);
                fd_close(pair[0]);
                echo_hand_over(f, listener, pair[1]);
                fd_close(pair[1]);
                echo_expect_done(f, 1);
        }
}

/* Sends a message and expects it back in one piece. */
static void echo_message(int fd, size_t size)
{
        char *sent = malloc(size + 1), *got = malloc(size + 1);

        assert_non_null(sent);
        assert_non_null(got);
        for (size_t i = 0; i < size; i++)
                sent[i] = (char)(i * 7 + size);
        say(fd, sent, size);
        assert_int_equal(recv(fd, got, size + 1, 0), (ssize_t)size);
        assert_memory_equal(sent, got, size);
        free(sent);
        free(got);
}

static void test_message_edges(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int fd = echo_connect(f, ECHO_SEQPACKET);
        char got[16];

        say(fd, "one", 3);
        say(fd, "three", 5);
        say(fd, "", 0);
        say(fd, "!", 1);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 3);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 5);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 1);
        echo_message(fd, 65535);
        echo_message(fd, 65536);
        echo_message(fd, 65537);
        echo_message(fd, 200000);
        /* an empty message, more behind it, and the end, all at once */
        say(fd, "", 0);
        say(fd, "end", 3);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 3);
        expect_end(fd);
        echo_expect_done(f, 1);
}

/* Larger than the send buffer that the worker's end was born with. */
static void test_message_beyond_send_buffer(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int fd = echo_connect(f, ECHO_SEQPACKET);
        int wanted = 300000, got = 0;
        socklen_t length = sizeof(got);

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted)), 0);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &got, &length), 0);
        echo_message(fd, MIN((size_t)got - 1024, 500000UL));
}

static void test_idle_timeout(void **state)
{
        static const char *const options[] = { "--idle-timeout=500ms", NULL };
        struct fixture *f = *state;
        _cleanup_(fd_closep) int idle = -1, active = -1;
        struct pollfd pollfd;

        echo_start(f, options, ECHO_CAPACITY);
        active = echo_connect(f, ECHO_STREAM);
        idle = echo_connect(f, ECHO_STREAM);
        say(idle, "x", 1);
        expect_bytes(idle, "x", 1);
        pollfd = (struct pollfd){ .fd = idle, .events = POLLIN };
        do { /* older, and yet it stays */
                say(active, "y", 1);
                expect_bytes(active, "y", 1);
        } while (poll(&pollfd, 1, 1) == 0);
        expect_end(idle);
        echo_expect_done(f, 1);
        say(active, "z", 1);
        expect_bytes(active, "z", 1);
        expect_end(active);
        echo_expect_done(f, 1);
}

/* Somebody else keeps a copy of a connection that the worker has closed: epoll goes on to report
 * it, and the worker must neither fail nor take it for another connection. */
static void test_copy_kept_open(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int other = -1;
        int pair[2];

        echo_make_pair(ECHO_STREAM, pair);
        echo_hand_over(f, ECHO_STREAM, pair[1]);
        say(pair[0], "x", 1);
        expect_bytes(pair[0], "x", 1);
        assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
        echo_expect_done(f, 1);

        other = echo_connect(f, ECHO_STREAM);
        echo_ping(f);
        fd_close(pair[0]); /* an event for nobody */
        say(other, "y", 1);
        expect_bytes(other, "y", 1);
        fd_close(pair[1]);
        echo_ping(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WORKER(test_stream),
                WORKER(test_seqpacket),
                WORKER(test_tcp),
                WORKER(test_all_said_before),
                WORKER(test_client_gone_before),
                WORKER(test_message_edges),
                WORKER(test_message_beyond_send_buffer),
                PLAIN(test_idle_timeout),
                WORKER(test_copy_kept_open),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
