/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A pool on what another process left, one matter a test: src/policy/pool-open.c. */

#include "world-crash.h"
#include "world-steps.h"

static void adopt(void)
{
        world_adopt(w, WORLD_CRASH);
}

/* All that were asked answer. */
static void all_list(void)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                if (w->workers[i].must_list) {
                        world_receive(w, i, WORLD_QUEUE_MAX);
                        world_pong(w, i);
                }
}

static void test_nothing_new_before_the_list(void **state)
{
        (void)state;
        begin_ready(2, 4);
        accept_all(3);
        adopt();
        assert_false(w->listening);
        assert_int_equal(w->pool.slots.n_used, 3);
        world_receive(w, 0, WORLD_QUEUE_MAX);
        world_pong(w, 0);
        assert_true(w->listening); /* it has credit, the other has not answered yet */
        all_list();
        accept_all(5);
        assert_false(w->listening);
}

/* What the dispatcher read and did not note: SENT is done, RESERVED is lost. */
static void settle_missing(enum slot_state noted, uint64_t done, uint64_t lost)
{
        begin_ready(1, 4);
        accept_all(2);
        world_receive(w, 0, 2);
        slot_set_state(slots_get(&w->pool.slots, w->workers[0].held[1]), noted);
        w->workers[0].n_held--; /* it finished that one */
        w->n_finished++;
        adopt();
        all_list();
        assert_int_equal(w->state.counters.done, done);
        assert_int_equal(w->state.counters.lost, lost);
        assert_int_equal(w->pool.slots.n_used, 1);
}

static void test_not_listed_is_done(void **state)
{
        (void)state;
        settle_missing(SLOT_SENT, 1, 0);
}

static void test_not_listed_and_not_sent_is_lost(void **state)
{
        (void)state;
        settle_missing(SLOT_RESERVED, 0, 1);
}

/* RESERVED, and the worker has it: the crash was between send and SENT. */
static void test_listed_is_sent(void **state)
{
        struct slot *slot;

        (void)state;
        begin_ready(1, 4);
        accept_all(1);
        slot = slots_get(&w->pool.slots, w->workers[0].queue[0].id);
        slot_set_state(slot, SLOT_RESERVED);
        adopt();
        all_list();
        assert_int_equal(slot->state, SLOT_SENT);
        world_done(w, 0, 0);
        assert_int_equal(w->state.counters.done, 1);
}

/* A crash between receiving from the queue of a worker that lives and noting that: it was counted
 * as done. What it has had for longer, and a DONE that died in a crash after that, are not lost. */
static void test_vanished_from_a_queue_is_lost(void **state)
{
        struct world_worker *v = &w->workers[0];

        (void)state;
        begin_ready(1, 4);
        accept_all(3);
        world_receive(w, 0, 1);
        pool_set_in_transit(&w->pool, 0, true);
        memmove(v->queue, v->queue + 1, --v->n_queue * sizeof(v->queue[0]));
        adopt();
        v->n_held--;
        w->n_finished++;
        adopt();
        all_list();
        assert_int_equal(w->state.counters.lost, 1);
        assert_int_equal(w->state.counters.done, 1);
        assert_int_equal(w->pool.slots.n_used, 1);
        world_check_truth(w);

        /* and that is over then */
        v->n_held--;
        w->n_finished++;
        adopt();
        all_list();
        assert_int_equal(w->state.counters.lost, 1);
        assert_int_equal(w->state.counters.done, 2);
}

/* It was found by the crash test in its first storm: two dispatchers asked, both are answered. */
static void test_answer_to_a_dead_dispatcher(void **state)
{
        (void)state;
        begin_ready(1, 4);
        accept_all(1);
        adopt();
        adopt();
        world_receive(w, 0, WORLD_QUEUE_MAX);
        assert_int_equal(w->workers[0].n_said, 4);
        world_pong(w, 0);
        assert_int_equal(world_state(w, 0), WORKER_READY);
        assert_true(w->listening);
        /* but what nobody ever asked is still a violation */
        assert_int_equal(
                pool_pong(&w->pool, 0, w->state.last_question + 1, w->now), POOL_NOT_ASKED);
        accept_all(1);
        world_receive(w, 0, 1);
        assert_int_equal(pool_held(&w->pool, 0, w->workers[0].held[1]), POOL_NOT_ASKED);
}

