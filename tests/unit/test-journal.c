/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is said of messages that are not written: src/os/journal.c, with lines on stderr and
 * a clock of this test's own (clock_gettime() is wrapped).
 */

#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "leaks.h"
#include "os/journal.h"

#define BURST 1000 /* written in one interval */

static time_t now = 1000;
static char said[1U << 18];

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock _unused_, struct timespec *ret)
{
        *ret = (struct timespec){ .tv_sec = now };
        return 0;
}

/* Sends stderr into a file. Returns what it was. */
static int redirect(int *ret_file)
{
        int before = dup(STDERR_FILENO), fd = memfd_create("said", MFD_CLOEXEC);

        assert_true(before >= 0 && fd >= 0);
        assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        *ret_file = fd;
        return before;
}

/* Gives stderr back, and has in `said` what was written. */
static void read_back(int before, int file)
{
        ssize_t n = pread(file, said, sizeof(said) - 1, 0);

        assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
        fd_close(before);
        fd_close(file);
        assert_in_range(n, 0, sizeof(said) - 2);
        said[n] = '\0';
}

static void say(unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                journal_event(MESSAGE_WORKER_DIED, NULL, "again");
}

static unsigned count(const char *words)
{
        unsigned n = 0;

        for (const char *at = said; (at = strstr(at, words)); at++)
                n++;

        return n;
}

/* They never stop coming, and journal_report() is called once a second. */
static void test_while_a_flood_lasts(void **state)
{
        int file, before = redirect(&file);

        (void)state;
        now += 100;
        for (int second = 0; second < 31; second++, now++) {
                say(BURST / 2);
                (void)journal_report();
        }
        read_back(before, file);
        assert_int_equal(count(">again"), 3 * BURST + BURST / 2);
        assert_int_equal(count("4000 more messages of the kind ea6cb8c1"), 3);
        assert_int_equal(count("more messages"), 3);
}

static void test_when_a_flood_is_over(void **state)
{
        int file, before = redirect(&file);

        (void)state;
        now += 100;
        say(BURST + 7);
        assert_true(journal_report());
        now += 9;
        assert_true(journal_report());
        now++;
        assert_false(journal_report());
        assert_false(journal_report());
        read_back(before, file);
        assert_int_equal(count(">7 more messages"), 1);
        assert_int_equal(count("more messages"), 1);
}

static void test_before_the_end(void **state)
{
        int file, before = redirect(&file);

        (void)state;
        now += 100;
        say(BURST + 7);
        journal_flush();
        journal_flush();
        assert_false(journal_report());
        read_back(before, file);
        assert_int_equal(count(">7 more messages"), 1);
        assert_int_equal(count("more messages"), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_while_a_flood_lasts),
                WITHOUT_LEAKS(test_when_a_flood_is_over),
                WITHOUT_LEAKS(test_before_the_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
