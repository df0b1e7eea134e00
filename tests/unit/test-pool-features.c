/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a worker may say and hear once it took the features for it: FAILED, READY 0, DRAIN. One
 * matter a test: src/policy/pool-life.c, pool.c, pool-queue.c, pool-open.c.
 */

#include "world-crash.h"
#include "world-steps.h"

static void adopt(void)
{
        world_adopt(w, WORLD_CRASH);
}

/* --- FAILED --- */

static void test_failed_is_counted_by_its_name(void **state)
{
        (void)state;
        begin_ready(1, 2);
        accept_all(2);
        world_receive(w, 0, 2);
        world_failed(w, 0, 0);
        assert_int_equal(w->state.counters.failed, 1);
        assert_int_equal(w->state.counters.done, 0);
        assert_int_equal(w->pool.slots.n_used, 1);
        accept_all(1); /* its credit is back */
        world_receive(w, 0, 1);
        world_done(w, 0, 0);
        assert_int_equal(w->state.counters.done, 1);
}

static void test_failed_for_a_foreign_id(void **state)
{
        (void)state;
        begin_ready(2, 1);
        accept_all(2);
        assert_int_equal(pool_failed(&w->pool, 0, w->workers[1].queue[0].id), POOL_FOREIGN_ID);
        assert_int_equal(pool_failed(&w->pool, 0, 0), POOL_FOREIGN_ID);
        assert_int_equal(w->state.counters.failed, 0);
}

/* A program that starts and can serve nobody is started with the growing delay. */
static void test_failed_is_no_service(void **state)
{
        usec_t delay;

        (void)state;
        begin_ready(1, 1);
        accept_all(1);
        world_receive(w, 0, 1);
        world_failed(w, 0, 0);
        world_exit(w, 0);
        assert_true(backoff_is_failing(&w->pool.backoff));
        delay = w->pool.backoff.delay;

        world_wait(w);
        world_ready(w, 0, 1);
        accept_all(1);
        world_receive(w, 0, 1);
        world_failed(w, 0, 0);
        assert_int_equal(w->pool.backoff.delay, delay); /* it is not forgotten */
        accept_all(1);
        world_receive(w, 0, 1);
        world_done(w, 0, 0);
        assert_false(backoff_is_failing(&w->pool.backoff));
}

/* --- READY 0 --- */

static void test_paused_worker_gets_nothing(void **state)
{
        (void)state;
        begin_ready(2, 2);
        world_ready(w, 0, 0);
        assert_true(pool_is_paused(&w->pool, 0));
        accept_all(2);
        assert_int_equal(w->workers[0].n_queue, 0);
        assert_int_equal(w->workers[1].n_queue, 2);
        assert_false(w->listening);
        world_ready(w, 0, 3);
        assert_false(pool_is_paused(&w->pool, 0));
        assert_true(w->listening);
        accept_all(3);
        assert_int_equal(w->workers[0].n_queue, 3);
}

static void test_pause_leaves_what_it_has(void **state)
{
        (void)state;
        begin_ready(1, 4);
        accept_all(2);
        world_ready(w, 0, 0);
        world_receive(w, 0, 2);
        world_done(w, 0, 0);
        world_done(w, 0, 0);
        assert_int_equal(w->state.counters.done, 2);
        assert_int_equal(w->rows[0].capacity, 4); /* as it said last */
        assert_false(w->listening);
}

static void test_pause_before_the_first_ready(void **state)
{
        (void)state;
        begin(1, UINT32_MAX);
        assert_int_equal(pool_ready(&w->pool, 0, 0, 0, w->now), POOL_READY_FOR_NOTHING);
        assert_int_equal(world_state(w, 0), WORKER_STARTING);
        assert_int_equal(w->rows[0].capacity, 0);
}

/* Pauses are READYs, and counted as such. */
static void test_pause_flood(void **state)
{
        (void)state;
        begin_ready(1, 1);
        for (uint32_t i = 0; i < 9; i++)
                assert_int_equal(pool_ready(&w->pool, 0, i % 2, 1, w->now), 0);
        assert_int_equal(pool_ready(&w->pool, 0, 0, 1, w->now), POOL_READY_FLOOD);
}

