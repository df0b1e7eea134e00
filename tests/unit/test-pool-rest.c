/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The end of a pool that nobody uses: src/policy/pool-rest.c.
 */

#include "world-steps.h"

#define IDLE (8 * USEC_PER_SEC)

static void begin_idle(uint32_t workers, uint32_t capacity)
{
        world_default_settings(w, workers, UINT32_MAX);
        w->settings.queue_timeout = USEC_INFINITY; /* no timer but that of the rest */
        w->settings.exit_idle_time = IDLE;
        world_init(w, 0);
        world_pass(w, 1);
        all_ready(capacity);
}

/* Nobody does anything. Returns after how long the pool goes to rest. */
static usec_t await_rest(void)
{
        usec_t begun = w->now;

        while (!w->pool.rests) {
                assert_true(w->now - begun < 4 * IDLE);
                world_wait(w);
        }

        return w->now - begun;
}

static void end_drained(void)
{
        while (world_count(w, WORKER_DRAINING) > 0)
                world_exit(w, world_find(w, WORKER_DRAINING));
}

static void test_idle_pool_finishes(void **state)
{
        usec_t waited;

        (void)state;
        begin_idle(2, 1);
        waited = await_rest();
        assert_in_range(waited, IDLE - 2, IDLE + IDLE / 4);
        assert_int_equal(world_count(w, WORKER_DRAINING), 2);
        assert_false(w->finished);
        assert_false(w->state.stopping); /* whoever takes over goes on */
        end_drained();
        assert_true(w->finished);
        assert_int_equal(w->state.counters.accepted, 0);
}

static void test_without_the_setting_it_stays(void **state)
{
        (void)state;
        begin_idle(2, 1);
        w->settings.exit_idle_time = USEC_INFINITY;
        pool_settings_changed(&w->pool);
        world_pass(w, 0);
        world_wait(w);
        assert_int_equal(w->timer, USEC_INFINITY);
        assert_false(w->pool.rests);
}

static void test_open_connection_keeps_it(void **state)
{
        (void)state;
        begin_idle(1, 2);
        accept_all(1);
        for (usec_t begun = w->now; w->now - begun < 5 * IDLE;)
                world_wait(w);
        assert_false(w->pool.rests);

        world_receive(w, 0, 1);
        world_done(w, 0, 0);
        assert_in_range(await_rest(), IDLE, IDLE + IDLE / 4);
}

/* They come and go between two looks. */
static void test_short_connections_keep_it(void **state)
{
        (void)state;
        begin_idle(1, 1);
        for (int i = 0; i < 20; i++) {
                world_pass(w, IDLE * 9 / 10);
                accept_all(1);
                world_receive(w, 0, 1);
                world_done(w, 0, 0);
                assert_false(w->pool.rests);
        }
        assert_in_range(await_rest(), IDLE, IDLE + IDLE / 4);
}

static void test_client_in_the_backlog_keeps_it(void **state)
{
        (void)state;
        begin_idle(1, 1);
        world_pass(w, IDLE * 9 / 10);
        w->backlog = 1;
        for (usec_t begun = w->now; w->now - begun < 3 * IDLE;)
                world_wait(w);
        assert_int_equal(w->n_rests, 0);
        assert_int_equal(world_accept(w, 1), 1);
}

/* Although a worker takes its time to end. */
static void test_client_in_the_rest_is_served_by_another(void **state)
{
        (void)state;
        begin_idle(1, 1);
        (void)await_rest();
        assert_int_equal(world_state(w, 0), WORKER_DRAINING);
        w->backlog = 1;
        assert_int_equal(world_accept(w, 1), 0);
        assert_false(w->pool.rests);
        all_ready(1);
        assert_int_equal(world_accept(w, 1), 1);
        assert_int_equal(world_state(w, 0), WORKER_DRAINING);
}

static void test_client_at_the_last_look_is_served(void **state)
{
        (void)state;
        begin_idle(2, 1);
        (void)await_rest();
        end_drained();
        assert_true(w->finished);
        w->backlog = 1;
        assert_int_equal(world_accept(w, 1), 0);
        assert_false(w->finished);
        assert_int_equal(world_count(w, WORKER_STARTING), 2);
        all_ready(1);
        assert_int_equal(world_accept(w, 1), 1);
}

static void test_worker_that_does_not_end_is_killed(void **state)
{
        usec_t begun;

        (void)state;
        begin_idle(1, 1);
        (void)await_rest();
        begun = w->now;
        while (world_state(w, 0) != WORKER_KILLED)
                world_wait(w);
        assert_int_equal(w->now - begun, w->settings.drain_timeout + w->settings.timeout_stop);
        world_exit(w, 0);
        assert_true(w->finished);
}

/* It was recycled long ago, and ReloadDrainTimeoutSec= lets it take forever. */
static void test_rest_shortens_the_drain(void **state)
{
        usec_t begun;

        (void)state;
        begin_idle(2, 1);
        pool_drained(&w->pool, 0, false, w->now);
        w->workers[0].shut = true;
        world_receive(w, 1, 0); /* so that it is decided what follows */
        all_ready(1);
        assert_int_equal(w->rows[0].deadline, USEC_INFINITY);
        (void)await_rest();
        begun = w->now;
        while (world_state(w, 0) != WORKER_TERMINATING)
                world_wait(w);
        assert_int_equal(w->now - begun, w->settings.drain_timeout);
}

static void test_reload_keeps_it(void **state)
{
        (void)state;
        begin_idle(1, 1);
        world_try(w);
        for (usec_t begun = w->now; w->now - begun < 3 * IDLE;)
                world_wait(w);
        assert_int_equal(w->n_rests, 0);
        world_end_trial(w, false);
        (void)await_rest();

        pool_set_stays(&w->pool, true); /* its check runs */
        world_pass(w, w->timer - w->now);
        assert_false(w->pool.rests);
        end_drained();
        all_ready(1);
        for (usec_t begun = w->now; w->now - begun < 3 * IDLE;)
                world_wait(w);
        assert_int_equal(w->n_rests, 1);
        pool_set_stays(&w->pool, false);
        (void)await_rest();
}

/* Its status is what tells that something is wrong. */
static void test_pool_that_fails_stays(void **state)
{
        (void)state;
        begin_idle(1, 1);
        world_exit(w, 0);
        for (usec_t begun = w->now; w->now - begun < 3 * IDLE;) {
                if (world_count(w, WORKER_STARTING) > 0)
                        world_exit(w, world_find(w, WORKER_STARTING));
                world_wait(w);
        }
        assert_int_equal(w->n_rests, 0);
}

static void test_stop_of_a_resting_pool(void **state)
{
        (void)state;
        begin_idle(1, 1);
        (void)await_rest();
        world_stop(w);
        assert_false(w->pool.rests);
        end_drained();
        assert_true(w->finished);
        assert_true(w->state.stopping);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_idle_pool_finishes),
                IN_A_WORLD(test_without_the_setting_it_stays),
                IN_A_WORLD(test_open_connection_keeps_it),
                IN_A_WORLD(test_short_connections_keep_it),
                IN_A_WORLD(test_client_in_the_backlog_keeps_it),
                IN_A_WORLD(test_client_in_the_rest_is_served_by_another),
                IN_A_WORLD(test_client_at_the_last_look_is_served),
                IN_A_WORLD(test_worker_that_does_not_end_is_killed),
                IN_A_WORLD(test_rest_shortens_the_drain),
                IN_A_WORLD(test_reload_keeps_it),
                IN_A_WORLD(test_pool_that_fails_stays),
                IN_A_WORLD(test_stop_of_a_resting_pool),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
