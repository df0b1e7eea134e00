/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The pool when starts fail, and when it stops: src/policy/pool.c, pool-decide.c. What must hold
 * whatever happens is checked by the world after each event, and by test-pool-random.c in all kinds
 * of weather.
 */

#include "world-check.h"
#include "world-steps.h"

/* --- Starts that fail --- */

static void test_backoff_grows(void **state)
{
        usec_t delay;

        (void)state;
        begin(4, UINT32_MAX);
        delay = w->settings.restart;
        while (world_count(w, WORKER_STARTING) > 0)
                world_exit(w, world_find(w, WORKER_STARTING));
        for (int i = 0; i < 10; i++) {
                assert_int_equal(w->timer - w->now, delay);
                world_wait(w);
                assert_int_equal(world_count(w, WORKER_STARTING), 1); /* a probe */
                world_exit(w, world_find(w, WORKER_STARTING));
                delay = MIN(2 * delay, w->settings.restart_max_delay);
        }
}

static void test_probe_that_serves_brings_the_others(void **state)
{
        uint32_t row;

        (void)state;
        begin(4, UINT32_MAX);
        for (uint32_t i = 0; i < 4; i++)
                world_exit(w, i);
        world_wait(w);
        row = world_find(w, WORKER_STARTING);
        world_ready(w, row, 2);
        accept_all(1);
        world_receive(w, row, 1);
        world_done(w, row, 0);
        assert_int_equal(world_count(w, WORKER_STARTING), 3);
        world_pass(w, 1);
        while (world_count(w, WORKER_STARTING) > 0)
                world_exit(w, world_find(w, WORKER_STARTING));
        assert_int_equal(w->timer - w->now, w->settings.restart); /* from the beginning */
}

static usec_t age_of(uint32_t row)
{
        return w->now - w->rows[row].started_at;
}

/* The wait was over with each READY, however many of the same series had failed. */
static void test_backoff_of_those_that_are_ready_first(void **state)
{
        (void)state;
        begin(4, UINT32_MAX);
        for (int ms = 0; ms < 10000; ms++) {
                for (uint32_t i = 0; i < w->pool.n_rows; i++)
                        if (world_state(w, i) == WORKER_READY && age_of(i) >= 4000)
                                world_exit(w, i);
                for (uint32_t i = 0; i < w->pool.n_rows; i++)
                        if (world_state(w, i) == WORKER_STARTING && age_of(i) >= 1000)
                                world_ready(w, i, 1);
                world_pass(w, USEC_PER_MSEC);
        }
        assert_in_range(w->n_spawns, 5, 50);
}

/* One old worker that served all the time took the delay from those that failed. */
static void test_backoff_beside_a_healthy_worker(void **state)
{
        (void)state;
        begin(2, UINT32_MAX);
        world_ready(w, 0, 1);
        for (int ms = 0; ms < 10000; ms++) {
                if (world_count(w, WORKER_STARTING) > 0)
                        world_exit(w, world_find(w, WORKER_STARTING));
                accept_all(1);
                world_receive(w, 0, 1);
                world_done(w, 0, 0);
                world_pass(w, USEC_PER_MSEC);
        }
        assert_in_range(w->n_spawns, 3, 20);
}

/* Workers with connections that last were killed again and again, and their successors came later
 * each time, since none of the connections had come to its end. */
static void test_no_backoff_for_those_that_had_connections(void **state)
{
        (void)state;
        begin_ready(2, 100);
        for (unsigned i = 0; i < 50; i++) {
                accept_all(2);
                world_receive(w, 0, 10);
                world_receive(w, 1, 10);
                world_pass(w, 2 * w->settings.restart);
                world_exit(w, i % 2);
                assert_int_equal(world_count(w, WORKER_STARTING), 1);
                world_ready(w, world_find(w, WORKER_STARTING), 100);
        }
}

static void test_spawn_fails(void **state)
{
        (void)state;
        begin_ready(3, 1);
        w->spawn_fails = 256;
        for (uint32_t i = 0; i < 3; i++)
                world_exit(w, i);
        assert_int_equal(w->n_spawns, 3);
        w->spawn_fails = 0;
        world_wait(w);
        assert_int_equal(w->n_spawns, 4);
}

/* --- The stop --- */

