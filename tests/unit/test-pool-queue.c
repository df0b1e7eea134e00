/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workers that do not read what they are sent: src/policy/pool-queue.c, one matter a test. What
 * must hold whatever happens is checked by the world after each event, and by test-pool-random.c.
 */

#include "world-check.h"
#include "world-steps.h"

#define WATCHDOG (2 * USEC_PER_SEC)

static void set_times(usec_t queue_timeout, usec_t watchdog)
{
        w->settings.queue_timeout = queue_timeout;
        w->settings.watchdog = watchdog;
        pool_settings_changed(&w->pool);
        world_receive(w, 0, 0);
}

/* Row 1 reads and answers, row 0 does not. Returns the time until `state` of row 0 or, with
 * WORKER_STATES, until its queue is taken. */
static usec_t wait_for(enum worker_state state)
{
        usec_t begun = w->now;

        while (state == WORKER_STATES ? world_count_waiting(w, 0) > 0
                                      : world_state(w, 0) != state) {
                assert_true(w->now - begun < USEC_PER_DAY);
                if (world_state(w, 1) == WORKER_READY) {
                        world_receive(w, 1, WORLD_QUEUE_MAX);
                        if (w->workers[1].asked)
                                world_pong(w, 1);
                }
                world_wait(w);
        }

        return w->now - begun;
}

/* Two workers for 8 connections each; one connection waits for row 0. */
static void begin_with_waiting(void)
{
        begin_ready(2, 8);
        w->settings.distribute = DISTRIBUTE_ROUND_ROBIN;
        pool_settings_changed(&w->pool);
        accept_all(2);
        world_receive(w, 1, 1);
        assert_int_equal(world_count_waiting(w, 0), 1);
}

/* --- QueueTimeoutSec= --- */

static void test_no_timer_when_all_is_read(void **state)
{
        (void)state;
        begin_ready(2, 8);
        accept_all(2);
        world_receive(w, 0, 2);
        world_receive(w, 1, 2);
        assert_true(w->timer <= w->now + USEC_PER_SEC);
        world_wait(w);
        assert_int_equal(w->timer, USEC_INFINITY);
}

static void test_queue_goes_to_the_other(void **state)
{
        (void)state;
        begin_with_waiting();
        assert_in_range(wait_for(WORKER_STATES), USEC_PER_SEC, USEC_PER_SEC + 250000);
        assert_int_equal(world_count_waiting(w, 1), 1);
        assert_int_equal(w->expected.taken_back, 1);
        assert_int_equal(world_state(w, 0), WORKER_READY);

        /* It was asked, and gets nothing until it says something. */
        assert_int_equal(w->workers[0].n_queue, 1);
        world_receive(w, 1, 1);
        accept_all(4);
        assert_int_equal(world_count_waiting(w, 0), 0);
        world_receive(w, 1, 4);
        world_wait(w);
        assert_int_equal(w->timer, USEC_INFINITY); /* the PING alone may wait for ever */
        world_receive(w, 0, 1);
        world_pong(w, 0);
        accept_all(2);
        assert_int_equal(world_count_waiting(w, 0), 1);
}

/* Whatever it says will do. */
static void test_done_ends_the_silence(void **state)
{
        (void)state;
        begin_with_waiting();
        world_receive(w, 0, 1);
        accept_all(2);
        (void)wait_for(WORKER_STATES);
        world_done(w, 0, 0);
        accept_all(2);
        assert_int_equal(world_count_waiting(w, 0), 1);
}

static void test_nobody_else_has_credit(void **state)
{
        (void)state;
        begin_ready(1, 2);
        accept_all(1);
        for (int i = 0; i < 8; i++)
                world_wait(w);
        assert_int_equal(world_count_waiting(w, 0), 1);
        assert_false(w->listening);
        world_receive(w, 0, 1);
        world_wait(w);
        assert_true(w->listening);
        assert_int_equal(w->expected.taken_back, 0);
}

/* When it says something, it is not made to wait for the next sample. */
static void test_the_only_one_comes_back(void **state)
{
        (void)state;
        begin_ready(1, 2);
        accept_all(1);
        for (int i = 0; i < 8; i++)
                world_wait(w);
        world_receive(w, 0, 1);
        world_done(w, 0, 0);
        assert_true(w->listening);
}

static void test_credit_comes_later(void **state)
{
        (void)state;
        begin(2, UINT32_MAX);
        world_ready(w, 0, 2);
        accept_all(2);
        for (int i = 0; i < 8; i++)
                world_wait(w);
        assert_int_equal(world_count_waiting(w, 0), 2);
        world_ready(w, 1, 1);
        assert_int_equal(world_count_waiting(w, 0), 1);
        assert_int_equal(world_count_waiting(w, 1), 1);
        assert_false(w->listening);
        world_receive(w, 1, 1);
        world_done(w, 1, 0);
        assert_int_equal(world_count_waiting(w, 0), 0);
}

