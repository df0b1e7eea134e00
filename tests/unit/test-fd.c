/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Helpers for descriptors: src/base/fd.c. */

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "leaks.h"

static void test_close(void **state)
{
        int pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        errno = ENOTTY;
        assert_int_equal(fd_close(pair[0]), -1);
        assert_int_equal(fd_close(pair[0]), -1); /* not open */
        assert_int_equal(fd_close(-1), -1);
        assert_int_equal(errno, ENOTTY);
        assert_int_equal(fcntl(pair[0], F_GETFD), -1);
        fd_close(pair[1]);
}

static void test_cleanup_and_take(void **state)
{
        int taken, pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        {
                _cleanup_(fd_closep) int a = pair[0], b = pair[1], none _unused_ = -1;

                taken = TAKE_FD(a);
                assert_int_equal(a, -1);
                assert_true(b >= 0);
        }
        assert_true(fcntl(taken, F_GETFD) >= 0);
        assert_int_equal(fcntl(pair[1], F_GETFD), -1);
        fd_close(taken);
}

static void test_cloexec(void **state)
{
        _cleanup_(fd_closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        (void)state;
        assert_int_equal(fd_set_cloexec(fd, false), 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        assert_int_equal(fd_set_cloexec(fd, true), 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fd_set_cloexec(-1, true), -EBADF);
}

static void test_nonblock(void **state)
{
        int pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        assert_int_equal(fd_set_nonblock(pair[0]), 0);
        assert_int_equal(fd_set_nonblock(pair[0]), 0);
        assert_true(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
        assert_false(fcntl(pair[1], F_GETFL) & O_NONBLOCK);
        assert_int_equal(fd_set_nonblock(-1), -EBADF);
        fd_close(pair[0]);
        fd_close(pair[1]);
}

static int open_standard_from_none(void)
{
        int fd;

        for (fd = 0; fd <= 2; fd++)
                (void)close(fd);
        if (fd_open_standard() != 0)
                return 1;
        for (fd = 0; fd <= 2; fd++)
                if (fcntl(fd, F_GETFD) != 0) /* open, and inherited */
                        return 2;

        return 0;
}

static int open_standard_from_all(void)
{
        int before = fd_count();

        return fd_open_standard() == 0 && fd_count() == before ? 0 : 1;
}

static void test_open_standard(void **state)
{
        (void)state;
        assert_int_equal(run_in_child(open_standard_from_none), 0);
        assert_int_equal(run_in_child(open_standard_from_all), 0);
}

static void test_count(void **state)
{
        int before = fd_count(), pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        assert_int_equal(fd_count(), before + 2);
        fd_close(pair[0]);
        fd_close(pair[1]);
        assert_int_equal(fd_count(), before);
        leave_descriptors(0);
        assert_int_equal(fd_count(), -EMFILE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_close),
                WITHOUT_LEAKS(test_cleanup_and_take),
                WITHOUT_LEAKS(test_cloexec),
                WITHOUT_LEAKS(test_nonblock),
                WITHOUT_LEAKS(test_open_standard),
                WITHOUT_LEAKS(test_count),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