/* --- What may be said twice --- */

#define FORGIVEN (4096 + 2 * 2)

static uint64_t old_id, held_id;

/* Worker 0 has finished `old_id`, and holds `held_id` and another one, when it is adopted. */
static void adopt_with_history(void)
{
        begin_ready(2, 4);
        accept_all(6);
        world_receive(w, 0, 3);
        old_id = w->workers[0].held[0];
        world_done(w, 0, 0);
        held_id = w->workers[0].held[0];
        adopt();
        assert_int_equal(w->pool.workers[0].question, QUESTION_LIST);
}

static int say_done(void)
{
        return pool_done(&w->pool, 0, old_id);
}

static int say_held_of_old(void)
{
        return pool_held(&w->pool, 0, old_id);
}

static int say_held_again(void)
{
        return pool_held(&w->pool, 0, held_id);
}

static int say_held_unasked(void)
{
        w->pool.workers[0].question = QUESTION_NONE;
        return pool_held(&w->pool, 0, held_id);
}

static int say_pong(void)
{
        return pool_pong(&w->pool, 0, 0, w->now);
}

/* A hostile worker could go on for ever after an adoption. 4,096 are forgiven, and two lists of the
 * two that this one has by the ledger. */
static void test_repeats_have_a_bound(void **state)
{
        static const struct {
                int (*say)(void);
                uint32_t allowed;
                int then;
        } cases[] = {
                { say_done, FORGIVEN, POOL_FOREIGN_ID },
                { say_held_of_old, FORGIVEN, POOL_FOREIGN_ID },
                { say_held_again, FORGIVEN + 1, POOL_NOT_ASKED }, /* one is its answer */
                { say_held_unasked, FORGIVEN, POOL_NOT_ASKED },
                { say_pong, FORGIVEN, POOL_NOT_ASKED },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                adopt_with_history();
                for (uint32_t k = 0; k < cases[i].allowed; k++)
                        assert_int_equal(cases[i].say(), 0);
                assert_int_equal(cases[i].say(), cases[i].then);
                if (i + 1 < ELEMENTSOF(cases))
                        world_deinit(w);
        }
}

/* It has answered all that it was asked before. */
static void test_no_repeat_after_the_list(void **state)
{
        (void)state;
        adopt_with_history();
        world_receive(w, 0, WORLD_QUEUE_MAX);
        world_pong(w, 0);
        assert_int_equal(say_done(), POOL_FOREIGN_ID);
        assert_int_equal(say_pong(), POOL_NOT_ASKED);
}

/* It was never asked by anybody else. */
static void test_no_repeat_of_a_new_worker(void **state)
{
        (void)state;
        adopt_with_history();
        all_list();
        world_receive(w, 0, WORLD_QUEUE_MAX);
        world_exit(w, 0);
        world_ready(w, 0, 4);
        assert_int_equal(w->rows[0].number, 3);
        assert_int_equal(say_done(), POOL_FOREIGN_ID);
}

/* The ledger was refused at a reload once 2^31 workers had been started. */
static void test_numbers_beyond_32_bits(void **state)
{
        (void)state;
        begin_ready(1, 4);
        w->state.last_number = UINT32_MAX;
        world_exit(w, 0);
        world_pass(w, w->settings.restart);
        world_ready(w, world_find(w, WORKER_STARTING), 4);
        assert_true(w->rows[0].number == (uint64_t)UINT32_MAX + 1);
        accept_all(1);
        adopt();
        all_list();
        assert_int_equal(world_state(w, 0), WORKER_READY);
        assert_int_equal(w->pool.slots.n_used, 1);
}

/* `acceptctl status` told the uptime of the machine for workers that had been taken over. */
static void test_adopted_worker_keeps_its_start_time(void **state)
{
        usec_t started_at;

        (void)state;
        begin_ready(1, 4);
        started_at = w->rows[0].started_at;
        assert_true(started_at > 0);
        w->now += 60 * USEC_PER_SEC;
        adopt();
        all_list();
        assert_int_equal(w->pool.workers[0].record->started_at, started_at);
}

