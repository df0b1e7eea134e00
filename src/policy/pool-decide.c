/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is to be done about the pool: everything is recomputed from its state, nothing is remembered
 * from the last decision.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* True if the worker has a free place, or (adopted, has not answered LIST yet) may turn out to have
 * one. Not if the ledger says that it is full: a worker that serves one connection at a time
 * answers only when that one ends. */
static bool has_room(const struct pool_worker *w)
{
        const struct worker_row *record = w->record;
        bool may_turn_out = w->must_list && record->state == WORKER_READY &&
                            !pool_worker_is_paused(w) && w->open < record->capacity;

        return w->heap_position != POOL_NOT_IN_HEAP || may_turn_out;
}

static struct census count_workers(const struct pool *pool)
{
        struct census census = {};

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                enum worker_state state = pool->workers[i].record->state;

                enum pool_age age = pool_age(pool, i);

                census.starting += state == WORKER_STARTING && age == POOL_CURRENT;
                census.current += state == WORKER_READY && age == POOL_CURRENT;
                census.old += state == WORKER_READY && age == POOL_OLD;
                census.ready += state == WORKER_READY;
                census.alive += worker_state_info(state)->alive;
                census.in_use += state != WORKER_NONE;
                census.dead += state == WORKER_DEAD;
                census.dying += (state == WORKER_KILLED || state == WORKER_ABORTED) &&
                                pool->workers[i].open > 0;
                census.leaving += worker_state_info(state)->alive && state > WORKER_READY &&
                                  age == POOL_CURRENT;
                census.with_room += has_room(&pool->workers[i]);
        }

        return census;
}

/* Ends the waits whose time has come. */
static void end_waits(struct pool *pool, usec_t now, struct pool_decision *d)
{
        if (pool->paused_until != 0 && now >= pool->paused_until)
                pool->paused_until = 0;
        if (pool->paused_until != 0)
                pool_wake(d, pool->paused_until);

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                struct pool_worker *w = &pool->workers[i];

                if (w->blocked_until == 0)
                        continue;
                if (now >= w->blocked_until)
                        pool_unblock(pool, i);
                else
                        pool_wake(d, w->blocked_until);
        }
}

/* True where no worker will ever take what waits. */
static bool is_hopeless(const struct pool *pool, const struct census *census, usec_t now)
{
        if (pool->stopping)
                return census->ready == 0 && (census->starting == 0 || now >= pool->stop_deadline);

        return census->alive == 0 && census->in_use == pool->n_rows;
}

/* What was accepted before goes before anything new. */
static void decide_waiting(
        struct pool *pool, const struct census *census, usec_t now, struct pool_decision *d)
{
        bool hopeless = is_hopeless(pool, census, now);
        int64_t row = pool_next_queue(pool);

        if (pool->n_heap == 0 && !hopeless)
                return;

        if (row >= 0 && pool->n_in_hand < POOL_HAND_MAX && pool->paused_until == 0)
                pool_act_on(pool, d, POOL_TAKE_BACK, (uint32_t)row);
        else if (pool->n_in_hand > 0)
                pool_act(pool, d,
                        (struct pool_action){ .type = hopeless ? POOL_REFUSE : POOL_HAND_OVER });
}

static void decide_questions(struct pool *pool, uint32_t row, usec_t now, struct pool_decision *d)
{
        enum pool_question question;
        usec_t wake_at;

        if (pool_is_hung(pool, row, now, &wake_at)) {
                pool_act_on(pool, d, POOL_ABORT, row);
                return;
        }

        pool_wake(d, wake_at);
        question = pool_get_question(pool, row, now);
        if (question != QUESTION_NONE)
                pool_act(pool, d,
                        (struct pool_action){ .type = POOL_ASK, .row = row, .question = question });
}

/* True for a ready worker that the current generation replaces. */
static bool is_surplus(const struct pool *pool, uint32_t row, uint32_t *surplus)
{
        if (pool->workers[row].record->state != WORKER_READY)
                return false;

        switch (pool_age(pool, row)) {
        case POOL_ABANDONED:
                return true;
        case POOL_OLD:
                return *surplus > 0 && (*surplus)-- > 0;
        case POOL_CURRENT:
        default:
                return false;
        }
}

/* True for a worker that is starting and will not be needed. Those of the generation in force go on
 * until the next one has taken its place. */
