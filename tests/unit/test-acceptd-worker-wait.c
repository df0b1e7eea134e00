/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* acceptd_worker_wait() of src/libacceptd/acceptd-worker.c, for workers without an event loop. */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "base/fd.h"
#include "worker-fixture.h"

/* REPORTS U1: they are meant for the dispatcher, and what a program does with them stays so. */
static void test_signals_do_not_end_it(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        struct sigaction action;

        (void)signal(SIGHUP, SIG_DFL);
        (void)signal(SIGUSR1, SIG_IGN);
        be_ready(f, 1);
        hand_over(f, 3);
        assert_int_equal(
                acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), ACCEPTD_CONNECTION);
        assert_int_equal(raise(SIGHUP), 0);
        assert_int_equal(sigaction(SIGUSR1, NULL, &action), 0);
        assert_true(action.sa_handler == SIG_IGN);
        (void)signal(SIGHUP, SIG_DFL);
        (void)signal(SIGUSR1, SIG_DFL);
        fd_close(c.fd);
        finish_range(f, 3, 3);
}

static void test_wait(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        struct acceptd_connection c;
        int pair[2];

        be_ready(f, 1);
        assert_int_equal(
                socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        ask(f, RECORD_PING, 1);
        hand_over_fd(f, 3, pair[0]);
        fd_close(pair[0]);
        fd_close(pair[1]);

        assert_int_equal(
                acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), ACCEPTD_CONNECTION);
        assert_int_equal(c.id, 3);
        assert_int_equal(fcntl(c.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        fd_close(c.fd);
        expect_one(f, RECORD_PONG, 1);

        finish_range(f, 3, 3);
        expect_end(f, RECORD_DONE, 3);
        hand_over(f, 4);
        assert_int_equal(
                acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), ACCEPTD_CONNECTION);
        fd_close(c.fd);

        finish_range(f, 4, 4);
        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
        assert_int_equal(
                acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), ACCEPTD_DRAIN);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 4);
        assert_true(acceptd_worker_is_finished(f->worker));
}

static void test_wait_violation(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        be_ready(f, 1);
        assert_int_equal(send(f->peer, "short", 5, 0), 5);
        assert_int_equal(acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), -EPROTO);
}

/* Counts DONEs until there are 1000. */
static void *count_done(void *argument)
{
        const struct fixture *f = argument;
        struct record records[RECORD_BATCH_MAX];
        uintptr_t n_done = 0;

        while (n_done < 1000) {
                ssize_t n = recv(f->peer, records, sizeof(records), 0);

                if (n <= 0)
                        break;
                n_done += (size_t)n / sizeof(*records);
        }

        return (void *)n_done;
}

static void test_wait_with_full_channel(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        pthread_t thread;
        void *n_done;

        fill_channel(f, 1000);
        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
        assert_int_equal(pthread_create(&thread, NULL, count_done, f), 0);
        assert_int_equal(
                acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), ACCEPTD_DRAIN);
        assert_int_equal(pthread_join(thread, &n_done), 0);
        assert_int_equal((uintptr_t)n_done, 1000);
}

/* A channel that somebody made non-blocking must not turn waiting into spinning or failing. */
static void test_wait_on_nonblocking_channel(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        be_ready(f, 1);
        assert_int_equal(fd_set_nonblock(f->channel), 0);
        hand_over(f, 1);
        assert_int_equal(
                acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), ACCEPTD_CONNECTION);
        fd_close(c.fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_WORKER(test_signals_do_not_end_it),
                WITH_WORKER(test_wait),
                WITH_WORKER(test_wait_violation),
                WITH_WORKER(test_wait_with_full_channel),
                WITH_WORKER(test_wait_on_nonblocking_channel),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