static void test_unasked_without_adoption(void **state)
{
        (void)state;
        begin_ready(1, 4);
        accept_all(1);
        world_receive(w, 0, 1);
        assert_int_equal(pool_held(&w->pool, 0, w->workers[0].held[0]), POOL_NOT_ASKED);
        assert_int_equal(pool_pong(&w->pool, 0, 0, w->now), POOL_NOT_ASKED);
}

/* A crash in pool_ready() */
static void test_ready_was_half_noted(void **state)
{
        (void)state;
        begin(1, UINT32_MAX);
        w->rows[0].features = 1;
        w->rows[0].capacity = 2;
        w->rows[0].deadline = USEC_INFINITY;
        adopt();
        assert_int_equal(world_state(w, 0), WORKER_READY);
        all_list();
        accept_all(2);
}

static void test_dead_worker_with_a_queue(void **state)
{
        (void)state;
        begin_ready(2, 4);
        accept_all(8);
        world_exit(w, 0);
        assert_int_equal(world_state(w, 0), WORKER_DEAD);
        adopt();
        all_list();
        while (w->workers[1].n_held > 0)
                world_done(w, 1, 0);
        world_receive(w, 1, WORLD_QUEUE_MAX);
        assert_true(w->state.counters.taken_back >= 4);
        assert_int_equal(w->state.counters.lost, 0);
}

/* --- Growth --- */

/* One client after another comes, each stays, and all are served. */
static void serve(uint32_t n)
{
        w->backlog += n;
        for (uint32_t i = 0; w->backlog > 0 && i < n; i++) {
                all_ready(1);
                (void)world_accept(w, 1);
        }
        assert_int_equal(w->backlog, 0);
}

/* A worker that is busy answers when its connection ends, and until then it has no room. */
static void test_grows_after_a_crash(void **state)
{
        (void)state;
        begin_sized(1, 0, 4);
        accept_all(1);
        world_receive(w, 0, 1);
        adopt();
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        serve(3);
}

/* The pool stopped growing for as long as an old worker, which was not asked in time, was there. */
static void test_grows_after_a_reload(void **state)
{
        (void)state;
        begin_sized(1, 0, 6);
        accept_all(1);
        world_receive(w, 0, 1);
        world_adopt(w, WORLD_EXEC);
        world_try(w);
        all_ready(1);
        world_end_trial(w, true);
        all_ready(1);
        assert_true(w->workers[0].alive && w->workers[0].must_list);
        assert_int_equal(world_state(w, 0), WORKER_DRAINING);
        serve(6);
}

/* It died before it had answered. */
static void test_grows_after_a_death(void **state)
{
        (void)state;
        begin_sized(2, 0, 6);
        accept_all(2);
        adopt();
        world_exit(w, 0); /* its queue goes to somebody else */
        assert_int_equal(world_state(w, 0), WORKER_DEAD);
        assert_int_equal(world_count(w, WORKER_STARTING), 1);
        all_ready(1);
        serve(4);
}

/* --- Memory that cannot be right --- */

static int init_result(void)
{
        int r;

        pool_deinit(&w->pool);
        const struct pool_memory memory = {
                .state = &w->state,
                .rows = w->rows,
                .n_rows = pool_rows_needed(&w->settings),
                .slots = w->slots,
                .n_slots = w->settings.max_connections,
        };
        r = pool_init(&w->pool, &w->settings, &memory);
        if (r < 0)
                assert_null(w->pool.workers);
        return r;
}

#define EXPECT_BAD(field, value)                                                                   \
        do {                                                                                       \
                __typeof__(field) before = (field);                                                \
                (field) = (value);                                                                 \
                assert_int_equal(init_result(), -EBADMSG);                                         \
                (field) = before;                                                                  \
                assert_int_equal(init_result(), 0);                                                \
        } while (false)

