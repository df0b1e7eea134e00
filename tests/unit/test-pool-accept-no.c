/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A pool with Accept=no, whose connections nobody sees: what takes the place of the first served
 * connection there, src/policy/pool-life.c and pool-decide.c.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/pool.h"

#define ROWS  32
#define SLOTS 4
#define PROOF (2 * USEC_PER_SEC)

struct fixture {
        struct settings settings;
        struct pool_state state;
        struct worker_row rows[ROWS];
        struct slot slots[SLOTS];
        struct pool pool;
        struct pool_decision decision;
        usec_t now;
};

static void open_pool(struct fixture *f)
{
        const struct pool_memory memory = {
                .state = &f->state,
                .rows = f->rows,
                .n_rows = pool_rows_needed(&f->settings),
                .slots = f->slots,
                .n_slots = SLOTS,
        };

        assert_int_equal(pool_init(&f->pool, &f->settings, &memory), 0);
}

static int setup(void **state)
{
        static struct fixture f;

        f = (struct fixture){ .now = 1000 * USEC_PER_SEC };
        settings_init(&f.settings);
        f.settings.accept = false;
        f.settings.workers = 2;
        f.settings.max_connections = SLOTS;
        settings_resolve(&f.settings, 1);
        open_pool(&f);
        *state = &f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        pool_deinit(&f->pool);
        settings_done(&f->settings);
        return 0;
}

static void decide(struct fixture *f)
{
        pool_decide(&f->pool, f->now, &f->decision);
}

/* How many actions of this kind were decided, and the row of the last. */
static unsigned count(const struct fixture *f, enum pool_action_type type, uint32_t *ret_row)
{
        unsigned n = 0;

        for (size_t i = 0; i < f->decision.n_actions; i++)
                if (f->decision.actions[i].type == type) {
                        n++;
                        *ret_row = f->decision.actions[i].row;
                }

        return n;
}

static void start(struct fixture *f, uint32_t row)
{
        pool_spawned(
                &f->pool, row, 100 + (int32_t)f->state.last_number, f->state.trial != 0, f->now);
}

static void ready(struct fixture *f, uint32_t row)
{
        assert_int_equal(pool_ready(&f->pool, row, 1, 0, f->now), 0);
}

static bool dies(struct fixture *f, uint32_t row)
{
        bool failed = pool_exited(&f->pool, row, f->now);

        (void)pool_emptied(&f->pool, row);
        return failed;
}

static void test_accepts_nothing(void **state)
{
        struct fixture *f = *state;

        start(f, 0);
        ready(f, 0);
        decide(f);
        assert_false(pool_may_accept(&f->pool));
}

/* As long as it is alone, and no more than Workers= ever. */
static void test_number_of_workers(void **state)
{
        struct fixture *f = *state;
        uint32_t row;

        decide(f);
        assert_int_equal(count(f, POOL_SPAWN, &row), 2);
        for (uint32_t i = 0; i < 2; i++) {
                start(f, i);
                ready(f, i);
        }
        for (int i = 0; i < 10; i++) {
                f->now += 60 * USEC_PER_SEC;
                decide(f);
                assert_int_equal(count(f, POOL_SPAWN, &row), 0);
                assert_int_equal(count(f, POOL_DRAIN, &row), 0);
        }
}

static void test_death_before_the_proof_is_a_failed_start(void **state)
{
        struct fixture *f = *state;

        start(f, 0);
        ready(f, 0);
        f->now += PROOF - 1;
        decide(f);
        assert_true(dies(f, 0));
        assert_true(backoff_is_failing(&f->pool.backoff));
        assert_false(pool_may_spawn(&f->pool, f->now));

        /* the next one has to live for as long */
        f->now += f->settings.restart;
        start(f, 0);
        ready(f, 0);
        decide(f);
        assert_true(backoff_is_failing(&f->pool.backoff));
        assert_int_equal(f->decision.wake_at, f->now + PROOF);
        f->now += PROOF;
        decide(f);
        assert_false(backoff_is_failing(&f->pool.backoff));
        assert_false(dies(f, 0));
}

/* The timer was late. */
static void test_death_after_the_proof_is_none(void **state)
{
        struct fixture *f = *state;

        start(f, 0);
        ready(f, 0);
        f->now += PROOF;
        assert_false(dies(f, 0));
}

