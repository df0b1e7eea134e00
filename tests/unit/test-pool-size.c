/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How many workers there are, and when they go again: src/policy/pool-size.c. What must hold
 * whatever happens is checked by the world after each event, and by test-pool-random.c in all kinds
 * of weather.
 */

#include "world-steps.h"

static uint32_t running(void)
{
        return world_count(w, WORKER_STARTING) + world_count(w, WORKER_READY);
}

/* All workers finish what they have. */
static void finish_all(void)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                if (world_state(w, i) != WORKER_READY)
                        continue;
                world_receive(w, i, WORLD_QUEUE_MAX);
                while (w->workers[i].n_held > 0)
                        world_done(w, i, 0);
        }
}

/* Until nothing is to come any more, drained workers end at once. */
static void let_time_pass(void)
{
        for (int i = 0; w->timer != USEC_INFINITY; i++) {
                assert_true(i < 100);
                world_wait(w);
                while (world_count(w, WORKER_DRAINING) > 0)
                        world_exit(w, world_find(w, WORKER_DRAINING));
        }
}

/* --- Growth --- */

static void test_stays_without_workers_max(void **state)
{
        (void)state;
        begin_sized(2, 0, 2);
        accept_all(2);
        assert_int_equal(running(), 2);
}

static void test_last_credit_starts_one(void **state)
{
        (void)state;
        begin_sized(2, 0, 8);
        accept_all(1);
        assert_int_equal(running(), 2);
        accept_all(1);
        assert_int_equal(running(), 3);
        /* it is not filled: that was enough */
        all_ready(1);
        assert_int_equal(running(), 3);
}

/* A burst: 1, 2, 4, 8 ... at a time, and never more than are allowed. */
static void test_burst_doubles(void **state)
{
        static const uint32_t expected[] = { 1, 2, 4, 8, 14 };

        (void)state;
        begin_sized(2, 0, 31);
        w->backlog = 40;
        (void)world_accept(w, 40);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_int_equal(world_count(w, WORKER_STARTING), expected[i]);
                all_ready(1);
                (void)world_accept(w, 40);
        }
        assert_int_equal(running(), 31);
        assert_int_equal(w->backlog, 9);
}

/* Workers that take long to start are not started more often for that. */
static void test_slow_starts_are_no_storm(void **state)
{
        (void)state;
        begin_sized(2, 0, 31);
        w->backlog = 40;
        (void)world_accept(w, 40);
        for (int i = 0; i < 100; i++)
                world_pass(w, 10 * USEC_PER_MSEC);
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
}

static void test_growth_backs_off(void **state)
{
        (void)state;
        begin_sized(1, 0, 10);
        w->backlog = 10;
        (void)world_accept(w, 10);
        world_exit(w, world_find(w, WORKER_STARTING));
        assert_int_equal(running(), 1);
        assert_int_equal(w->timer - w->now, w->settings.restart);
        world_wait(w);
        world_exit(w, world_find(w, WORKER_STARTING));
        assert_int_equal(w->timer - w->now, 2 * w->settings.restart);
}

static void test_no_growth_at_max_connections(void **state)
{
        (void)state;
        world_default_settings(w, 1, UINT32_MAX);
        w->settings.queue_timeout = USEC_INFINITY;
        w->settings.workers_max = 5;
        w->settings.max_connections = 2;
        world_init(w, 0);
        all_ready(2);
        accept_all(2);
        assert_int_equal(running(), 1);
}

static void test_no_growth_without_descriptors(void **state)
{
        (void)state;
        begin_sized(1, 0, 5);
        w->no_descriptor = 256;
        w->backlog = 1;
        (void)world_accept(w, 1);
        assert_int_equal(running(), 1);
}

/* --- Spare ones --- */

static void test_spare_ones_are_kept(void **state)
{
        (void)state;
        begin_sized(1, 2, 6);
        assert_int_equal(running(), 2);
        for (uint32_t n = 1; n <= 4; n++) {
                accept_all(1);
                all_ready(1);
                assert_int_equal(running(), n + 2);
        }
        accept_all(2); /* up to WorkersMax= */
        assert_int_equal(running(), 6);
}

/* One that starts already counts. */
static void test_spare_ones_that_start_count(void **state)
{
        (void)state;
        begin_sized(4, 1, 8);
        accept_all(3);
        assert_int_equal(running(), 4);
        accept_all(1);
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        finish_all();
        assert_int_equal(running(), 5);
}

