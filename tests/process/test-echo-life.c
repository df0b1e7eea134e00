/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptd-echo as a worker and as a program, src/workers/acceptd-echo.c: what it says on its
 * channel, when and how it ends, and its command line.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "echo-fixture.h"

/* --- The end --- */

static void test_drain(void **state)
{
        struct fixture *f = *state;
        struct pollfd pollfd = { .fd = f->pidfd, .events = POLLIN };
        int clients[3];

        for (size_t i = 0; i < 3; i++)
                clients[i] = echo_connect(f, i == 0 ? ECHO_SEQPACKET : ECHO_STREAM);
        assert_int_equal(shutdown(f->channel, SHUT_WR), 0);
        for (size_t i = 0; i < 3; i++) {
                say(clients[i], "still", 5);
                expect_bytes(clients[i], "still", 5);
                assert_int_equal(poll(&pollfd, 1, 0), 0);
                fd_close(clients[i]);
                echo_expect_done(f, 1);
        }
        echo_expect_exit(f, 0);
}

/* The instance vanished: connections go on, and end the process with the last. */
static void test_instance_gone(void **state)
{
        struct fixture *f = *state;
        int fd = echo_connect(f, ECHO_STREAM);

        say(fd, "a", 1);
        expect_bytes(fd, "a", 1);
        f->channel = fd_close(f->channel);
        say(fd, "b", 1);
        expect_bytes(fd, "b", 1);
        fd_close(fd);
        echo_expect_exit(f, 0);
}

/* REPORTS U1: `systemctl kill -s USR1` asks for the counters, and reaches the workers, too. */
static void test_signals_that_are_meant_for_the_dispatcher(void **state)
{
        struct fixture *f = *state;
        int fd = echo_connect(f, ECHO_STREAM);

        assert_int_equal(kill(f->pid, SIGHUP), 0);
        assert_int_equal(kill(f->pid, SIGUSR1), 0);
        say(fd, "a", 1);
        expect_bytes(fd, "a", 1);
        fd_close(fd);
        echo_expect_done(f, 1);
        assert_int_equal(shutdown(f->channel, SHUT_WR), 0);
        echo_expect_exit(f, 0);
}

static void test_drain_at_once(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(shutdown(f->channel, SHUT_WR), 0);
        echo_expect_exit(f, 0);
}

static void test_sigterm(void **state)
{
        struct fixture *f = *state;
        siginfo_t info = { 0 };

        assert_int_equal(kill(f->pid, SIGTERM), 0);
        assert_int_equal(waitid(P_PID, (id_t)f->pid, &info, WEXITED), 0);
        f->pid = 0;
        assert_int_equal(info.si_code, CLD_KILLED);
        assert_int_equal(info.si_status, SIGTERM);
}

static void test_garbage_on_channel(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int fd = echo_connect(f, ECHO_STREAM);

        echo_ping(f);
        say(f->channel, "garbage", 7);
        echo_expect_exit(f, 76);
        expect_end(fd);
}

/* --- The channel --- */

static void test_ping_and_list_while_holding(void **state)
{
        enum { N = 100 };
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        int clients[N];
        size_t n, n_held = 0;

        for (size_t i = 0; i < N; i++)
                clients[i] = echo_connect(f, ECHO_STREAM);
        echo_ping(f);
        assert_int_equal(echo_count_fds(f, ECHO_FDS + N), ECHO_FDS + N);

        echo_ask(f, RECORD_LIST, 3);
        do {
                echo_hear(f, records, &n);
                for (size_t i = 0; i < n; i++)
                        n_held += records[i].type == RECORD_HELD;
        } while (records[n - 1].type != RECORD_PONG);
        assert_int_equal(n_held, N);

        for (size_t i = 0; i < N; i++)
                fd_close(clients[i]);
        echo_expect_done(f, N);
        assert_int_equal(echo_count_fds(f, ECHO_FDS), ECHO_FDS);
}

static void test_capacity(void **state)
{
        static const char *const options[] = { "--capacity=2", NULL };
        struct fixture *f = *state;

        echo_start(f, options, 2);
        for (int i = 0; i < 100; i++) {
                _cleanup_(fd_closep) int a = echo_connect(f, ECHO_STREAM);
                _cleanup_(fd_closep) int b = echo_connect(f, ECHO_STREAM);

                say(a, "a", 1);
                say(b, "b", 1);
                expect_bytes(b, "b", 1);
                expect_bytes(a, "a", 1);
                a = fd_close(a);
                b = fd_close(b);
                echo_expect_done(f, 2);
        }
}

/* While connections come quickly, several ends are told together; but all are told, whether nothing
 * happens afterwards or something all the time. */
static void test_done_in_a_crowd(void **state)
{
        struct fixture *f = *state;
        int held = echo_connect(f, ECHO_STREAM), clients[50];

        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                        clients[i] = echo_connect(f, ECHO_STREAM);
                        say(clients[i], "x", 1);
                }
                for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                        expect_bytes(clients[i], "x", 1);
                        fd_close(clients[i]);
                }
                for (int i = 0; round == 1 && i < 100; i++) {
                        say(held, "y", 1);
                        expect_bytes(held, "y", 1);
                }
                echo_expect_done(f, ELEMENTSOF(clients));
        }

        fd_close(held);
        echo_expect_done(f, 1);
}

/* --- The command line --- */

/* Runs it without a channel and returns what it said. */
static const char *run_alone(struct fixture *f, const char *option, int status)
{
        static char said[1024];
        const char *const options[] = { option, NULL };
        ssize_t n;
        int pipes[2];

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        f->pid = echo_spawn(options, -1, pipes[1]);
        fd_close(pipes[1]);
        echo_expect_exit(f, status);
        n = read(pipes[0], said, sizeof(said) - 1);
        assert_true(n >= 0);
        said[n] = '\0';
        fd_close(pipes[0]);
        return said;
}

static void test_bad_options(void **state)
{
        static const struct {
                const char *option, *words;
        } cases[] = {
                { "--capacity=0", "--capacity=0: allowed: a number from 1 to 1000000\n" },
                { "--capacity=1000001", "1 to 1000000\n" },
                { "--capacity=-1", "1 to 1000000\n" },
                { "--capacity=10x", "1 to 1000000\n" },
                { "--capacity=", "1 to 1000000\n" },
                { "--capacity", "--capacity=N" },
                { "--idle-timeout=soon", "--idle-timeout=soon: allowed: a time above 0" },
                { "--idle-timeout=0", "a time above 0" },
                { "--frobnicate", "--frobnicate: allowed: --capacity=N, --idle-timeout=TIME" },
                { "word", "word: allowed: --capacity=N" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *said = run_alone(f, cases[i].option, 64);

                assert_non_null(strstr(said, cases[i].words));
                assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
        }
}

static void test_without_channel(void **state)
{
        assert_non_null(strstr(run_alone(*state, NULL, 64), "run it from acceptd"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WORKER(test_drain),
                WORKER(test_instance_gone),
                WORKER(test_signals_that_are_meant_for_the_dispatcher),
                WORKER(test_drain_at_once),
                WORKER(test_sigterm),
                WORKER(test_garbage_on_channel),
                WORKER(test_ping_and_list_while_holding),
                PLAIN(test_capacity),
                WORKER(test_done_in_a_crowd),
                PLAIN(test_bad_options),
                PLAIN(test_without_channel),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