static void test_contradictions(void **state)
{
        (void)state;
        begin_ready(2, 4);
        accept_all(3);
        EXPECT_BAD(w->rows[0].state, WORKER_STATES);
        EXPECT_BAD(w->rows[0].pid, 0);
        EXPECT_BAD(w->rows[0].pid, 1); /* kill(-1) */
        EXPECT_BAD(w->rows[0].pid, -5);
        EXPECT_BAD(w->rows[0].number, 0);
        EXPECT_BAD(w->rows[0].number, 77);
        EXPECT_BAD(w->rows[0].number, w->rows[1].number);
        EXPECT_BAD(w->rows[0].generation, 3);
        EXPECT_BAD(w->rows[0].features, WORLD_OFFERS + 1); /* never offered */
        EXPECT_BAD(w->rows[0].capacity, 0);
        EXPECT_BAD(w->rows[0].state, WORKER_NONE); /* slots name it */
        EXPECT_BAD(w->slots[0].state, SLOT_SENT + 1);
        EXPECT_BAD(w->slots[0].id, 0);
        EXPECT_BAD(w->slots[0].worker, w->pool.n_rows);
        EXPECT_BAD(w->slots[0].worker, SLOT_NO_WORKER); /* SENT to nobody */
        EXPECT_BAD(w->state.slots.n_touched, WORLD_SLOTS_MAX + 1);
        EXPECT_BAD(w->state.slots.last_serial, 1);
        EXPECT_BAD(w->state.slots.last_serial, UINT64_C(1) << 40);
        EXPECT_BAD(w->state.generation, 2); /* no such one was ever tried */
        EXPECT_BAD(w->state.last_generation, UINT32_MAX);
        EXPECT_BAD(w->state.last_generation, UINT32_MAX / 2 + 1);
        EXPECT_BAD(w->state.last_number, UINT64_MAX);
        EXPECT_BAD(w->state.last_number, (uint64_t)INT64_MAX + 1);
        EXPECT_BAD(w->state.counters.accepted, 9);
        EXPECT_BAD(w->state.counters.done, 2);
        EXPECT_BAD(w->state.counters.failed, 2);
        EXPECT_BAD(w->state.counters.lost, UINT64_MAX - 1);

        pool_deinit(&w->pool);
        const struct pool_memory memory = {
                .state = &w->state,
                .rows = w->rows,
                .n_rows = pool_rows_needed(&w->settings),
                .slots = w->slots,
                .n_slots = w->settings.max_connections - 1,
        };
        assert_int_equal(pool_init(&w->pool, &w->settings, &memory), -EBADMSG);
}

/* --- Generations --- */

/* A trial ends with the process that made it, READY or not. */
static void test_trial_ends_in_a_crash(void **state)
{
        (void)state;
        begin_ready(2, 4);
        world_try(w);
        world_ready(w, world_find(w, WORKER_STARTING), 4);
        adopt();
        assert_int_equal(w->state.generation, 1);
        assert_int_equal(w->state.trial, false);
        all_list();
        assert_int_equal(world_count(w, WORKER_READY), 2);
        assert_int_equal(world_count(w, WORKER_DRAINING), 1);
}

static void test_crash_while_the_old_go(void **state)
{
        (void)state;
        begin_ready(2, 4);
        accept_all(2);
        world_try(w);
        world_ready(w, world_find(w, WORKER_STARTING), 4);
        world_end_trial(w, true);
        adopt();
        all_ready(4);
        assert_int_equal(w->state.generation, 2);
        assert_int_equal(world_count(w, WORKER_DRAINING), 2);
        assert_int_equal(world_count(w, WORKER_READY), 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_A_WORLD(test_nothing_new_before_the_list),
                IN_A_WORLD(test_not_listed_is_done),
                IN_A_WORLD(test_not_listed_and_not_sent_is_lost),
                IN_A_WORLD(test_listed_is_sent),
                IN_A_WORLD(test_vanished_from_a_queue_is_lost),
                IN_A_WORLD(test_answer_to_a_dead_dispatcher),
                IN_A_WORLD(test_repeats_have_a_bound),
                IN_A_WORLD(test_no_repeat_after_the_list),
                IN_A_WORLD(test_no_repeat_of_a_new_worker),
                IN_A_WORLD(test_numbers_beyond_32_bits),
                IN_A_WORLD(test_adopted_worker_keeps_its_start_time),
                IN_A_WORLD(test_unasked_without_adoption),
                IN_A_WORLD(test_ready_was_half_noted),
                IN_A_WORLD(test_dead_worker_with_a_queue),
                IN_A_WORLD(test_grows_after_a_crash),
                IN_A_WORLD(test_grows_after_a_reload),
                IN_A_WORLD(test_grows_after_a_death),
                IN_A_WORLD(test_contradictions),
                IN_A_WORLD(test_trial_ends_in_a_crash),
                IN_A_WORLD(test_crash_while_the_old_go),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