/* --- Retiring --- */

static void test_idle_ones_retire(void **state)
{
        usec_t begun;

        (void)state;
        begin_sized(2, 0, 8);
        for (int i = 0; i < 3; i++) {
                w->backlog = 8;
                (void)world_accept(w, 8);
                all_ready(1);
        }
        assert_int_equal(running(), 8);
        w->backlog = 0;
        finish_all();
        begun = w->now;
        while (w->timer < begun + w->settings.worker_idle_timeout)
                world_wait(w);
        assert_int_equal(running(), 8);
        let_time_pass();
        assert_int_equal(running(), 2);
        assert_in_range(w->now - begun, w->settings.worker_idle_timeout,
                w->settings.worker_idle_timeout * 5 / 4);
        /* that is no failed start, though they never served */
        assert_false(backoff_is_failing(&w->pool.backoff));
}

static void test_spare_ones_do_not_retire(void **state)
{
        (void)state;
        begin_sized(1, 3, 8);
        accept_all(3);
        all_ready(1);
        assert_int_equal(running(), 6);
        finish_all();
        let_time_pass();
        assert_int_equal(running(), 3);
}

/* What serves now and then does not retire; what serves does not. */
static void test_busy_ones_do_not_retire(void **state)
{
        (void)state;
        world_default_settings(w, 1, UINT32_MAX);
        w->settings.queue_timeout = USEC_INFINITY;
        w->settings.workers_max = 2;
        w->settings.distribute = DISTRIBUTE_ROUND_ROBIN;
        world_init(w, 0);
        all_ready(1);
        accept_all(1);
        all_ready(1);
        finish_all();
        assert_int_equal(running(), 2);
        for (int i = 0; i < 20; i++) {
                world_pass(w, w->settings.worker_idle_timeout / 4);
                accept_all(1);
                finish_all();
        }
        assert_int_equal(world_count(w, WORKER_READY), 2);
        accept_all(2);
        world_pass(w, 10 * w->settings.worker_idle_timeout);
        assert_int_equal(world_count(w, WORKER_READY), 2);
}

/* It has no time limit but that of a stop. */
static void test_stop_shortens_the_drain(void **state)
{
        usec_t begun;

        (void)state;
        begin_sized(1, 0, 2);
        accept_all(1);
        all_ready(1);
        finish_all();
        for (int i = 0; world_count(w, WORKER_DRAINING) == 0; i++) {
                assert_true(i < 100);
                world_wait(w);
        }
        assert_int_equal(w->timer, USEC_INFINITY);
        begun = w->now;
        world_stop(w);
        while (world_count(w, WORKER_DRAINING) > 0)
                world_wait(w);
        assert_int_equal(w->now - begun, w->settings.drain_timeout);
}

/* --- Recycling --- */

static void begin_recycling(uint32_t workers, uint32_t capacity)
{
        world_default_settings(w, workers, UINT32_MAX);
        w->settings.queue_timeout = USEC_INFINITY; /* no timer but those of the pool's size */
        w->settings.recycle_after = 3;
        world_init(w, 0);
        world_pass(w, 1);
        all_ready(capacity);
}

static void test_successor_is_ready_first(void **state)
{
        uint32_t row;

        (void)state;
        begin_recycling(1, 4);
        accept_all(2);
        assert_int_equal(running(), 1);
        accept_all(1);
        assert_int_equal(world_count(w, WORKER_READY), 1);
        row = world_find(w, WORKER_READY);
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        accept_all(1); /* it still serves */

        all_ready(4);
        assert_int_equal(world_state(w, row), WORKER_DRAINING);
        assert_int_equal(w->rows[row].deadline, USEC_INFINITY);
        assert_int_equal(world_count(w, WORKER_READY), 1);
        world_receive(w, row, 4);
        for (int i = 0; i < 4; i++)
                world_done(w, row, 0);
        world_exit(w, row);
        assert_int_equal(w->state.counters.done, 4);
        assert_int_equal(running(), 1);
}