static void test_stop(void **state)
{
        (void)state;
        begin(3, UINT32_MAX);
        world_ready(w, 0, 1);
        world_ready(w, 1, 1);
        accept_all(1);
        world_stop(w);
        assert_false(w->listening);
        assert_int_equal(world_count(w, WORKER_DRAINING), 2);
        assert_int_equal(world_state(w, 2), WORKER_TERMINATING);
        world_exit(w, 2);
        world_exit(w, 1);
        world_receive(w, 0, 1);
        world_done(w, 0, 0);
        assert_false(w->finished);
        world_exit(w, 0);
        assert_true(w->finished);
        assert_int_equal(w->state.counters.done, 1);
}

static void test_stop_of_hung_workers(void **state)
{
        usec_t begun;

        (void)state;
        begin_ready(1, 1);
        accept_all(1);
        world_receive(w, 0, 1);
        world_wait(w); /* its queue is seen to be empty */
        begun = w->now;
        world_stop(w);
        world_wait(w);
        assert_int_equal(w->now - begun, w->settings.drain_timeout);
        assert_int_equal(world_state(w, 0), WORKER_TERMINATING);
        world_wait(w);
        assert_int_equal(w->now - begun, w->settings.drain_timeout + w->settings.timeout_stop);
        assert_int_equal(world_state(w, 0), WORKER_KILLED);
        world_exit(w, 0);
        assert_true(w->finished);
        assert_int_equal(w->state.counters.lost, 1);
}

/* One worker serves all that it can, and another one died with two in its queue. */
static void begin_with_waiting(void)
{
        begin_ready(2, 2);
        accept_all(4);
        world_receive(w, 0, 2);
        w->spawn_fails = 256;
        world_exit(w, 1);
        assert_int_equal(world_count(w, WORKER_DEAD), 1);
}

static void test_stop_waits_for_a_credit(void **state)
{
        (void)state;
        begin_with_waiting();
        world_stop(w);
        assert_int_equal(world_state(w, 0), WORKER_READY);
        world_done(w, 0, 0);
        world_done(w, 0, 0);
        assert_int_equal(w->state.counters.taken_back, 2);
        assert_int_equal(world_state(w, 0), WORKER_DRAINING);
        world_receive(w, 0, 2);
        world_done(w, 0, 0);
        world_done(w, 0, 0);
        world_exit(w, 0);
        assert_true(w->finished);
        assert_int_equal(w->state.counters.done, 4);
}

static void test_stop_waits_for_a_credit_no_longer_than_allowed(void **state)
{
        usec_t begun;

        (void)state;
        begin_with_waiting();
        begun = w->now;
        world_stop(w);
        while (world_state(w, 0) != WORKER_KILLED)
                world_wait(w);
        world_exit(w, 0);
        assert_true(w->finished);
        assert_int_equal(w->now - begun, w->settings.drain_timeout + w->settings.timeout_stop);
        assert_int_equal(w->state.counters.refused[REFUSED_STOPPING], 2);
        assert_int_equal(w->state.counters.lost, 2);
}

/* The second stop found workers that were not drained yet, and gave them the whole time again. */
static void test_second_stop_waits_for_nobody(void **state)
{
        (void)state;
        world_default_settings(w, 2, UINT32_MAX);
        w->settings.drain_timeout = USEC_INFINITY;
        world_init(w, 0);
        all_ready(2);
        accept_all(4);
        w->spawn_fails = 256;
        world_exit(w, 1);
        world_stop(w);
        assert_int_equal(world_state(w, 0), WORKER_READY);
        world_stop(w);
        assert_int_equal(world_state(w, 0), WORKER_TERMINATING);
}

/* A worker that was about to be ready was not waited for. */
static void test_stop_waits_for_one_that_starts(void **state)
{
        uint32_t row;

        (void)state;
        begin(2, UINT32_MAX);
        world_ready(w, 0, 2);
        accept_all(2);
        world_exit(w, 0);
        assert_int_equal(world_count(w, WORKER_DEAD), 1);
        row = world_find(w, WORKER_STARTING);
        world_stop(w);
        world_ready(w, row, 2);
        assert_int_equal(w->state.counters.refused[REFUSED_STOPPING], 0);
        assert_int_equal(w->workers[row].n_queue, 2);
        assert_int_equal(world_state(w, row), WORKER_DRAINING);
}

