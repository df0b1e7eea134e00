/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The delay after failed starts: src/policy/backoff.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/backoff.h"

static struct backoff make(void)
{
        return (struct backoff){ .first = 100, .max = 1000 };
}

/* A worker is started and fails a moment later. Returns how long the next one has to wait. */
static usec_t fail_at(struct backoff *b, usec_t now)
{
        backoff_failed(b, now - 1, now);
        assert_true(backoff_is_failing(b));
        return b->not_before - now;
}

static void test_doubles_up_to_the_maximum(void **state)
{
        static const usec_t expected[] = { 100, 200, 400, 800, 1000, 1000 };
        struct backoff b = make();

        (void)state;
        assert_false(backoff_is_failing(&b));
        for (size_t i = 0; i < ELEMENTSOF(expected); i++)
                assert_int_equal(fail_at(&b, 5000 + i * 2000), expected[i]);
}

static void test_side_by_side_is_one_failure(void **state)
{
        struct backoff b = make();

        (void)state;
        for (usec_t now = 5001; now < 5010; now++)
                backoff_failed(&b, 5000, now);
        assert_int_equal(b.delay, 100);
        assert_int_equal(b.not_before, 5109); /* after the last of them */
}

static void test_served(void **state)
{
        struct backoff b = make();

        (void)state;
        fail_at(&b, 5000);
        fail_at(&b, 6000);
        backoff_served(&b, 6500);
        assert_false(backoff_is_failing(&b));
        assert_int_equal(b.not_before, 0);
        assert_int_equal(fail_at(&b, 7000), 100);
}

static void test_ready_lifts_the_wait_only(void **state)
{
        struct backoff b = make();

        (void)state;
        fail_at(&b, 5000);
        backoff_ready(&b, 5100);
        assert_int_equal(b.not_before, 0);
        assert_true(backoff_is_failing(&b));
        assert_int_equal(fail_at(&b, 6000), 200);
}

static void test_older_workers_say_nothing(void **state)
{
        struct backoff b = make();

        (void)state;
        fail_at(&b, 5000);
        backoff_ready(&b, 4999);
        backoff_served(&b, 4999);
        assert_true(backoff_is_failing(&b));
        assert_int_equal(b.not_before, 5100);
}

static void test_never_overflows(void **state)
{
        struct backoff b = { .first = USEC_INFINITY / 2 + 2, .max = USEC_INFINITY };

        (void)state;
        backoff_failed(&b, 9, 10);
        backoff_failed(&b, 11, 12);
        assert_true(b.delay == USEC_INFINITY);
        assert_true(b.not_before == USEC_INFINITY);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_doubles_up_to_the_maximum),
                cmocka_unit_test(test_side_by_side_is_one_failure),
                cmocka_unit_test(test_served),
                cmocka_unit_test(test_ready_lifts_the_wait_only),
                cmocka_unit_test(test_older_workers_say_nothing),
                cmocka_unit_test(test_never_overflows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