static void test_one_is_recycled_at_a_time(void **state)
{
        uint32_t row;

        (void)state;
        begin_recycling(3, 3);
        accept_all(9); /* all are due */
        for (uint32_t i = 0; i < 3; i++) {
                assert_int_equal(world_count(w, WORKER_STARTING), 1);
                world_ready(w, world_find(w, WORKER_STARTING), 3);
                assert_int_equal(world_count(w, WORKER_DRAINING), 1);
                assert_int_equal(world_count(w, WORKER_STARTING), 0);
                assert_int_equal(world_count(w, WORKER_READY), 3);
                row = world_find(w, WORKER_DRAINING);
                world_receive(w, row, 3);
                for (int k = 0; k < 3; k++)
                        world_done(w, row, 0);
                world_exit(w, row);
        }
        assert_int_equal(running(), 3);
}

static void test_drain_of_a_recycled_one_is_limited(void **state)
{
        usec_t begun;

        (void)state;
        begin_recycling(1, 3);
        w->settings.reload_drain_timeout = 7 * USEC_PER_SEC;
        accept_all(3);
        world_receive(w, 0, 3);
        begun = w->now;
        all_ready(3);
        while (world_state(w, 0) != WORKER_TERMINATING)
                world_wait(w);
        assert_int_equal(w->now - begun, 7 * USEC_PER_SEC);
}

/* The program is gone: the old workers stay. */
static void test_no_successor_no_recycling(void **state)
{
        (void)state;
        begin_recycling(2, 3);
        accept_all(6);
        for (int i = 0; i < 10; i++) {
                world_exit(w, world_find(w, WORKER_STARTING));
                assert_int_equal(world_count(w, WORKER_READY), 2);
                world_wait(w);
        }
        /* this one is ready, and has shown nothing yet */
        world_ready(w, world_find(w, WORKER_STARTING), 3);
        assert_int_equal(world_count(w, WORKER_DRAINING), 0);
        accept_all(1);
        finish_all();
        assert_int_equal(world_count(w, WORKER_DRAINING), 1);
        assert_int_equal(world_count(w, WORKER_READY), 2);
}

/* One failed start, and the old workers served all of the few clients that came: the successor
 * never served, and nobody was recycled any more. */
static void test_recycling_survives_a_failed_successor(void **state)
{
        (void)state;
        begin_recycling(1, 4);
        accept_all(3);
        finish_all();
        world_exit(w, world_find(w, WORKER_STARTING));
        world_wait(w);
        all_ready(4);
        for (int i = 0; i < 20; i++) {
                accept_all(1);
                finish_all();
                assert_int_equal(world_count(w, WORKER_READY), 2);
                assert_true(backoff_is_failing(&w->pool.backoff));
                world_pass(w, w->settings.restart_max_delay / 20);
        }
        assert_false(backoff_is_failing(&w->pool.backoff));
        assert_int_equal(world_state(w, 0), WORKER_DRAINING);
        world_exit(w, 0);
        accept_all(3);
        assert_int_equal(world_count(w, WORKER_STARTING), 1); /* the next one is due */
}

/* The one to be recycled died by itself: its successor is an ordinary worker. */
static void test_successor_of_one_that_died(void **state)
{
        (void)state;
        begin_recycling(1, 3);
        accept_all(3);
        world_receive(w, 0, 3);
        world_exit(w, 0);
        assert_int_equal(running(), 1);
        all_ready(3);
        assert_int_equal(world_count(w, WORKER_READY), 1);
        assert_int_equal(running(), 1);
        accept_all(2);
        assert_int_equal(running(), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_stays_without_workers_max),
                IN_A_WORLD(test_last_credit_starts_one),
                IN_A_WORLD(test_burst_doubles),
                IN_A_WORLD(test_slow_starts_are_no_storm),
                IN_A_WORLD(test_growth_backs_off),
                IN_A_WORLD(test_no_growth_at_max_connections),
                IN_A_WORLD(test_no_growth_without_descriptors),
                IN_A_WORLD(test_spare_ones_are_kept),
                IN_A_WORLD(test_spare_ones_that_start_count),
                IN_A_WORLD(test_idle_ones_retire),
                IN_A_WORLD(test_spare_ones_do_not_retire),
                IN_A_WORLD(test_busy_ones_do_not_retire),
                IN_A_WORLD(test_stop_shortens_the_drain),
                IN_A_WORLD(test_successor_is_ready_first),
                IN_A_WORLD(test_one_is_recycled_at_a_time),
                IN_A_WORLD(test_drain_of_a_recycled_one_is_limited),
                IN_A_WORLD(test_no_successor_no_recycling),
                IN_A_WORLD(test_recycling_survives_a_failed_successor),
                IN_A_WORLD(test_successor_of_one_that_died),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
