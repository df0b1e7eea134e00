/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How a worker comes to its channel, and what it says there first: acceptd_worker_open() and
 * acceptd_worker_ready() of src/libacceptd, with environment.c.
 */

#include <fcntl.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "worker-fixture.h"

#define SPARE_FDS 8 /* as in environment.c */

/* --- Opening --- */

static void assert_open_fails(const struct fixture *f, int error)
{
        struct acceptd_worker *worker = NULL;

        assert_int_equal(acceptd_worker_open(&worker, 0), error);
        assert_null(worker);
        assert_int_equal(acceptd_exit_status(error), 64);
        assert_non_null(strstr(acceptd_worker_explain(NULL, error), "ACCEPTD_CHANNEL"));
        assert_int_equal(fcntl(f->channel, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void test_open_refuses(void **state)
{
        static const char *const bad[] = { "", "x", " 3", "+3", "-1", "3x", "4294967299",
                "99999999999999999999" };
        struct fixture *f = *state;
        _cleanup_(fd_closep) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        _cleanup_(fd_closep) int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_(fd_closep) int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        unsetenv("ACCEPTD_CHANNEL");
        assert_open_fails(f, -ENXIO);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                set_variable("ACCEPTD_CHANNEL", "%s", bad[i]);
                assert_open_fails(f, -EBADF);
        }
        set_variable("ACCEPTD_CHANNEL", "%d", 1 << 20);
        assert_open_fails(f, -EBADF);
        set_variable("ACCEPTD_CHANNEL", "%d", null);
        assert_open_fails(f, -EPROTOTYPE);
        set_variable("ACCEPTD_CHANNEL", "%d", stream);
        assert_open_fails(f, -EPROTOTYPE);
        if (inet >= 0) {
                set_variable("ACCEPTD_CHANNEL", "%d", inet);
                assert_open_fails(f, -EPROTOTYPE);
        }
}

static void test_open_takes_channel_and_names(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(fcntl(f->channel, F_SETFD, 0), 0);
        assert_int_equal(acceptd_worker_open(&f->worker, 0), 0);
        assert_int_equal(fcntl(f->channel, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_non_null(getenv("ACCEPTD_CHANNEL")); /* threads, and other languages, have copies */
        assert_int_not_equal(acceptd_worker_get_fd(f->worker), f->channel);
        assert_int_equal(acceptd_worker_get_n_listeners(f->worker), 2);
        assert_string_equal(acceptd_worker_get_listener_name(f->worker, 0), "http");
        assert_string_equal(acceptd_worker_get_listener_name(f->worker, 1), "local");
        assert_null(acceptd_worker_get_listener_name(f->worker, 2));
        assert_silent(f);
}

static void test_open_without_names(void **state)
{
        struct fixture *f = *state;

        unsetenv("ACCEPTD_LISTENERS");
        assert_int_equal(acceptd_worker_open(&f->worker, 0), 0);
        assert_int_equal(acceptd_worker_get_n_listeners(f->worker), 0);
        assert_null(acceptd_worker_get_listener_name(f->worker, 0));
}

static void test_free_takes_null(void **state)
{
        (void)state;
        acceptd_worker_free(NULL);
}

/* --- READY --- */

static void test_ready(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(acceptd_worker_ready(f->worker, 0), -EINVAL);
        assert_silent(f);
        be_ready(f, 1);
        be_ready(f, 100);
        be_ready(f, 3);
}

static void set_fd_limit(int n)
{
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = (rlim_t)n;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_ready_under_fd_limit(void **state)
{
        struct fixture *f = *state;
        int used = fd_count();

        set_fd_limit(used + SPARE_FDS + 5);
        assert_int_equal(acceptd_worker_ready(f->worker, 1000), 5);
        expect_one(f, RECORD_READY, 5);
        assert_int_equal(acceptd_worker_ready(f->worker, 4), 4);
        expect_one(f, RECORD_READY, 4);

        set_fd_limit(used + SPARE_FDS);
        assert_int_equal(acceptd_worker_ready(f->worker, 1000), -EMFILE);
        assert_silent(f);
}

/* Connections in hand are part of the capacity, not of what the process needs for itself. */
static void test_ready_again_counts_held(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection held[3];

        set_fd_limit(fd_count() + SPARE_FDS + 5);
        assert_int_equal(acceptd_worker_ready(f->worker, 1000), 5);
        expect_one(f, RECORD_READY, 5);
        for (uint64_t i = 0; i < 3; i++) {
                hand_over(f, i + 1);
                held[i] = receive_one(f);
        }
        assert_int_equal(acceptd_worker_ready(f->worker, 1000), 5);
        for (size_t i = 0; i < 3; i++)
                fd_close(held[i].fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_CHANNEL(test_open_refuses),
                WITH_CHANNEL(test_open_takes_channel_and_names),
                WITH_CHANNEL(test_open_without_names),
                WITH_CHANNEL(test_free_takes_null),
                WITH_WORKER(test_ready),
                WITH_WORKER(test_ready_under_fd_limit),
                WITH_WORKER(test_ready_again_counts_held),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
