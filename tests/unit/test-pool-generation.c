/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One generation after another while the pool is larger than Workers=:
 * src/policy/pool-generation.c. One worker is replaced by one, whatever else happens; that what a
 * reload is about survives a crash is in test-pool-open.c.
 */

#include "world-steps.h"

/* All `most` run and are full, and clients wait. */
static void begin_grown(uint32_t workers, uint32_t most)
{
        begin_sized(workers, 0, most);
        w->backlog = most + 20;
        while (world_accept(w, 40) > 0)
                all_ready(1);
        assert_int_equal(world_count(w, WORKER_READY), most);
        assert_int_equal(w->backlog, 20);
}

/* Workers of a generation that run and are not on their way out. */
static uint32_t count_generation(uint32_t generation)
{
        uint32_t n = 0;

        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                enum worker_state state = world_state(w, i);

                n += (state == WORKER_STARTING || state == WORKER_READY) &&
                     w->rows[i].generation == generation;
        }

        return n;
}

static uint32_t find_starting(uint32_t generation)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                if (world_state(w, i) == WORKER_STARTING && w->rows[i].generation == generation)
                        return i;

        world_fail(w, "none is starting", __func__);
}

/* The next generation's first worker is ready. */
static void reload(void)
{
        world_try(w);
        world_ready(w, find_starting(w->state.trial), 1);
        world_end_trial(w, true);
        w->backlog++; /* so that some wait, always */
        (void)world_accept(w, 1);
}

static void finish_all(void)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                if (!worker_state_info(world_state(w, i))->alive)
                        continue;
                world_receive(w, i, WORLD_QUEUE_MAX);
                while (w->workers[i].n_held > 0)
                        world_done(w, i, 0);
                if (world_state(w, i) == WORKER_DRAINING)
                        world_exit(w, i);
        }
}

/* Nobody comes any more, and extra workers have been idle for long. */
static void quieten(void)
{
        w->backlog = 0;
        finish_all();
        for (int i = 0; w->timer != USEC_INFINITY; i++) {
                assert_true(i < 100);
                world_wait(w);
                finish_all();
        }
}

/* As many serve at each step as there were, and no more start than that: each old one goes when a
 * new one is ready, full and with clients that wait. */
static void test_grown_pool_is_replaced_one_by_one(void **state)
{
        (void)state;
        begin_grown(2, 8);
        reload();
        for (uint32_t n = 1; n < 8; n++) {
                assert_int_equal(world_count(w, WORKER_DRAINING), n);
                assert_int_equal(world_count(w, WORKER_READY), 8);
                assert_int_equal(count_generation(2), 8);
                world_ready(w, find_starting(2), 1);
                (void)world_accept(w, 1);
        }
        assert_int_equal(world_count(w, WORKER_DRAINING), 8);
        assert_int_equal(count_generation(2), 8);
        for (int i = 0; i < 10; i++)
                world_pass(w, USEC_PER_SEC);
        assert_int_equal(count_generation(2), 8);

        /* those that nobody needs retire, once the clients are served */
        while (w->backlog > 0) {
                finish_all();
                (void)world_accept(w, 40);
        }
        quieten();
        assert_int_equal(count_generation(2), 2);
        assert_int_equal(world_count(w, WORKER_NONE), w->pool.n_rows - 2);
        assert_int_equal(w->state.counters.lost, 0);
}

/* A grown pool takes the place of a smaller one at once. */
static void test_growth_during_a_reload(void **state)
{
        (void)state;
        begin_grown(2, 2);
        w->settings.workers_max = 8;
        pool_settings_changed(&w->pool);
        reload();
        while (world_count(w, WORKER_STARTING) > 0) {
                assert_true(world_count(w, WORKER_READY) >= 2);
                assert_true(count_generation(2) <= 8);
                world_ready(w, find_starting(2), 1);
                (void)world_accept(w, 40);
        }
        assert_int_equal(count_generation(1), 0);
        assert_int_equal(count_generation(2), 8);
}