static void test_slow_reader_keeps_its_queue(void **state)
{
        (void)state;
        begin_with_waiting();
        accept_all(6);
        for (int i = 0; i < 40; i++) {
                world_receive(w, 0, 1);
                world_receive(w, 1, 8);
                while (w->workers[0].n_held > 0)
                        world_done(w, 0, 0);
                while (w->workers[1].n_held > 0)
                        world_done(w, 1, 0);
                accept_all(world_count_waiting(w, 0) < 3 ? 2 : 0);
                world_pass(w, 200 * USEC_PER_MSEC);
        }
        assert_int_equal(w->expected.taken_back, 0);
}

static void test_never(void **state)
{
        (void)state;
        begin_ready(2, 8);
        set_times(USEC_INFINITY, 0);
        accept_all(2);
        assert_int_equal(w->timer, USEC_INFINITY);
}

static void test_queue_of_one_that_drains(void **state)
{
        (void)state;
        begin_with_waiting();
        pool_drained(&w->pool, 0, false, w->now);
        world_receive(w, 0, 0);
        assert_in_range(wait_for(WORKER_STATES), USEC_PER_SEC, USEC_PER_SEC + 250000);
        assert_int_equal(world_state(w, 0), WORKER_DRAINING);
}

/* --- WatchdogSec= --- */

static void test_hung_worker(void **state)
{
        usec_t begun;

        (void)state;
        begin_with_waiting();
        world_receive(w, 0, 1); /* it has this one */
        set_times(USEC_INFINITY, WATCHDOG);
        accept_all(2);
        begun = w->now;
        assert_in_range(wait_for(WORKER_ABORTED), WATCHDOG, 3 * WATCHDOG / 2);
        assert_int_equal(w->n_aborts, 1);
        assert_int_equal(w->expected.taken_back, 1); /* at once */
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        all_ready(8);

        begun = w->now;
        (void)wait_for(WORKER_KILLED);
        assert_int_equal(w->now - begun, w->settings.timeout_stop);
        world_exit(w, 0);
        assert_int_equal(w->state.counters.lost, 1);
}

static void test_busy_worker_is_left_alone(void **state)
{
        (void)state;
        begin_ready(1, 1);
        set_times(USEC_PER_SEC, WATCHDOG);
        accept_all(1);
        world_receive(w, 0, 1);
        for (int i = 0; i < 50; i++)
                world_wait(w);
        assert_int_equal(w->workers[0].n_queue, 0);
        world_done(w, 0, 0);
        for (int i = 0; i < 50; i++) {
                world_receive(w, 0, 1);
                if (w->workers[0].asked)
                        world_pong(w, 0);
                world_wait(w);
        }
        assert_int_equal(w->n_aborts, 0);
}

/* It does not serve what it has not received. */
static void test_the_only_worker_hangs_with_its_only_connection(void **state)
{
        (void)state;
        begin_ready(1, 1);
        set_times(USEC_PER_SEC, WATCHDOG);
        accept_all(1);
        assert_in_range(wait_for(WORKER_ABORTED), WATCHDOG, 2 * WATCHDOG + USEC_PER_SEC);
        all_ready(1);
        assert_int_equal(w->expected.taken_back, 1);
}

/* A question that was dropped is asked again, and its time counts on. */
static void test_question_is_dropped_with_the_queue(void **state)
{
        (void)state;
        begin_ready(2, 8);
        w->settings.distribute = DISTRIBUTE_ROUND_ROBIN;
        set_times(USEC_PER_SEC, 4 * USEC_PER_SEC);
        while (w->workers[0].n_queue == 0)
                world_wait(w);
        accept_all(2);
        assert_in_range(wait_for(WORKER_STATES), USEC_PER_SEC, USEC_PER_SEC + 250000);
        assert_int_equal(w->workers[0].n_queue, 1);
        assert_in_range(wait_for(WORKER_ABORTED), 2500 * USEC_PER_MSEC, 3 * USEC_PER_SEC);
}

/* There is no room for the question. */
static void test_full_channel_hides_no_hung_worker(void **state)
{
        (void)state;
        begin_ready(1, 2 * WORLD_QUEUE_MAX);
        set_times(USEC_INFINITY, WATCHDOG);
        w->backlog = 20;
        assert_int_equal(world_accept(w, 20), WORLD_QUEUE_MAX + 1);
        assert_in_range(wait_for(WORKER_ABORTED), WATCHDOG, 3 * WATCHDOG / 2 + USEC_PER_SEC);
}

static void test_wrong_answers(void **state)
{
        (void)state;
        begin_ready(2, 8);
        world_pong_bad(w, 0, 1);
        assert_int_equal(world_state(w, 0), WORKER_KILLED);
        set_times(USEC_PER_SEC, WATCHDOG);
        while (w->workers[1].n_queue == 0)
                world_wait(w);
        world_pong_bad(w, 1, w->workers[1].queue[0].question + 1);
        assert_int_equal(world_state(w, 1), WORKER_KILLED);
}