static bool starts_in_vain(const struct pool *pool, uint32_t row)
{
        if (pool->workers[row].record->state != WORKER_STARTING)
                return false;

        switch (pool_age(pool, row)) {
        case POOL_ABANDONED:
                return true;
        case POOL_OLD:
                return !pool->state->trial;
        case POOL_CURRENT:
        default:
                return false;
        }
}

/* With Accept=no: backoff and reload wait for it. */
static void decide_proof(struct pool *pool, uint32_t row, usec_t now, struct pool_decision *d)
{
        usec_t at = pool_get_proof_time(pool, row);

        if (now < at) {
                pool_wake(d, at);
                return;
        }

        pool_proved(pool, row);
        if (pool_is_on_trial(pool, row))
                pool_act(pool, d, (struct pool_action){ .type = POOL_PASS, .row = row });
}

static void decide_worker(
        struct pool *pool, uint32_t row, bool drain, usec_t now, struct pool_decision *d)
{
        const struct worker_row *record = pool->workers[row].record;
        const struct worker_state_info *state = worker_state_info(record->state);

        if (!state->alive)
                return;

        /* Before the drain: after it, nothing can be asked. */
        if (record->state == WORKER_READY)
                decide_questions(pool, row, now, d);
        decide_proof(pool, row, now, d);

        if (drain && record->state == WORKER_READY) {
                pool_act(pool, d,
                        (struct pool_action){ .type = POOL_DRAIN,
                                .row = row,
                                .drain = pool->stopping ? POOL_DRAIN_STOP : POOL_DRAIN_RELOAD });
        } else if ((drain && record->state == WORKER_STARTING) || starts_in_vain(pool, row)) {
                /* It holds nothing, so there is nothing to wait for. */
                pool_act_on(pool, d, POOL_TERMINATE, row);
        } else if (now < record->deadline) {
                pool_wake(d, record->deadline);
        } else if (state->overdue == STEP_TERMINATE) {
                pool_act_on(pool, d, POOL_TERMINATE, row);
        } else if (state->overdue == STEP_KILL) {
                pool_act_on(pool, d, POOL_KILL, row);
        }
}

static void decide_sample(struct pool *pool, usec_t now, struct pool_decision *d)
{
        usec_t at = pool_get_sample_time(pool, now);

        if (now < at)
                pool_wake(d, at);
        else
                pool_act(pool, d, (struct pool_action){ .type = POOL_SAMPLE });
}

void pool_decide(struct pool *pool, usec_t now, struct pool_decision *ret)
{
        struct census census;
        uint32_t surplus;
        bool waits, drain;

        *ret = (struct pool_decision){ .wake_at = USEC_INFINITY };

        end_waits(pool, now, ret);
        pool->dirty = false;

        census = count_workers(pool);
        decide_waiting(pool, &census, now, ret);
        pool_decide_size(pool, &census, now, ret);

        /* What waits for a credit gets its chance before the workers are drained. */
        waits = pool->n_in_hand > 0 || census.dead > 0 || census.dying > 0;
        drain = pool->stopping && (!waits || now >= pool->stop_deadline);
        if (pool->stopping && !drain)
                pool_wake(ret, pool->stop_deadline);
        surplus = pool_count_surplus(pool, census.current, census.old);
        for (uint32_t i = 0; i < pool->n_rows; i++) {
                bool retire = is_surplus(pool, i, &surplus);

                decide_worker(pool, i, drain || retire, now, ret);
        }

        decide_sample(pool, now, ret);
        pool->listening = pool_may_accept(pool);
        ret->actions[ret->n_actions++] =
                (struct pool_action){ .type = pool->listening ? POOL_LISTEN_ON : POOL_LISTEN_OFF };
        ret->finished = pool->stopping && census.in_use == 0 && pool->n_in_hand == 0;
}

void pool_stop(struct pool *pool, usec_t now)
{
        if (!pool->stopping) {
                pool->stopping = true;
                pool->state->stopping = true;
                pool->stop_deadline = usec_add(now, pool->settings->drain_timeout);
        } else {
                pool->stop_deadline = now;
        }

        /* Those that were on their way out already have no more time than all. */
        for (uint32_t i = 0; i < pool->n_rows; i++) {
                struct worker_row *record = pool->workers[i].record;

                if (record->state == WORKER_DRAINING)
                        record->deadline = MIN(record->deadline, pool->stop_deadline);
        }

        pool->dirty = true;
}