/* A paused worker is no spare one, and none that is out of use. */
static void test_pool_grows_past_a_paused_worker(void **state)
{
        (void)state;
        begin_sized(1, 1, 2);
        world_ready(w, 0, 0);
        assert_int_equal(w->pool.n_idle, 0);
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        all_ready(1);
        accept_all(1);
        assert_int_equal(w->workers[0].n_queue, 0);
}

static void test_pause_outlives_the_dispatcher(void **state)
{
        (void)state;
        begin_ready(2, 2);
        world_ready(w, 0, 0);
        adopt();
        for (uint32_t i = 0; i < 2; i++) {
                world_receive(w, i, 1);
                world_pong(w, i);
        }
        assert_true(pool_is_paused(&w->pool, 0));
        accept_all(2);
        assert_int_equal(w->workers[0].n_queue, 0);
        world_ready(w, 0, 2);
        accept_all(2);
        assert_int_equal(w->workers[0].n_queue, 2);
}

/* --- What READY takes --- */

static void test_features_are_noted(void **state)
{
        (void)state;
        begin(1, UINT32_MAX);
        assert_int_equal(w->rows[0].offered, WORLD_OFFERS);
        assert_int_equal(pool_ready(&w->pool, 0, 1, 5, w->now), 0);
        assert_int_equal(w->rows[0].features, 5);
        assert_int_equal(pool_ready(&w->pool, 0, 2, 5, w->now), 0);
        assert_int_equal(pool_ready(&w->pool, 0, 2, 1, w->now), POOL_BAD_FEATURES);
        assert_int_equal(pool_ready(&w->pool, 0, 2, 7, w->now), POOL_BAD_FEATURES);
        assert_int_equal(w->rows[0].features, 5);
}

/* A worker was offered what the dispatcher knew that started it. */
static void test_features_that_were_not_offered(void **state)
{
        (void)state;
        begin(1, UINT32_MAX);
        w->pool.offers = UINT32_MAX;
        assert_int_equal(pool_ready(&w->pool, 0, 1, WORLD_OFFERS + 1, w->now), POOL_BAD_FEATURES);
        assert_int_equal(w->rows[0].capacity, 0);
        assert_int_equal(world_state(w, 0), WORKER_STARTING);
}

/* --- DRAIN --- */

/* Worker 0 has three connections in its queue, and DRAIN behind them. */
static void drain_told(void)
{
        begin_ready(1, 4);
        accept_all(3);
        w->told = 256;
        world_stop(w);
        assert_int_equal(world_state(w, 0), WORKER_DRAINING);
        assert_int_equal(w->workers[0].n_queue, 4);
        assert_true(w->rows[0].flags & ROW_DRAIN_TOLD);
}

static void expect_waiting(void)
{
        for (uint32_t i = 4; i > 0; i--)
                assert_int_equal(pool_count_waiting(&w->pool, 0, i), i - 1);
        assert_int_equal(pool_count_waiting(&w->pool, 0, 0), 0);
}

static void test_drain_is_no_connection(void **state)
{
        (void)state;
        drain_told();
        expect_waiting();
}

static void test_drain_is_no_connection_after_an_adoption(void **state)
{
        (void)state;
        drain_told();
        adopt();
        assert_int_equal(world_state(w, 0), WORKER_DRAINING);
        expect_waiting();
}

/* It may wait as long as it likes: nothing is taken back for its sake. */
static void test_drain_that_nobody_reads(void **state)
{
        (void)state;
        drain_told();
        world_receive(w, 0, 3);
        assert_int_equal(pool_sampled(&w->pool, 0, 1, w->now + 9 * USEC_PER_SEC), 0);
        assert_false(pool_is_in_doubt(&w->pool, 0));
        assert_false(w->pool.workers[0].taking_back);
}

/* The last connection before it is not too old because DRAIN is not read. */
static void test_mark_is_before_the_drain(void **state)
{
        (void)state;
        drain_told();
        w->pool.workers[0].mark_at = 0;
        (void)pool_sampled(&w->pool, 0, 4, w->now); /* no mark: it is not up to it */
        pool_sampling_done(&w->pool);
        world_pass(w, 0);
        pool_decide(&w->pool, w->now, &w->decision); /* sets it */
        assert_int_equal(w->pool.workers[0].mark_sent, 3);
        w->pool.dirty = false;
}

