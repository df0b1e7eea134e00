/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workers that are replaced for their age and size: src/policy/pool-recycle.c. Those that are for
 * their connections, and how it is done, are in test-pool-size.c.
 */

#include "world-steps.h"

#define AGE   (8000 * USEC_PER_SEC)
#define LIMIT ((uint64_t)100 << 20)

static void begin_recycling(uint32_t workers, usec_t age, uint64_t size)
{
        world_default_settings(w, workers, UINT32_MAX);
        w->settings.queue_timeout = USEC_INFINITY;
        w->settings.recycle_age = age;
        w->settings.recycle_memory = size;
        world_init(w, 0);
        world_pass(w, 1);
        all_ready(1);
}

/* Until another worker is started. Returns after how long. */
static usec_t await_start(usec_t longest)
{
        usec_t begun = w->now;

        while (world_count(w, WORKER_STARTING) == 0) {
                assert_true(w->now - begun <= longest);
                world_wait(w);
        }

        return w->now - begun;
}

/* The successor is ready, and takes the place of this one. */
static void replace(uint32_t row)
{
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        assert_int_equal(world_state(w, row), WORKER_READY);
        all_ready(1);
        assert_int_equal(world_state(w, row), WORKER_DRAINING);
        assert_int_equal(world_count(w, WORKER_STARTING), 0);
        world_exit(w, row);
}

/* --- Age --- */

static void test_successor_of_an_old_one(void **state)
{
        (void)state;
        begin_recycling(1, AGE, UINT64_MAX);
        assert_in_range(await_start(AGE), AGE * 7 / 8, AGE);
        assert_int_equal(pool_why_recycle(&w->pool, 0, w->now), RECYCLE_AGE);
        replace(0);
        assert_in_range(await_start(AGE), AGE * 7 / 8, AGE);
}

/* Started together, they are not due together; and each has its time, whoever asks. */
static void test_ages_are_spread(void **state)
{
        usec_t begun, due[8], least = AGE;

        (void)state;
        begin_recycling(ELEMENTSOF(due), AGE, UINT64_MAX);
        begun = w->now;
        for (size_t i = 0; i < ELEMENTSOF(due); i++) {
                uint32_t row;

                (void)await_start(AGE);
                due[i] = w->now - begun;
                row = world_find(w, WORKER_STARTING);
                all_ready(1);
                world_exit(w, world_find(w, WORKER_DRAINING));
                assert_int_equal(world_state(w, row), WORKER_READY);
                assert_in_range(due[i], AGE * 7 / 8 - 2, AGE);
                for (size_t k = 0; k < i; k++)
                        least = MIN(least, due[i] - due[k]);
        }
        /* an even spread has an eighth of an eighth between two; none is far closer */
        assert_true(least >= AGE / 8 / 8 / 3);
}

static void test_old_ones_are_replaced_one_at_a_time(void **state)
{
        (void)state;
        begin_recycling(3, AGE, UINT64_MAX);
        world_pass(w, AGE); /* all are due */
        for (uint32_t i = 0; i < 3; i++) {
                uint32_t row;

                assert_int_equal(world_count(w, WORKER_STARTING), 1);
                all_ready(1);
                assert_int_equal(world_count(w, WORKER_READY), 3);
                assert_int_equal(world_count(w, WORKER_DRAINING), 1);
                row = world_find(w, WORKER_DRAINING);
                for (usec_t until = w->now + 60 * USEC_PER_SEC; w->now < until;)
                        world_pass(w, USEC_PER_SEC);
                assert_int_equal(world_count(w, WORKER_STARTING), 0);
                world_exit(w, row);
        }
        assert_int_equal(world_count(w, WORKER_STARTING), 0);
}

/* The time stands in the worker's row. */
static void test_adoption_keeps_the_age(void **state)
{
        usec_t started;

        (void)state;
        begin_recycling(1, AGE, UINT64_MAX);
        started = w->rows[0].started_at;
        world_pass(w, AGE / 2);
        pool_deinit(&w->pool);
        assert_int_equal(pool_init(&w->pool, &w->settings,
                                 &(struct pool_memory){ .state = &w->state,
                                         .rows = w->rows,
                                         .n_rows = pool_rows_needed(&w->settings),
                                         .slots = w->slots,
                                         .n_slots = w->settings.max_connections }),
                0);
        pool_adopted(&w->pool, 0);
        assert_int_equal(pool_why_recycle(&w->pool, 0, started + AGE * 3 / 4), RECYCLE_NONE);
        assert_int_equal(pool_why_recycle(&w->pool, 0, started + AGE), RECYCLE_AGE);
}

