/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How programs use a worker of src/libacceptd, rightly and by mistake: loops of both kinds,
 * threads, forks, flags, structures of other versions.
 */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"
#include "worker-fixture.h"

#define DEADLINE_MSEC 30000

/* --- Loops --- */

static int watch(const struct fixture *f, uint32_t events)
{
        struct epoll_event event = { .events = events };
        int epoll = epoll_create1(EPOLL_CLOEXEC);

        assert_true(epoll >= 0);
        assert_int_equal(
                epoll_ctl(epoll, EPOLL_CTL_ADD, acceptd_worker_get_fd(f->worker), &event), 0);
        return epoll;
}

static int count_wakes(int epoll, int timeout)
{
        struct epoll_event event;

        return epoll_wait(epoll, &event, 1, timeout);
}

/* An edge too many is no harm, if it is followed by none. */
static void assert_settles(const struct fixture *f, int epoll)
{
        struct acceptd_connection c;

        if (count_wakes(epoll, 0) == 1)
                assert_int_not_equal(
                        acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_CONNECTION);
        assert_int_equal(count_wakes(epoll, 0), 0);
}

/* Each of them has to be an edge, also behind a crowd of questions, of which one call takes some.
 */
static void test_edges(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int epoll = watch(f, EPOLLIN | EPOLLET);
        struct acceptd_connection c;

        assert_int_equal(count_wakes(epoll, 0), 0);
        be_ready(f, 10);
        for (uint64_t id = 1; id <= 3; id++) {
                hand_over(f, id);
                assert_int_equal(count_wakes(epoll, DEADLINE_MSEC), 1);
                fd_close(receive_one(f).fd);
                receive_nothing(f);
                assert_settles(f, epoll);
        }

        for (uint32_t i = 0; i < 100; i++)
                ask(f, RECORD_PING, i);
        hand_over(f, 4);
        assert_int_equal(count_wakes(epoll, DEADLINE_MSEC), 1);
        receive_nothing(f);
        assert_int_equal(count_wakes(epoll, DEADLINE_MSEC), 1);
        {
                struct acceptd_connection c4 = receive_one(f);

                assert_int_equal(c4.id, 4);
                fd_close(c4.fd);
        }
        for (uint32_t i = 0; i < 100; i++)
                expect_one(f, RECORD_PONG, i);

        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
        assert_int_equal(count_wakes(epoll, DEADLINE_MSEC), 1);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_DRAIN);
        assert_settles(f, epoll);
        finish_range(f, 1, 4);
        assert_int_equal(count_wakes(epoll, DEADLINE_MSEC), 1);
        assert_true(acceptd_worker_is_finished(f->worker));
}

/* Room for what waits is an edge as well. */
static void test_edge_of_room(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        _cleanup_(fd_closep) int epoll = watch(f, EPOLLIN | EPOLLET);
        size_t n_done = 0;

        fill_channel(f, 1000);
        while (count_wakes(epoll, 0) > 0)
                receive_nothing(f);
        while (n_done < 1000) {
                size_t n = try_hear(f, records);

                n_done += n;
                if (n == 0) {
                        assert_int_equal(count_wakes(epoll, DEADLINE_MSEC), 1);
                        receive_nothing(f);
                }
        }
        assert_false(wakes(f));
}

/* 1,000 connections that come and stay cost nothing after the drain. */
static void test_drained_loop_sleeps(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        _cleanup_(fd_closep) int level = watch(f, EPOLLIN);

        be_ready(f, 1000);
        hold_range(f, 1, 1000);
        assert_int_equal(shutdown(f->peer, SHUT_RDWR), 0);
        while (acceptd_worker_receive(f->worker, &c, sizeof(c)) != ACCEPTD_DRAIN)
                ;
        assert_int_equal(count_wakes(level, 0), 0);
        f->peer = fd_close(f->peer); /* a hang-up cannot be masked */
        assert_int_equal(count_wakes(level, 0), 0);
        finish_range(f, 1, 1000);
        assert_int_equal(count_wakes(level, DEADLINE_MSEC), 1);
        assert_true(acceptd_worker_is_finished(f->worker));
}

