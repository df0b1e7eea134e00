/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The pool, one matter a test: src/policy/pool.c, pool-decide.c. What must hold whatever happens is
 * checked by the world after each event, and by test-pool-random.c in all kinds of weather.
 */

#include "world-steps.h"

/* --- Workers come --- */

static void test_starts_all_workers(void **state)
{
        (void)state;
        begin(WORLD_WORKERS_MAX, UINT32_MAX); /* more than fit one decision */
        assert_true(WORLD_WORKERS_MAX > POOL_ACTIONS_MAX);
        assert_int_equal(world_count(w, WORKER_STARTING), WORLD_WORKERS_MAX);
        assert_false(w->listening);
        assert_int_equal(w->timer, w->now - 1 + w->settings.timeout_start);
}

static void test_ready_opens_the_gate(void **state)
{
        (void)state;
        begin(2, UINT32_MAX);
        world_ready(w, 0, 1);
        assert_true(w->listening);
        accept_all(1);
        assert_false(w->listening);
        world_receive(w, 0, 1);
        world_done(w, 0, 0);
        assert_true(w->listening);
}

static void test_capacity_is_bounded(void **state)
{
        (void)state;
        begin(1, 3);
        world_ready(w, 0, UINT32_MAX);
        w->backlog = 10;
        assert_int_equal(world_accept(w, 10), 3);
        /* from here on fewer, without taking away what it has */
        world_ready(w, 0, 1);
        world_receive(w, 0, 3);
        world_done(w, 0, 0);
        world_done(w, 0, 0);
        assert_false(w->listening);
        world_done(w, 0, 0);
        assert_int_equal(world_accept(w, 10), 1);
}

static void test_max_connections(void **state)
{
        (void)state;
        world_default_settings(w, 2, UINT32_MAX);
        w->settings.max_connections = 3;
        world_init(w, 0);
        all_ready(10);
        w->backlog = 10;
        assert_int_equal(world_accept(w, 10), 3);
        assert_false(w->listening);
        world_receive(w, 0, 2);
        world_done(w, 0, 0);
        assert_true(w->listening);
        assert_int_equal(world_accept(w, 10), 1);
}

static void test_never_ready(void **state)
{
        (void)state;
        begin(1, UINT32_MAX);
        world_wait(w);
        assert_int_equal(world_state(w, 0), WORKER_TERMINATING);
        assert_int_equal(world_state(w, 1), WORKER_NONE); /* one at a time */
        world_wait(w);
        assert_int_equal(world_state(w, 0), WORKER_KILLED);
        assert_int_equal(w->now, (1000 + 30 + 5) * USEC_PER_SEC);
}

static void test_ready_flood(void **state)
{
        (void)state;
        begin_ready(1, 1);
        for (int i = 0; i < 9; i++)
                assert_int_equal(pool_ready(&w->pool, 0, 1, 1, w->now), 0);
        assert_int_equal(pool_ready(&w->pool, 0, 1, 1, w->now + 999999), POOL_READY_FLOOD);
        assert_int_equal(pool_ready(&w->pool, 0, 1, 1, w->now + 1000000), 0);
}

/* --- Connections go --- */

static void test_round_robin(void **state)
{
        (void)state;
        world_default_settings(w, 3, UINT32_MAX);
        w->settings.distribute = DISTRIBUTE_ROUND_ROBIN;
        world_init(w, 0);
        all_ready(4);
        accept_all(12);
        for (uint32_t i = 0; i < 3; i++)
                for (size_t k = 1; k < 4; k++)
                        assert_int_equal(w->workers[i].queue[k].id % (SLOTS_MAX),
                                w->workers[i].queue[k - 1].id % SLOTS_MAX + 3);
}

static void test_least_connections(void **state)
{
        (void)state;
        begin_ready(3, 8);
        accept_all(9);
        for (uint32_t i = 0; i < 3; i++)
                assert_int_equal(w->workers[i].n_queue, 3);
        world_receive(w, 1, 3);
        for (int i = 0; i < 3; i++)
                world_done(w, 1, 0);
        accept_all(3);
        assert_int_equal(w->workers[1].n_queue, 3);
}

static void test_foreign_ids(void **state)
{
        uint64_t id;

        (void)state;
        begin_ready(2, 1);
        accept_all(2);
        id = w->workers[1].queue[0].id;
        assert_int_equal(pool_done(&w->pool, 0, id), POOL_FOREIGN_ID);
        assert_int_equal(pool_done(&w->pool, 1, id + SLOTS_MAX), POOL_FOREIGN_ID);
        assert_int_equal(pool_done(&w->pool, 1, id + 1), POOL_FOREIGN_ID);
        assert_int_equal(pool_done(&w->pool, 1, 0), POOL_FOREIGN_ID);
        assert_int_equal(pool_done(&w->pool, 1, UINT64_MAX), POOL_FOREIGN_ID);
        world_receive(w, 1, 1);
        world_done(w, 1, 0);
        assert_int_equal(pool_done(&w->pool, 1, id), POOL_FOREIGN_ID);
}