static void test_long_start_is_no_proof(void **state)
{
        struct fixture *f = *state;

        start(f, 0);
        f->now += 20 * USEC_PER_SEC;
        ready(f, 0);
        f->now++;
        assert_true(dies(f, 0));
}

static void test_proof_is_no_longer_than_the_longest_delay(void **state)
{
        struct fixture *f = *state;

        f->settings.restart_max_delay = 200 * USEC_PER_MSEC;
        pool_settings_changed(&f->pool);
        start(f, 0);
        ready(f, 0);
        f->now += 200 * USEC_PER_MSEC;
        assert_false(dies(f, 0));
}

static void test_trial_passes_with_the_proof(void **state)
{
        struct fixture *f = *state;
        uint32_t row;

        for (uint32_t i = 0; i < 2; i++) {
                start(f, i);
                ready(f, i);
        }
        f->now += 60 * USEC_PER_SEC;
        pool_try(&f->pool, &f->settings);
        start(f, 2);
        ready(f, 2);
        decide(f);
        assert_int_equal(count(f, POOL_PASS, &row), 0);
        assert_int_equal(f->decision.wake_at, f->now + PROOF);

        f->now += PROOF;
        for (int i = 0; i < 2; i++) { /* it is decided until it is done */
                decide(f);
                assert_int_equal(count(f, POOL_PASS, &row), 1);
                assert_int_equal(row, 2);
                assert_int_equal(count(f, POOL_DRAIN, &row), 0);
        }
        pool_commit(&f->pool);
        decide(f);
        assert_int_equal(count(f, POOL_PASS, &row), 0);
        assert_int_equal(count(f, POOL_DRAIN, &row), 1);
        assert_int_equal(count(f, POOL_SPAWN, &row), 1);
}

static void test_trial_fails_before_the_proof(void **state)
{
        struct fixture *f = *state;

        pool_try(&f->pool, &f->settings);
        start(f, 0);
        ready(f, 0);
        f->now += PROOF / 2;
        decide(f);
        assert_true(dies(f, 0));
}

/* gunicorn says READY before it has loaded the application: the old one stays until then. */
static void test_successor_has_to_prove_itself(void **state)
{
        struct fixture *f = *state;
        uint32_t row = 0;

        f->settings.recycle_age = 3600 * USEC_PER_SEC;
        pool_settings_changed(&f->pool);
        for (uint32_t i = 0; i < 2; i++) {
                start(f, i);
                ready(f, i);
        }
        f->now += f->settings.recycle_age;
        decide(f);
        assert_int_equal(count(f, POOL_DRAIN, &row), 0);
        assert_int_equal(count(f, POOL_SPAWN, &row), 1);
        start(f, row);
        f->pool.successor = row;
        ready(f, row);
        decide(f);
        assert_int_equal(count(f, POOL_DRAIN, &row), 0);
        assert_in_range(f->decision.wake_at, f->now + 1, f->now + PROOF);
        f->now += PROOF;
        decide(f);
        assert_int_equal(count(f, POOL_DRAIN, &row), 1);
        assert_int_equal(f->decision.actions[0].drain, POOL_DRAIN_RECYCLE);
}

/* It has run for some time, nobody knows how long. */
static void test_adopted_worker_has_proved_itself(void **state)
{
        struct fixture *f = *state;

        start(f, 0);
        ready(f, 0);
        pool_deinit(&f->pool);
        open_pool(f);
        pool_adopted(&f->pool, 0);
        decide(f);
        assert_false(dies(f, 0));
}

int main(void)
{
#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                POOL_TEST(test_accepts_nothing),
                POOL_TEST(test_number_of_workers),
                POOL_TEST(test_death_before_the_proof_is_a_failed_start),
                POOL_TEST(test_death_after_the_proof_is_none),
                POOL_TEST(test_long_start_is_no_proof),
                POOL_TEST(test_proof_is_no_longer_than_the_longest_delay),
                POOL_TEST(test_trial_passes_with_the_proof),
                POOL_TEST(test_trial_fails_before_the_proof),
                POOL_TEST(test_successor_has_to_prove_itself),
                POOL_TEST(test_adopted_worker_has_proved_itself),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