static void test_not_receiving(void **state)
{
        struct fixture *f = *state;

        be_ready(f, 2);
        hold_range(f, 1, 1);
        assert_int_equal(acceptd_worker_set_receiving(f->worker, 0), 0);
        hand_over(f, 2);
        assert_false(wakes(f));
        receive_nothing(f);
        finish_range(f, 1, 1);
        expect_end(f, RECORD_DONE, 1);
        assert_int_equal(acceptd_worker_set_receiving(f->worker, 1), 0);
        assert_true(wakes(f));
        fd_close(receive_one(f).fd);
}

/* --- Threads --- */

enum { N_THREADS = 8, N_EACH = 2000 };

struct team {
        struct fixture *f;
        uint64_t begun;
};

static void *finish_many(void *argument)
{
        struct team *team = argument;
        uintptr_t n = 0;

        for (uint64_t i; (i = __atomic_fetch_add(&team->begun, 1, __ATOMIC_RELAXED)) <
                         (uint64_t)N_THREADS * N_EACH;)
                n += acceptd_worker_done(team->f->worker, i + 1) == 0;

        return (void *)n;
}

static void *hear_many(void *argument)
{
        struct fixture *f = argument;
        struct record records[RECORD_BATCH_MAX];
        uintptr_t n_done = 0;

        while (n_done < (uintptr_t)N_THREADS * N_EACH) {
                ssize_t n = recv(f->peer, records, sizeof(records), 0);

                if (n <= 0)
                        break;
                n_done += (size_t)n / sizeof(*records);
        }
        (void)shutdown(f->peer, SHUT_WR);

        return (void *)n_done;
}

/* A worker's capacity is cut to what its limit leaves. */
static void allow_descriptors(rlim_t n)
{
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_max < n)
                skip();
        limit.rlim_cur = MAX(limit.rlim_cur, n);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Each serving thread says done, while another one waits. */
static void test_done_from_threads(void **state)
{
        struct fixture *f = *state;
        struct team team = { .f = f };
        pthread_t threads[N_THREADS], hearer;
        struct acceptd_connection c;
        uintptr_t n = 0;
        void *result;

        allow_descriptors(N_THREADS * N_EACH + 100);
        be_ready(f, N_THREADS * N_EACH);
        hold_range(f, 1, N_THREADS * N_EACH);
        assert_int_equal(pthread_create(&hearer, NULL, hear_many, f), 0);
        for (size_t i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, finish_many, &team), 0);
        assert_int_equal(
                acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), ACCEPTD_DRAIN);
        for (size_t i = 0; i < N_THREADS; i++) {
                assert_int_equal(pthread_join(threads[i], &result), 0);
                n += (uintptr_t)result;
        }
        assert_int_equal(pthread_join(hearer, &result), 0);
        assert_int_equal(n, N_THREADS * N_EACH);
        assert_int_equal((uintptr_t)result, N_THREADS * N_EACH);
        assert_true(acceptd_worker_is_finished(f->worker));
}

/* --- Waiting --- */

static void test_wait_has_a_time_out(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        usec_t before = usec_now();

        be_ready(f, 1);
        assert_int_equal(acceptd_worker_wait(f->worker, &c, sizeof(c), 20000), ACCEPTD_NOTHING);
        assert_in_range(usec_now() - before, 20000, DEADLINE_MSEC * USEC_PER_MSEC);
        assert_int_equal(acceptd_worker_wait(f->worker, &c, sizeof(c), 0), ACCEPTD_NOTHING);
}

static int stopped;

static void on_stop(int signal)
{
        __atomic_store_n(&stopped, signal, __ATOMIC_RELAXED);
}

/* Again and again, so that one of them comes while it waits. */
static void *signal_until_joined(void *argument)
{
        pthread_t *to = argument;
        struct timespec pause = { .tv_nsec = 1000000 };

        for (int i = 0; i < DEADLINE_MSEC && __atomic_load_n(&stopped, __ATOMIC_RELAXED) != SIGURG;
                i++) {
                (void)pthread_kill(*to, SIGUSR1);
                (void)pthread_kill(*to, SIGTERM);
                (void)nanosleep(&pause, NULL);
        }
        return NULL;
}