static void test_full_channel(void **state)
{
        (void)state;
        begin_ready(1, 100);
        w->backlog = 20;
        /* one more is accepted, and waits */
        assert_int_equal(world_accept(w, 20), WORLD_QUEUE_MAX + 1);
        assert_int_equal(w->n_hand, 1);
        assert_false(w->listening);

        world_wait(w); /* still full */
        assert_int_equal(w->n_hand, 1);
        world_receive(w, 0, WORLD_QUEUE_MAX);
        world_wait(w);
        assert_int_equal(w->n_hand, 0);
}

/* The listeners stayed out of the loop when credit was left after the one that had waited. */
static void test_listens_again_after_a_full_channel(void **state)
{
        (void)state;
        begin_ready(1, 100);
        w->channel_full = 256;
        accept_all(1);
        assert_int_equal(w->n_hand, 1);
        assert_false(w->listening);
        w->channel_full = 0;
        world_wait(w);
        assert_int_equal(w->n_hand, 0);
        assert_true(w->listening);
}

static void test_full_channel_that_says_something(void **state)
{
        (void)state;
        begin_ready(1, 2);
        accept_all(1);
        w->channel_full = 256;
        accept_all(1);
        w->channel_full = 0;
        world_receive(w, 0, 1);
        assert_int_equal(w->n_hand, 1);
        world_done(w, 0, 0);
        assert_int_equal(w->n_hand, 0); /* no time went by */
}

static void test_pause(void **state)
{
        (void)state;
        begin_ready(1, 2);
        w->no_descriptor = 256;
        w->backlog = 2;
        assert_int_equal(world_accept(w, 2), 0);
        assert_false(w->listening);
        w->no_descriptor = 0;
        world_wait(w);
        assert_true(w->listening);
        assert_int_equal(world_accept(w, 2), 2);
}

/* --- Workers go --- */

static void test_lost_and_taken_back(void **state)
{
        (void)state;
        begin_ready(2, 4);
        accept_all(8);
        world_receive(w, 0, 1);
        world_exit(w, 0);
        assert_int_equal(world_state(w, 0), WORKER_DEAD);
        assert_int_equal(
                w->state.counters.lost, 0); /* what is lost is known when the queue is empty */
        assert_false(w->listening);

        world_receive(w, 1, 4);
        for (int i = 0; i < 4; i++)
                world_done(w, 1, 0);
        assert_int_equal(w->state.counters.taken_back, 3);
        assert_int_equal(w->state.counters.lost, 1);
        assert_true(w->listening);
}

static void test_smallest_queue_goes_first(void **state)
{
        uint64_t of_two, of_one;

        (void)state;
        begin(2, UINT32_MAX);
        world_ready(w, 0, 2);
        world_ready(w, 1, 1);
        accept_all(3);
        of_two = w->workers[0].queue[0].id;
        of_one = w->workers[1].queue[0].id;
        world_exit(w, 0);
        world_exit(w, 1);
        assert_int_equal(world_count(w, WORKER_DEAD), 2);
        world_wait(w); /* for the back-off */
        assert_int_equal(world_state(w, 2), WORKER_STARTING);
        world_ready(w, 2, 2);
        assert_int_equal(w->workers[2].queue[0].id, of_one);
        assert_int_equal(w->workers[2].queue[1].id, of_two);
}

/* A worker said DONE for what it had not received, and died: nothing was decided any more. */
static void test_done_unreceived_then_death(void **state)
{
        (void)state;
        begin_ready(2, 2);
        accept_all(4);
        world_done_unreceived(w, 0, 0);
        world_done_unreceived(w, 0, 1);
        world_done_unreceived(w, 1, 0);
        world_exit(w, 0);
        assert_int_equal(world_count(w, WORKER_DEAD), 0);
        assert_true(w->listening);
}

/* Rows ran out when worker after worker died with a part of a dead one's queue. */
static void test_dead_queues_do_not_use_up_rows(void **state)
{
        (void)state;
        begin_ready(1, WORLD_QUEUE_MAX);
        accept_all(WORLD_QUEUE_MAX);
        world_exit(w, 0);
        for (int i = 0; i < 100; i++) {
                if (world_count(w, WORKER_STARTING) == 0)
                        world_wait(w);
                world_ready(w, world_find(w, WORKER_STARTING), 1);
                world_exit(w, world_find(w, WORKER_READY));
        }
        world_wait(w);
        world_ready(w, world_find(w, WORKER_STARTING), 2 * WORLD_QUEUE_MAX);
        assert_int_equal(world_count(w, WORKER_DEAD), 0);
        assert_true(w->listening);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_starts_all_workers),
                IN_A_WORLD(test_ready_opens_the_gate),
                IN_A_WORLD(test_capacity_is_bounded),
                IN_A_WORLD(test_max_connections),
                IN_A_WORLD(test_never_ready),
                IN_A_WORLD(test_ready_flood),
                IN_A_WORLD(test_round_robin),
                IN_A_WORLD(test_least_connections),
                IN_A_WORLD(test_foreign_ids),
                IN_A_WORLD(test_full_channel),
                IN_A_WORLD(test_listens_again_after_a_full_channel),
                IN_A_WORLD(test_full_channel_that_says_something),
                IN_A_WORLD(test_pause),
                IN_A_WORLD(test_lost_and_taken_back),
                IN_A_WORLD(test_smallest_queue_goes_first),
                IN_A_WORLD(test_done_unreceived_then_death),
                IN_A_WORLD(test_dead_queues_do_not_use_up_rows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
