/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Descriptors by name: src/os/inheritance.c. */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "leaks.h"
#include "os/inheritance.h"

static int new_fd(void)
{
        int fd = eventfd(0, EFD_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void test_pass_and_collect(void **state)
{
        struct inheritance out = {}, in;
        int a = new_fd(), b = new_fd(), list;

        (void)state;
        assert_int_equal(inheritance_add(&out, a, "!l1"), 0);
        assert_int_equal(inheritance_add(&out, b, "a name with spaces"), 0);
        list = inheritance_pass(&out);
        assert_true(list >= 0);
        assert_int_equal(fcntl(a, F_GETFD), 0);
        assert_int_equal(fcntl(b, F_GETFD), 0);
        assert_int_equal(fcntl(list, F_GETFD), 0);
        for (size_t i = 0; i < out.n; i++)
                out.entries[i].fd = -1; /* as after execve(): they are the next image's */
        inheritance_done(&out);

        assert_int_equal(inheritance_collect(&in), 0);
        assert_true(in.from_reload);
        assert_int_equal(in.n, 2);
        assert_null(getenv("ACCEPTD_ADOPT"));
        assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
        assert_null(inheritance_get_listener(&in, 0));
        assert_string_equal(inheritance_get_listener(&in, 1), "a name with spaces");
        assert_int_equal(inheritance_take(&in, "!l1"), a);
        assert_int_equal(inheritance_take(&in, "!l1"), -1);
        assert_int_equal(inheritance_take(&in, "other"), -1);
        inheritance_done(&in); /* closes b */
        assert_int_equal(fcntl(b, F_GETFD), -1);
        fd_close(a);
}

/* execve() failed. */
static void test_keep(void **state)
{
        struct inheritance out = {};
        int a = new_fd(), list;

        (void)state;
        assert_int_equal(inheritance_add(&out, a, "x"), 0);
        list = inheritance_pass(&out);
        assert_true(list >= 0);
        inheritance_keep(&out);
        fd_close(list);
        inheritance_done(&out);
        assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
        assert_null(getenv("ACCEPTD_ADOPT"));
        fd_close(a);
}

/* Something is passed that is not there: nobody is left half changed. */
static void test_pass_nothing(void **state)
{
        struct inheritance out = {};
        int a = new_fd();

        (void)state;
        assert_int_equal(inheritance_add(&out, a, "x"), 0);
        assert_int_equal(inheritance_add(&out, 9999, "y"), 0);
        assert_int_equal(inheritance_pass(&out), -EBADF);
        assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
        assert_null(getenv("ACCEPTD_ADOPT"));
        inheritance_done(&out);
        fd_close(a);
}

static void test_collect_nothing(void **state)
{
        struct inheritance in;

        (void)state;
        assert_int_equal(unsetenv("LISTEN_FDS"), 0);
        assert_int_equal(inheritance_collect(&in), 0);
        assert_false(in.from_reload);
        assert_int_equal(in.n, 0);
        inheritance_done(&in);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_pass_and_collect),
                WITHOUT_LEAKS(test_keep),
                WITHOUT_LEAKS(test_pass_nothing),
                WITHOUT_LEAKS(test_collect_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