/* The new settings allow fewer: as many as they allow, then the old ones go. */
static void test_fewer_than_there_were(void **state)
{
        (void)state;
        begin_grown(2, 8);
        w->settings.workers_max = 3;
        pool_settings_changed(&w->pool);
        reload();
        assert_int_equal(count_generation(2), 3);
        assert_int_equal(world_count(w, WORKER_READY), 8);
        world_ready(w, find_starting(2), 1);
        assert_int_equal(world_count(w, WORKER_READY), 8);
        world_ready(w, find_starting(2), 1);
        assert_int_equal(world_count(w, WORKER_READY), 3);
        assert_int_equal(count_generation(2), 3);
}

/* The third generation comes while the second takes the place of the first. */
static void test_reload_before_the_last_one_is_through(void **state)
{
        (void)state;
        begin_grown(2, 8);
        reload();
        world_ready(w, find_starting(2), 1);
        world_ready(w, find_starting(2), 1);
        assert_int_equal(world_count(w, WORKER_READY), 8);
        reload();
        while (world_count(w, WORKER_STARTING) > 0) {
                assert_int_equal(world_count(w, WORKER_READY), 8);
                assert_int_equal(count_generation(3), 8);
                world_ready(w, find_starting(3), 1);
                (void)world_accept(w, 1);
        }
        assert_int_equal(count_generation(1) + count_generation(2), 0);
        assert_int_equal(count_generation(3), 8);
}

/* What dies meanwhile is not replaced twice. */
static void test_old_ones_that_die(void **state)
{
        (void)state;
        begin_grown(2, 8);
        reload();
        for (uint32_t n = 8; n > 1; n--)
                if (count_generation(1) > 0)
                        world_exit(w, world_find(w, WORKER_READY));
        assert_int_equal(count_generation(2), 8);
}

/* As many idle ones as before are ready at each step. */
static void test_spare_ones_stay(void **state)
{
        (void)state;
        begin_sized(1, 2, 8);
        for (int i = 0; i < 3; i++) {
                accept_all(1);
                all_ready(1);
        }
        assert_int_equal(world_count(w, WORKER_READY), 5);
        assert_int_equal(w->pool.n_idle, 2);
        world_try(w);
        world_ready(w, find_starting(2), 1);
        world_end_trial(w, true);
        while (world_count(w, WORKER_STARTING) > 0) {
                assert_true(w->pool.n_idle >= 2);
                world_ready(w, find_starting(2), 1);
        }
        assert_true(w->pool.n_idle >= 2);
        assert_int_equal(count_generation(2), 5);
        quieten();
        assert_int_equal(count_generation(2), 2);
}

/* A trial that fails leaves everything as it was: also what was just starting. */
static void test_trial_leaves_growth_alone(void **state)
{
        uint32_t row;

        (void)state;
        begin_sized(1, 0, 3);
        accept_all(1);
        row = find_starting(1);
        world_try(w);
        assert_int_equal(world_state(w, row), WORKER_STARTING);
        world_ready(w, row, 1);
        assert_int_equal(world_count(w, WORKER_READY), 2);
        world_exit(w, find_starting(2));
        world_end_trial(w, false);
        assert_int_equal(world_count(w, WORKER_READY), 2);
        assert_int_equal(count_generation(1), 2);
}

/* Once the next generation is in force, they would only be drained. */
static void test_old_one_that_starts_ends_at_the_gate(void **state)
{
        uint32_t row;

        (void)state;
        begin_sized(1, 0, 3);
        accept_all(1);
        row = find_starting(1);
        reload();
        assert_int_equal(world_state(w, row), WORKER_TERMINATING);
        assert_int_equal(count_generation(1), 0);
}

static void test_generation_comes_into_force(void **state)
{
        (void)state;
        begin_ready(2, 4);
        accept_all(2);
        world_try(w);
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        assert_true(w->listening);
        world_ready(w, world_find(w, WORKER_STARTING), 4);
        world_end_trial(w, true);
        assert_int_equal(w->state.generation, 2);
        /* one of the old went for the one that came; the other with the second */
        assert_int_equal(world_count(w, WORKER_DRAINING), 1);
        assert_int_equal(world_count(w, WORKER_READY), 2);
        all_ready(4);
        assert_int_equal(world_count(w, WORKER_DRAINING), 2);
        assert_int_equal(world_count(w, WORKER_READY), 2);
}