/* A handler that sets a flag was noticed with the next client only, and then came SIGKILL. */
static void test_wait_ends_with_a_signal(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        pthread_t self = pthread_self(), other;
        struct sigaction action = { .sa_handler = on_stop, .sa_flags = SA_RESTART }, before;

        be_ready(f, 1);
        (void)signal(SIGUSR1, SIG_DFL);
        /* sets its own handler for SIGUSR1, which ends nothing */
        assert_int_equal(acceptd_worker_wait(f->worker, &c, sizeof(c), 0), ACCEPTD_NOTHING);
        assert_int_equal(sigaction(SIGTERM, &action, &before), 0);
        assert_int_equal(pthread_create(&other, NULL, signal_until_joined, &self), 0);
        assert_int_equal(acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), -EINTR);
        assert_int_equal(__atomic_exchange_n(&stopped, SIGURG, __ATOMIC_RELAXED), SIGTERM);
        assert_int_equal(pthread_join(other, NULL), 0);
        assert_int_equal(sigaction(SIGTERM, &before, NULL), 0);
        (void)signal(SIGUSR1, SIG_DFL);
}

/* --- Forks --- */

static struct fixture *forked_from;

static int be_a_child(void)
{
        struct acceptd_worker *worker = forked_from->worker;
        struct acceptd_connection c;

        if (acceptd_worker_done(worker, 1) != -ECHILD ||
                acceptd_worker_ready(worker, 3) != -ECHILD ||
                acceptd_worker_failed(worker, 1, 0) != -ECHILD ||
                acceptd_worker_flush(worker) != -ECHILD ||
                acceptd_worker_set_receiving(worker, 0) != -ECHILD ||
                acceptd_worker_wait(worker, &c, sizeof(c), 0) != -ECHILD ||
                acceptd_worker_receive(worker, &c, sizeof(c)) != -ECHILD ||
                acceptd_worker_get_n_held(worker) != 0)
                return 1;
        acceptd_worker_free(worker);
        forked_from->worker = NULL;
        return 0;
}

/* The ends that were queued were said twice, and the worker was killed for that. */
static void test_child_says_nothing(void **state)
{
        struct fixture *f = *state;

        be_ready(f, 1000);
        hold_range(f, 1, 20);
        finish_range(f, 1, 3);
        forked_from = f;
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        while (try_hear(f, (struct record[RECORD_BATCH_MAX]){}) > 0)
                ;
        finish_range(f, 4, 5);
        assert_int_equal(run_in_child(be_a_child), 0);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);

        /* 4 and 5 once, whether together or not; and the parent goes on */
        for (unsigned n = 0; n < 2;) {
                struct record records[RECORD_BATCH_MAX];
                size_t heard = hear(f, records);

                for (size_t i = 0; i < heard; i++)
                        assert_record(&records[i], RECORD_DONE, 4 + n++);
        }
        assert_silent(f);
        hand_over(f, 21);
        assert_true(wakes(f));
        fd_close(receive_one(f).fd);
}

/* --- Mistakes that have a name --- */

static void assert_explained(const struct fixture *f, int error, const char *words)
{
        assert_non_null(strstr(acceptd_worker_explain(f->worker, error), words));
}

static void test_mistakes_are_explained(void **state)
{
        struct fixture *f = *state;
        struct acceptd_worker *second = NULL;
        struct acceptd_connection c;

        assert_int_equal(acceptd_worker_open(&second, 0), -EBUSY);
        assert_explained(f, -EBUSY, "already");
        assert_int_equal(acceptd_worker_ready(f->worker, 0), -EINVAL);
        assert_explained(f, -EINVAL, "pause");
        be_ready(f, 1);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c) - 1), -EINVAL);
        assert_explained(f, -EINVAL, "sizeof");
        hold_range(f, 1, 1);
        finish_range(f, 1, 1);
        assert_int_equal(acceptd_worker_done(f->worker, 1), -ENOENT);
        assert_explained(f, -ENOENT, "already");
        assert_explained(f, -ECHILD, "forked");
        assert_int_equal(acceptd_exit_status(-ENOENT), 71);
}