static void test_stop_without_hope_refuses(void **state)
{
        (void)state;
        begin_ready(1, 2);
        accept_all(2);
        w->spawn_fails = 256;
        world_exit(w, 0);
        world_stop(w);
        assert_true(w->finished);
        assert_int_equal(w->state.counters.refused[REFUSED_STOPPING], 2);
}

/* Each row in use has descriptors in the store, and what that has no room for it drops. Dead
 * workers with queues filled it, and new ones would have been orphans after a crash. */
static void test_no_more_workers_than_the_store_takes(void **state)
{
        (void)state;
        begin_ready(2, 2);
        w->settings.queue_timeout = USEC_INFINITY;
        w->pool.rows_max = 3;
        accept_all(4);
        w->pool.workers[0].served = w->pool.workers[1].served = true;
        world_exit(w, 0);
        world_exit(w, 1);
        assert_int_equal(world_count(w, WORKER_DEAD), 2);
        assert_int_equal(world_count(w, WORKER_STARTING), 1); /* of two */
        world_pass(w, w->settings.restart_max_delay);
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        all_ready(4); /* takes both queues, whose rows are free then */
        assert_int_equal(world_count(w, WORKER_DEAD), 0);
        assert_int_equal(w->state.counters.taken_back, 4);
}

/* Processes of workers that never got ready. */
static uint32_t count_failing(void)
{
        uint32_t n = 0;

        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                n += w->workers[i].alive && w->workers[i].capacity == 0;

        return n;
}

/* It is never ready, and ends of nothing but SIGKILL: others were started meanwhile, 9 in the end
 * where one was asked for. */
static void test_start_that_is_late_and_ignores_sigterm_is_one(void **state)
{
        (void)state;
        begin(1, UINT32_MAX);
        for (int i = 0; i < 80; i++) {
                world_wait(w);
                assert_true(count_failing() <= 1);
                if (world_count(w, WORKER_KILLED) > 0)
                        world_exit(w, world_find(w, WORKER_KILLED));
        }
        assert_true(w->n_spawns >= 10);
        assert_true(w->pool.backoff.delay == w->settings.restart_max_delay);
}

/* A worker that breaks the protocol before it is ready had a successor before it was dead. */
static void test_start_that_is_killed_waits_for_its_turn(void **state)
{
        (void)state;
        begin(1, UINT32_MAX);
        for (int i = 0; i < 4; i++) {
                world_kill(w, world_find(w, WORKER_STARTING));
                world_settle(w);
                assert_int_equal(count_failing(), 1);
                world_exit(w, world_find(w, WORKER_KILLED));
                assert_int_equal(w->timer - w->now, w->settings.restart << i); /* once */
                world_wait(w);
        }
}

/* ... but not for ever. */
static void test_start_that_does_not_die_of_sigkill_holds_up_no_other_for_long(void **state)
{
        usec_t begun;

        (void)state;
        begin(1, UINT32_MAX);
        begun = w->now;
        world_kill(w, world_find(w, WORKER_STARTING));
        world_settle(w);
        while (world_count(w, WORKER_STARTING) == 0)
                world_wait(w);
        assert_int_equal(world_count(w, WORKER_KILLED), 1);
        assert_int_equal(w->now - begun, w->settings.restart_max_delay);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_backoff_grows),
                IN_A_WORLD(test_probe_that_serves_brings_the_others),
                IN_A_WORLD(test_backoff_of_those_that_are_ready_first),
                IN_A_WORLD(test_backoff_beside_a_healthy_worker),
                IN_A_WORLD(test_no_backoff_for_those_that_had_connections),
                IN_A_WORLD(test_spawn_fails),
                IN_A_WORLD(test_no_more_workers_than_the_store_takes),
                IN_A_WORLD(test_start_that_is_late_and_ignores_sigterm_is_one),
                IN_A_WORLD(test_start_that_is_killed_waits_for_its_turn),
                IN_A_WORLD(test_start_that_does_not_die_of_sigkill_holds_up_no_other_for_long),
                IN_A_WORLD(test_stop),
                IN_A_WORLD(test_stop_of_hung_workers),
                IN_A_WORLD(test_stop_waits_for_a_credit),
                IN_A_WORLD(test_stop_waits_for_a_credit_no_longer_than_allowed),
                IN_A_WORLD(test_second_stop_waits_for_nobody),
                IN_A_WORLD(test_stop_waits_for_one_that_starts),
                IN_A_WORLD(test_stop_without_hope_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
