/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Time spans: src/base/time.c. The expected numbers are those of `systemd-analyze timespan`. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"

static void reads_what_systemd_reads(void **state)
{
        static const struct {
                const char *text;
                usec_t expected;
        } good[] = {
                { "0", 0 },
                { "5", 5000000 },
                { "5s", 5000000 },
                { "5 s", 5000000 },
                { "010", 10000000 },
                { "2min", 120000000 },
                { "2m", 120000000 },
                { "2M", 5259600000000 },
                { "1h 30min", 5400000000 },
                { "1h30min", 5400000000 },
                { "100ms", 100000 },
                { "5us", 5 },
                { "5µs", 5 },
                { "5μs", 5 },
                { "5usec", 5 },
                { "1.5s", 1500000 },
                { ".7", 700000 },
                { "1.999999999s", 1999999 },
                { "1.5 us", 1 },
                { "1 2", 3000000 },
                { "3.1s.2", 3300000 },
                { "3 hours 2 minutes 1 second", 10921000000 },
                { "1hr 1msec", 3600001000 },
                { "1w 2d", 777600000000 },
                { "1.3y", 41024880000000 },
                { "1d 1day 1days", 259200000000 },
                { " \t1s\t", 1000000 },
                { "18446744073709s", 18446744073709000000U },
                { "infinity", USEC_INFINITY },
                { " infinity ", USEC_INFINITY },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                usec_t t = 4711;

                if (usec_parse(good[i].text, &t) != 0 || t != good[i].expected)
                        fail_msg("\"%s\"", good[i].text);
        }
}

static void refuses_the_rest_and_keeps_the_old_value(void **state)
{
        static const struct {
                const char *text;
                int expected;
        } bad[] = {
                { "", -EINVAL },
                { " ", -EINVAL },
                { ".", -EINVAL },
                { "1.", -EINVAL },
                { "1..2", -EINVAL },
                { "1.5.5", -EINVAL },
                { "-1", -EINVAL },
                { "3.-5", -EINVAL },
                { "s", -EINVAL },
                { "abc", -EINVAL },
                { "5x", -EINVAL },
                { "5sx", -EINVAL },
                { "5S", -EINVAL },
                { "5Min", -EINVAL },
                { "1,5s", -EINVAL },
                { "5m s", -EINVAL },
                { "0x10", -EINVAL },
                { "1e3", -EINVAL },
                { "Infinity", -EINVAL },
                { "infinity 5s", -EINVAL },
                { "5s infinity", -EINVAL },
                { "18446744073709551615us", -ERANGE },
                { "18446744073710s", -ERANGE },
                { "99999999999999999999", -ERANGE },
                { "999999999y", -ERANGE },
                { "584942y 584942y", -ERANGE },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                usec_t t = 4711;

                if (usec_parse(bad[i].text, &t) != bad[i].expected || t != 4711)
                        fail_msg("\"%s\"", bad[i].text);
        }
}

static void writes_what_it_reads(void **state)
{
        static const struct {
                usec_t t;
                const char *expected;
        } pairs[] = {
                { 0, "0" },
                { 1, "1us" },
                { 100 * USEC_PER_MSEC, "100ms" },
                { 30 * USEC_PER_SEC, "30s" },
                { 5400 * USEC_PER_SEC, "1h 30min" },
                { 365 * USEC_PER_DAY, "365d" },
                { 1500001, "1s 500ms 1us" },
                { USEC_INFINITY - 1, "213503982d 8h 1min 49s 551ms 614us" },
                { USEC_INFINITY, "infinity" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                char buffer[USEC_FORMAT_SIZE];
                usec_t t;

                assert_string_equal(usec_format(pairs[i].t, buffer), pairs[i].expected);
                assert_int_equal(usec_parse(buffer, &t), 0);
                assert_true(t == pairs[i].t);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_what_systemd_reads),
                cmocka_unit_test(refuses_the_rest_and_keeps_the_old_value),
                cmocka_unit_test(writes_what_it_reads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