static void test_closed_channel_is_explained(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        be_ready(f, 1);
        assert_int_equal(close(f->channel), 0);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), -EBADF);
        assert_explained(f, -EBADF, "closed");
        f->channel = fcntl(f->peer, F_DUPFD_CLOEXEC, 0); /* the library closes it again */
}

/* --- Opening, structures, peers --- */

static void test_flags_and_descriptor(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        unsetenv("ACCEPTD_CHANNEL");
        assert_int_equal(
                acceptd_worker_open_fd(&f->worker, f->channel, "a:b", 0, 1U << 31), -EINVAL);
        assert_int_equal(
                acceptd_worker_open_fd(&f->worker, STDERR_FILENO, NULL, 0, 0), -EPROTOTYPE);
        assert_int_equal(
                acceptd_worker_open_fd(&f->worker, f->channel, "a:b", 0, ACCEPTD_BLOCKING), 0);
        assert_string_equal(acceptd_worker_get_listener_name(f->worker, 1), "b");
        assert_int_equal(acceptd_worker_get_number(f->worker), 0);
        assert_null(acceptd_worker_get_instance(f->worker));
        be_ready(f, 1);
        {
                int pair[2];

                assert_int_equal(
                        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                        0);
                hand_over_fd(f, 1, pair[0]);
                fd_close(pair[0]);
                c = receive_one(f);
                fd_close(pair[1]);
        }
        assert_int_equal(fcntl(c.fd, F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(acceptd_worker_finish(f->worker, &c), 0);
        assert_int_equal(fcntl(c.fd, F_GETFD), -1);
        expect_end(f, RECORD_DONE, 1);
}

static void test_number_and_instance(void **state)
{
        struct fixture *f = *state;

        set_variable("ACCEPTD_WORKER", "18446744073709551615");
        set_variable("ACCEPTD_INSTANCE", "web");
        assert_int_equal(acceptd_worker_open(&f->worker, 0), 0);
        unsetenv("ACCEPTD_WORKER");
        unsetenv("ACCEPTD_INSTANCE");
        assert_true(acceptd_worker_get_number(f->worker) == UINT64_MAX);
        assert_string_equal(acceptd_worker_get_instance(f->worker), "web");
}

/* A program that was compiled with a later version knows more of it. */
static void test_structure_of_a_later_version(void **state)
{
        struct fixture *f = *state;
        struct {
                struct acceptd_connection c;
                uint64_t later[3];
        } c = { .later = { 1, 2, 3 } };

        be_ready(f, 1);
        hand_over(f, 1);
        assert_int_equal(acceptd_worker_receive(f->worker, &c.c, sizeof(c)), ACCEPTD_CONNECTION);
        fd_close(c.c.fd);
        assert_int_equal(c.c.id, 1);
        for (size_t i = 0; i < ELEMENTSOF(c.later); i++)
                assert_int_equal(c.later[i], 0);
}

static void test_peer(void **state)
{
        struct acceptd_connection c = { .id = 1 };
        char text[64], want[64];
        int pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        c.fd = pair[0];
        (void)snprintf(want, sizeof(want), "unix:pid=%d,uid=%u", getpid(), getuid());
        assert_int_equal(acceptd_connection_get_peer(&c, text, sizeof(text)), strlen(want));
        assert_string_equal(text, want);
        assert_int_equal(acceptd_connection_get_peer(&c, text, strlen(want)), -ENOSPC);
        fd_close(pair[0]);
        fd_close(pair[1]);
        assert_int_equal(acceptd_connection_get_peer(&c, text, sizeof(text)), -EBADF);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_WORKER(test_edges),
                WITH_WORKER(test_edge_of_room),
                WITH_WORKER(test_drained_loop_sleeps),
                WITH_WORKER(test_not_receiving),
                WITH_WORKER(test_done_from_threads),
                WITH_WORKER(test_wait_has_a_time_out),
                WITH_WORKER(test_wait_ends_with_a_signal),
                WITH_WORKER(test_child_says_nothing),
                WITH_WORKER(test_mistakes_are_explained),
                WITH_WORKER(test_closed_channel_is_explained),
                WITH_CHANNEL(test_flags_and_descriptor),
                WITH_CHANNEL(test_number_and_instance),
                WITH_WORKER(test_structure_of_a_later_version),
                WITHOUT_LEAKS(test_peer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
