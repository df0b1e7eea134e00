/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What acceptd-inetd says about its programs, src/workers/inetd-report.c. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h> /* wants the first four */

#include "base/fd.h"
#include "workers/inetd-report.h"

#define SECOND USEC_PER_SEC

/* Standard error, as the report writes it. */
struct log {
        int saved, ends[2];
        char text[8192];
};

static void take_stderr(struct log *log)
{
        log->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        assert_true(log->saved >= 0);
        assert_int_equal(dup2(log->ends[1], STDERR_FILENO), STDERR_FILENO);
}

static int setup(void **state)
{
        static struct log log;

        assert_int_equal(pipe2(log.ends, O_CLOEXEC | O_NONBLOCK), 0);
        *state = &log;
        take_stderr(&log);
        return 0;
}

static int teardown(void **state)
{
        struct log *log = *state;

        (void)dup2(log->saved, STDERR_FILENO);
        fd_close(log->saved);
        fd_close(log->ends[0]);
        fd_close(log->ends[1]);
        return 0;
}

/* What was written since the last call. */
static const char *read_log(struct log *log)
{
        ssize_t n = read(log->ends[0], log->text, sizeof(log->text) - 1);

        log->text[MAX(n, 0)] = '\0';
        return log->text;
}

static void expect(struct log *log, const char *text)
{
        assert_string_equal(read_log(log), text);
}

static void test_few_lines_are_written(void **state)
{
        struct inetd_report r;

        inetd_report_init(&r, "prog");
        for (int i = 1; i <= 3; i++)
                inetd_report_line(&r, INETD_STATUS, SECOND, "(PID %d) is here", i);
        expect(*state, "acceptd-inetd: prog (PID 1) is here\n"
                       "acceptd-inetd: prog (PID 2) is here\n"
                       "acceptd-inetd: prog (PID 3) is here\n");
        assert_int_equal(inetd_report_flush(&r, USEC_INFINITY), USEC_INFINITY);
        expect(*state, "");
}

/* Five in ten seconds, each kind for itself, and then how many more. */
static void test_many_are_counted(void **state)
{
        struct inetd_report r;

        inetd_report_init(&r, "prog");
        for (usec_t i = 0; i < 100; i++)
                inetd_report_line(&r, INETD_SIGNAL, SECOND + i, "x");
        inetd_report_line(&r, INETD_STATUS, 2 * SECOND, "y");
        expect(*state, "acceptd-inetd: prog x\nacceptd-inetd: prog x\nacceptd-inetd: prog x\n"
                       "acceptd-inetd: prog x\nacceptd-inetd: prog x\nacceptd-inetd: prog y\n");

        assert_int_equal(inetd_report_flush(&r, 3 * SECOND), 11 * SECOND);
        expect(*state, "");
        assert_int_equal(inetd_report_flush(&r, 11 * SECOND), USEC_INFINITY);
        expect(*state, "acceptd-inetd: prog was ended by a signal 95 more times\n");

        inetd_report_line(&r, INETD_SIGNAL, 12 * SECOND, "again");
        expect(*state, "acceptd-inetd: prog again\n");
}

/* The next one of its kind tells it, too, where nobody asked. */
static void test_count_comes_before_the_next_line(void **state)
{
        struct inetd_report r;

        inetd_report_init(&r, "prog");
        for (int i = 0; i < 6; i++)
                inetd_report_line(&r, INETD_TIME, SECOND, "x");
        (void)read_log(*state);
        inetd_report_line(&r, INETD_TIME, 60 * SECOND, "x");
        expect(*state, "acceptd-inetd: prog was ended after it had run for too long 1 more time\n"
                       "acceptd-inetd: prog x\n");
}

/* Programs may have long names, and what is said is one line in any case. */
static void test_long_names(void **state)
{
        struct inetd_report r;
        char name[2000], text[2000];
        const char *said;

        memset(name, 'n', sizeof(name));
        memset(text, 't', sizeof(text));
        name[sizeof(name) - 1] = text[sizeof(text) - 1] = '\0';
        inetd_report_init(&r, name);
        inetd_report_line(&r, INETD_TIME, SECOND, "%s", text);
        said = read_log(*state);
        assert_in_range(strlen(said), 100, 600);
        assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

/* Where nobody reads, nothing is waited for. */
static void test_full_pipe(void **state)
{
        struct log *log = *state;
        char block[4096] = "";
        struct inetd_report r;

        inetd_report_init(&r, "prog");
        while (write(log->ends[1], block, sizeof(block)) > 0)
                ;
        assert_int_equal(fcntl(log->ends[1], F_SETFL, 0), 0); /* a blocking one now */
        for (usec_t i = 0; i < 100; i++)
                inetd_report_line(&r, INETD_TIME, i * 60 * SECOND, "x");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_few_lines_are_written, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_are_counted, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_count_comes_before_the_next_line, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_full_pipe, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