/* A question in front of it is still known. */
static void test_question_before_the_drain(void **state)
{
        (void)state;
        begin_ready(1, 4);
        accept_all(1);
        pool_asked(&w->pool, 0, QUESTION_PING, pool_next_question(&w->pool), w->now);
        pool_drained(&w->pool, 0, true, w->now);
        assert_int_equal(pool_count_waiting(&w->pool, 0, 3), 1); /* connection, PING, DRAIN */
        assert_int_equal(pool_count_waiting(&w->pool, 0, 2), 0);
        assert_int_equal(pool_count_waiting(&w->pool, 0, 1), 0);
}

/* Nobody has to have credit for a record that is nobody's. */
static void test_death_with_nothing_but_the_drain(void **state)
{
        (void)state;
        drain_told();
        world_receive(w, 0, 3);
        assert_int_equal(w->workers[0].n_queue, 1);
        world_exit(w, 0);
        assert_int_equal(world_state(w, 0), WORKER_NONE);
        assert_int_equal(w->state.counters.lost, 3);
        assert_true(w->finished);
}

/* The dispatcher died after DRAIN was sent, and before that was noted: the worker goes on, and what
 * it is sent later comes behind DRAIN. */
static void test_crash_while_draining(void **state)
{
        (void)state;
        begin_ready(1, 4);
        w->rows[0].flags |= ROW_DRAIN_TOLD;
        adopt();
        assert_int_equal(world_state(w, 0), WORKER_READY);
        assert_false(w->rows[0].flags & ROW_DRAIN_TOLD);
        world_receive(w, 0, 1);
        world_pong(w, 0);
        accept_all(1);
        assert_int_equal(pool_count_waiting(&w->pool, 0, 1), 1);
}

static void test_untold_drain(void **state)
{
        (void)state;
        begin_ready(1, 4);
        accept_all(3);
        world_stop(w);
        assert_false(w->rows[0].flags & ROW_DRAIN_TOLD);
        assert_int_equal(pool_count_waiting(&w->pool, 0, 3), 3);
}

/* What DRAIN tells is what is kept. */
static void test_drain_deadline(void **state)
{
        (void)state;
        begin_ready(1, 4);
        assert_int_equal(pool_get_drain_deadline(&w->pool, w->now), USEC_INFINITY);
        w->settings.reload_drain_timeout = 7;
        assert_int_equal(pool_get_drain_deadline(&w->pool, w->now), w->now + 7);
        pool_stop(&w->pool, w->now);
        assert_int_equal(
                pool_get_drain_deadline(&w->pool, w->now + 5), w->now + w->settings.drain_timeout);
        pool_stop(&w->pool, w->now);
        assert_int_equal(pool_get_drain_deadline(&w->pool, w->now + 5), w->now + 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_failed_is_counted_by_its_name),
                IN_A_WORLD(test_failed_for_a_foreign_id),
                IN_A_WORLD(test_failed_is_no_service),
                IN_A_WORLD(test_paused_worker_gets_nothing),
                IN_A_WORLD(test_pause_leaves_what_it_has),
                IN_A_WORLD(test_pause_before_the_first_ready),
                IN_A_WORLD(test_pause_flood),
                IN_A_WORLD(test_pool_grows_past_a_paused_worker),
                IN_A_WORLD(test_pause_outlives_the_dispatcher),
                IN_A_WORLD(test_features_are_noted),
                IN_A_WORLD(test_features_that_were_not_offered),
                IN_A_WORLD(test_drain_is_no_connection),
                IN_A_WORLD(test_drain_is_no_connection_after_an_adoption),
                IN_A_WORLD(test_drain_that_nobody_reads),
                IN_A_WORLD(test_mark_is_before_the_drain),
                IN_A_WORLD(test_question_before_the_drain),
                IN_A_WORLD(test_death_with_nothing_but_the_drain),
                IN_A_WORLD(test_crash_while_draining),
                IN_A_WORLD(test_untold_drain),
                IN_A_WORLD(test_drain_deadline),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