/* --- Size --- */

static void test_successor_of_a_large_one(void **state)
{
        (void)state;
        begin_recycling(2, USEC_INFINITY, LIMIT);
        w->workers[0].size = LIMIT;
        w->workers[1].size = LIMIT / 2;
        world_pass(w, 60 * USEC_PER_SEC);
        assert_int_equal(world_count(w, WORKER_STARTING), 0);

        w->workers[1].size = LIMIT + 1;
        assert_true(await_start(10 * USEC_PER_SEC) <= 10 * USEC_PER_SEC);
        assert_int_equal(pool_why_recycle(&w->pool, 1, w->now), RECYCLE_SIZE);
        replace(1);
        assert_int_equal(w->pool.size_doublings, 0);
}

static void test_one_that_shrinks_again_stays(void **state)
{
        (void)state;
        begin_recycling(1, USEC_INFINITY, LIMIT);
        w->workers[0].size = LIMIT + 1; /* too young */
        world_pass(w, w->settings.restart_max_delay / 2);
        assert_int_equal(world_count(w, WORKER_STARTING), 0);
        w->workers[0].size = LIMIT;
        for (int i = 0; i < 20; i++)
                world_wait(w);
        assert_int_equal(w->n_spawns, 1);
}

/* All are from their start on: the limit is too low, and must not make a mill of starts. */
static void test_large_from_the_start_is_no_mill(void **state)
{
        usec_t begun, least;

        (void)state;
        begin_recycling(1, USEC_INFINITY, LIMIT);
        least = w->settings.restart_max_delay;
        for (unsigned i = 0; i < 10; i++) {
                uint32_t row = world_find(w, WORKER_READY);

                begun = w->now;
                w->workers[row].size = 2 * LIMIT;
                (void)await_start(2 * least);
                assert_in_range(w->now - begun, least - USEC_PER_SEC, least + 5 * USEC_PER_SEC);
                replace(row);
                least = MIN(2 * least, w->settings.restart_max_delay * 64);
        }

        /* one that was well for long sets it back */
        for (usec_t until = w->now + least; w->now < until;)
                world_wait(w);
        w->workers[world_find(w, WORKER_READY)].size = 2 * LIMIT;
        (void)await_start(10 * USEC_PER_SEC);
        replace(world_find(w, WORKER_READY));
        assert_int_equal(w->pool.size_doublings, 0);
}

/* Many are not looked at in one go, and each within a few seconds. */
static void test_many_are_weighed_in_turns(void **state)
{
        (void)state;
        begin_recycling(WORLD_WORKERS_MAX, USEC_INFINITY, LIMIT);
        world_pass(w, w->settings.restart_max_delay);
        for (uint32_t i = 0; i < WORLD_WORKERS_MAX; i++)
                w->workers[i].size = LIMIT / 2 + i;
        for (usec_t until = w->now + 5 * USEC_PER_SEC; w->now < until;) {
                uint32_t before = 0, after = 0;

                for (uint32_t i = 0; i < WORLD_WORKERS_MAX; i++)
                        before += w->pool.workers[i].size > 0;
                world_wait(w);
                for (uint32_t i = 0; i < WORLD_WORKERS_MAX; i++)
                        after += w->pool.workers[i].size > 0;
                assert_true(after - before <= 16);
        }
        for (uint32_t i = 0; i < WORLD_WORKERS_MAX; i++)
                assert_int_equal(w->pool.workers[i].size, w->workers[i].size);
}

static void test_without_the_settings_nobody_is_looked_at(void **state)
{
        (void)state;
        begin_recycling(1, USEC_INFINITY, UINT64_MAX);
        w->workers[0].size = UINT64_MAX / 2;
        assert_int_equal(w->timer, USEC_INFINITY);
        assert_int_equal(w->pool.workers[0].size, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_successor_of_an_old_one),
                IN_A_WORLD(test_ages_are_spread),
                IN_A_WORLD(test_old_ones_are_replaced_one_at_a_time),
                IN_A_WORLD(test_adoption_keeps_the_age),
                IN_A_WORLD(test_successor_of_a_large_one),
                IN_A_WORLD(test_one_that_shrinks_again_stays),
                IN_A_WORLD(test_large_from_the_start_is_no_mill),
                IN_A_WORLD(test_many_are_weighed_in_turns),
                IN_A_WORLD(test_without_the_settings_nobody_is_looked_at),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