static void test_generation_is_abandoned(void **state)
{
        (void)state;
        begin_ready(2, 4);
        world_try(w);
        world_end_trial(w, false);
        assert_int_equal(w->state.generation, 1);
        assert_int_equal(world_count(w, WORKER_TERMINATING), 1);
        assert_int_equal(world_count(w, WORKER_READY), 2);
        assert_true(w->listening);
}

/* The old program is not as good as dead while the next one is tried: what dies is replaced by it,
 * the pool grows, and a trial that hangs costs nothing. */
static void test_generation_in_force_stays_at_full_strength(void **state)
{
        uint32_t trial;

        (void)state;
        begin_sized(2, 0, 4);
        world_pass(w, w->settings.restart_max_delay); /* these deaths are no failed starts */
        world_try(w);
        trial = find_starting(2);
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        while (world_count(w, WORKER_READY) > 0)
                world_exit(w, world_find(w, WORKER_READY));
        assert_int_equal(count_generation(1), 2);
        world_ready(w, find_starting(1), 1);
        world_ready(w, find_starting(1), 1);
        w->backlog = 4;
        (void)world_accept(w, 4);
        assert_int_equal(count_generation(1), 3);
        world_ready(w, find_starting(1), 1);
        (void)world_accept(w, 4);
        assert_int_equal(count_generation(1), 4);
        assert_int_equal(world_state(w, trial), WORKER_STARTING);
        assert_int_equal(count_generation(2), 1);
        world_end_trial(w, false);
        assert_int_equal(count_generation(1), 4);
        assert_int_equal(world_state(w, trial), WORKER_TERMINATING);
}

/* Nor do failed starts of the old program hold up the trial of the one that mends that. */
static void test_trial_does_not_wait_for_failed_starts(void **state)
{
        (void)state;
        begin_sized(1, 0, 1);
        world_exit(w, world_find(w, WORKER_READY));
        for (int i = 0; i < 5; i++) {
                world_wait(w);
                world_exit(w, find_starting(1));
        }
        assert_int_equal(world_count(w, WORKER_STARTING), 0);
        world_try(w);
        world_ready(w, find_starting(2), 1);
        assert_true(backoff_is_failing(&w->pool.backoff));
        world_end_trial(w, true);
        assert_false(backoff_is_failing(&w->pool.backoff));
}

/* A worker on trial is given the time that the new settings give it. */
static void test_trial_has_its_own_time_to_start(void **state)
{
        struct settings next;
        uint32_t row;

        (void)state;
        begin_sized(1, 0, 1);
        next = w->settings;
        next.timeout_start = 90 * USEC_PER_SEC;
        next.connections_per_worker = 3;
        pool_try(&w->pool, &next);
        w->timer = w->now;
        world_pass(w, 0);
        row = find_starting(2);
        assert_int_equal(w->rows[row].deadline - w->rows[row].started_at, 90 * USEC_PER_SEC);
        assert_int_equal(pool_ready(&w->pool, row, 7, 0, w->now), 0);
        assert_int_equal(w->rows[row].capacity, 3);
        pool_abandon(&w->pool);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_generation_comes_into_force),
                IN_A_WORLD(test_generation_is_abandoned),
                IN_A_WORLD(test_grown_pool_is_replaced_one_by_one),
                IN_A_WORLD(test_growth_during_a_reload),
                IN_A_WORLD(test_fewer_than_there_were),
                IN_A_WORLD(test_reload_before_the_last_one_is_through),
                IN_A_WORLD(test_old_ones_that_die),
                IN_A_WORLD(test_spare_ones_stay),
                IN_A_WORLD(test_trial_leaves_growth_alone),
                IN_A_WORLD(test_generation_in_force_stays_at_full_strength),
                IN_A_WORLD(test_trial_does_not_wait_for_failed_starts),
                IN_A_WORLD(test_trial_has_its_own_time_to_start),
                IN_A_WORLD(test_old_one_that_starts_ends_at_the_gate),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