/* A second PONG for one PING */
static void test_answer_twice(void **state)
{
        (void)state;
        begin_ready(1, 8);
        set_times(USEC_PER_SEC, WATCHDOG);
        while (w->workers[0].n_queue == 0)
                world_wait(w);
        world_receive(w, 0, 1);
        world_pong(w, 0);
        world_pong_bad(w, 0, w->workers[0].question);
        assert_int_equal(world_state(w, 0), WORKER_KILLED);
}

/* --- After an adoption --- */

static void adopt(struct pool *pool)
{
        const struct pool_memory memory = {
                .state = &w->state,
                .rows = w->rows,
                .n_rows = w->pool.n_rows,
                .slots = w->slots,
                .n_slots = w->settings.max_connections,
        };

        assert_int_equal(pool_init(pool, &w->settings, &memory), 0);
        pool_adopted(pool, 0);
}

/* What the process before this one had asked is answered to this one. */
static void test_old_questions_are_answered(void **state)
{
        struct pool pool;
        uint32_t old, value;

        (void)state;
        begin_ready(1, 8);
        set_times(USEC_PER_SEC, WATCHDOG);
        while (w->workers[0].n_queue == 0)
                world_wait(w);
        old = w->workers[0].queue[0].question;

        adopt(&pool);
        assert_int_equal(pool_pong(&pool, 0, old, w->now), 0);
        value = pool_next_question(&pool);
        assert_int_not_equal(value, old);
        pool_asked(&pool, 0, QUESTION_LIST, value, w->now);
        assert_int_equal(pool_pong(&pool, 0, old, w->now), 0);
        assert_int_equal(pool_choose(&pool), -1);
        assert_int_equal(pool_pong(&pool, 0, value, w->now), 0);
        assert_int_equal(pool_choose(&pool), 0);
        assert_int_equal(pool_pong(&pool, 0, old, w->now), POOL_NOT_ASKED);
        assert_int_equal(pool_held(&pool, 0, 1), POOL_NOT_ASKED);
        pool_deinit(&pool);
}

static void test_adopted_queue_is_in_doubt(void **state)
{
        struct pool_decision d;
        struct pool pool;

        (void)state;
        begin_ready(1, 8);
        accept_all(1);
        adopt(&pool);
        pool_decide(&pool, w->now, &d);
        assert_true(pool_is_in_doubt(&pool, 0));
        assert_int_equal(pool_sampled(&pool, 0, 1, w->now + 10), 0);
        assert_false(pool.workers[0].taking_back);
        assert_int_equal(pool_sampled(&pool, 0, 1, w->now + USEC_PER_SEC), 0);
        assert_true(pool.workers[0].taking_back);
        pool_deinit(&pool);
}

/* It broke the protocol, and sleeps where no signal reaches it: those in its queue waited for its
 * end. */
static void test_killed_worker_that_does_not_die_gives_its_queue_back(void **state)
{
        (void)state;
        begin_with_waiting();
        assert_int_equal(world_count_waiting(w, 0), 1);
        world_kill(w, 0);
        world_settle(w);
        assert_int_equal(world_state(w, 0), WORKER_KILLED);
        assert_int_equal(world_count_waiting(w, 0), 0);
        assert_int_equal(world_count_waiting(w, 1), 1);
        assert_int_equal(w->expected.taken_back, 1);
}

/* SIGTERM does not make a worker read what it did not read before. */
static void test_queue_of_one_that_is_terminated(void **state)
{
        (void)state;
        begin_with_waiting();
        w->workers[0].signalled = true;
        pool_terminated(&w->pool, 0, w->now);
        world_settle(w);
        while (world_state(w, 0) == WORKER_TERMINATING && world_count_waiting(w, 0) > 0)
                world_wait(w);
        assert_int_equal(world_state(w, 0), WORKER_TERMINATING);
        assert_int_equal(w->expected.taken_back, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_no_timer_when_all_is_read),
                IN_A_WORLD(test_queue_goes_to_the_other),
                IN_A_WORLD(test_done_ends_the_silence),
                IN_A_WORLD(test_nobody_else_has_credit),
                IN_A_WORLD(test_the_only_one_comes_back),
                IN_A_WORLD(test_credit_comes_later),
                IN_A_WORLD(test_slow_reader_keeps_its_queue),
                IN_A_WORLD(test_never),
                IN_A_WORLD(test_queue_of_one_that_drains),
                IN_A_WORLD(test_hung_worker),
                IN_A_WORLD(test_killed_worker_that_does_not_die_gives_its_queue_back),
                IN_A_WORLD(test_queue_of_one_that_is_terminated),
                IN_A_WORLD(test_busy_worker_is_left_alone),
                IN_A_WORLD(test_the_only_worker_hangs_with_its_only_connection),
                IN_A_WORLD(test_question_is_dropped_with_the_queue),
                IN_A_WORLD(test_full_channel_hides_no_hung_worker),
                IN_A_WORLD(test_wrong_answers),
                IN_A_WORLD(test_answer_twice),
                IN_A_WORLD(test_old_questions_are_answered),
                IN_A_WORLD(test_adopted_queue_is_in_doubt),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
