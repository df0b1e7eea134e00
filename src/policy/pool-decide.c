/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is to be done about the pool: everything is recomputed from its state, nothing is remembered
 * from the last decision.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* Ends the waits whose time has come. */
static void end_waits(struct pool *pool, usec_t now, struct pool_decision *d)
{
        if (pool->paused_until != 0 && now >= pool->paused_until)
                pool->paused_until = 0;
        if (pool->paused_until != 0)
                pool_wake(d, pool->paused_until);

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                struct pool_worker *w = &pool->workers[i];

                if (w->doomed && w->record->state == WORKER_KILLED && now >= w->record->deadline) {
                        w->doomed = false;
                        pool_count(pool, i);
                }
                if (w->blocked_until == 0)
                        continue;
                if (now >= w->blocked_until)
                        pool_unblock(pool, i);
                else
                        pool_wake(d, w->blocked_until);
        }
}

/* A worker that was started after the last failure, got ready and lived for as long as the longest
 * delay shows as well as one that served that workers start again: where few clients come, the old
 * workers may serve all of them. */
static void end_failing(struct pool *pool, usec_t now, struct pool_decision *d)
{
        struct backoff *b = &pool->backoff;
        usec_t first = USEC_INFINITY;

        for (uint32_t i = 0; backoff_is_failing(b) && i < pool->n_rows; i++) {
                const struct worker_row *record = pool->workers[i].record;

                if (record->state == WORKER_READY && pool_age(pool, i) == POOL_CURRENT &&
                        record->started_at >= b->failed_at)
                        first = MIN(first, record->started_at);
        }

        if (now >= usec_add(first, pool->settings->restart_max_delay))
                backoff_served(b, first);
        else
                pool_wake(d, usec_add(first, pool->settings->restart_max_delay));
}

/* True where no worker will ever take what waits. */
static bool is_hopeless(const struct pool *pool, usec_t now)
{
        if (pool->stopping)
                return pool->census[KIND_READY] == 0 &&
                       (pool->census[KIND_STARTING] == 0 || now >= pool->stop_deadline);

        return pool->census[KIND_ALIVE] == 0 &&
               pool->census[KIND_IN_USE] >= (pool->rows_max ?: pool->n_rows);
}

/* What was accepted before goes before anything new. */
static void decide_waiting(struct pool *pool, usec_t now, struct pool_decision *d)
{
        bool hopeless = is_hopeless(pool, now);
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
        case POOL_ON_TRIAL:
        default:
                return false;
        }
}

/* True for a worker that is starting and will not be needed. */
static bool starts_in_vain(const struct pool *pool, uint32_t row)
{
        enum pool_age age = pool_age(pool, row);

        return pool->workers[row].record->state == WORKER_STARTING &&
               (age == POOL_ABANDONED || age == POOL_OLD);
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
                                .drain = pool->stopping || pool->rests ? POOL_DRAIN_STOP
                                                                       : POOL_DRAIN_RELOAD });
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
        const uint32_t *n = pool->census;
        uint32_t surplus;
        bool waits, drain;

        *ret = (struct pool_decision){ .wake_at = USEC_INFINITY };

        end_waits(pool, now, ret);
        end_failing(pool, now, ret);
        pool->dirty = false;
        pool->hand_waited = pool->n_in_hand > 0;
        decide_waiting(pool, now, ret);
        pool_decide_size(pool, now, ret);

        /* What waits for a credit gets its chance before the workers are drained. */
        waits = pool->n_in_hand > 0 || n[KIND_DEAD] > 0 || n[KIND_DYING] > 0;
        drain = pool->rests || (pool->stopping && (!waits || now >= pool->stop_deadline));
        if (pool->stopping && !drain)
                pool_wake(ret, pool->stop_deadline);
        surplus = pool_count_surplus(pool, n[KIND_CURRENT], n[KIND_OLD]);
        for (uint32_t i = 0; i < pool->n_rows; i++) {
                bool retire = is_surplus(pool, i, &surplus);

                decide_worker(pool, i, drain || retire, now, ret);
        }

        decide_sample(pool, now, ret);
        pool_decide_weigh(pool, now, ret);
        pool_decide_rest(pool, now, ret);
        ret->finished =
                (pool->stopping || pool->rests) && n[KIND_IN_USE] == 0 && pool->n_in_hand == 0;
}

void pool_stop(struct pool *pool, usec_t now)
{
        if (!pool->stopping) {
                pool->rests = false;
                pool->stopping = true;
                pool->state->stopping = true;
                pool->stop_deadline = usec_add(now, pool->settings->drain_timeout);
        } else {
                pool->stop_deadline = now;
        }

        /* Those that were on their way out already have no more time than all. */
        pool_limit_drains(pool, pool->stop_deadline);
        pool->dirty = true;
}
