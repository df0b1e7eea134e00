/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of workers: what happened to them, and what their rows say of it. What is to be done
 * about them is decided in pool-decide.c.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* More READYs than this in a second are a flood. */
#define READYS_PER_SEC 10

/* As long as a program that cannot serve commonly takes to find that out and to end, although it
 * has said READY: gunicorn does, whose master is ready before it has loaded the application. */
#define PROOF_USEC (2 * USEC_PER_SEC)

static usec_t timeout_of(
        const struct pool *pool, const struct settings *settings, enum worker_timeout timeout)
{
        switch (timeout) {
        case TIMEOUT_START:
                return settings->timeout_start;
        case TIMEOUT_DRAIN:
                return pool->stopping || pool->rests ? settings->drain_timeout
                                                     : settings->reload_drain_timeout;
        case TIMEOUT_STOP:
                return settings->timeout_stop;
        case TIMEOUT_NONE:
        default:
                return USEC_INFINITY;
        }
}

static void happened(struct pool *pool, uint32_t row, enum worker_event event, usec_t now)
{
        struct worker_row *record = pool->workers[row].record;
        enum worker_state before = record->state;
        enum worker_state after = worker_state_next(before, event);

        if (after != before) {
                enum worker_timeout timeout = worker_state_info(after)->timeout;
                const struct settings *settings = pool_settings_of(pool, row);

                record->deadline = usec_add(now, timeout_of(pool, settings, timeout));
                __atomic_store_n(&record->state, after, __ATOMIC_RELEASE);
        }

        pool_update_credit(pool, row);
        pool->dirty = true;
}

/* --- Starts --- */

void pool_spawned(struct pool *pool, uint32_t row, int32_t pid, bool on_trial, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];
        struct worker_row *record = w->record;

        assert(record->state == WORKER_NONE);

        *w = (struct pool_worker){
                .record = record,
                .first_slot = POOL_NO_SLOT,
                .heap_position = POOL_NOT_IN_HEAP,
        };
        *record = (struct worker_row){
                .number = ++pool->state->last_number,
                .started_at = now,
                .pid = pid,
                .offered = pool->offers,
                .generation = on_trial ? pool->state->trial : pool->state->generation,
        };
        happened(pool, row, WORKER_SPAWNED, now);
}

void pool_spawn_failed(struct pool *pool, usec_t now)
{
        backoff_failed(&pool->backoff, now, now);
        pool->dirty = true;
}

bool pool_may_spawn(const struct pool *pool, usec_t now)
{
        return now >= pool->backoff.not_before;
}

/* The capacity of the first READY is what a later reader knows that one by, so it is written after
 * the features. That of a pause is not written: the worker keeps what it has. */
static void note_ready(struct worker_row *record, uint32_t capacity, uint32_t features)
{
        record->features = features;
        if (capacity > 0)
                __atomic_store_n(&record->capacity, capacity, __ATOMIC_RELEASE);
        if (capacity > 0)
                record->flags &= ~(uint32_t)ROW_PAUSED;
        else
                record->flags |= ROW_PAUSED;
}

int pool_ready(struct pool *pool, uint32_t row, uint32_t capacity, uint32_t features, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];
        bool is_first;

        if (w->n_readys == 0 || now - w->readys_since >= USEC_PER_SEC) {
                w->readys_since = now;
                w->n_readys = 0;
        }
        if (++w->n_readys > READYS_PER_SEC)
                return POOL_READY_FLOOD;

        is_first = w->record->capacity == 0;
        if (is_first && capacity == 0)
                return POOL_READY_FOR_NOTHING;
        if ((features & ~w->record->offered) != 0 || (!is_first && features != w->record->features))
                return POOL_BAD_FEATURES;

        note_ready(w->record, MIN(capacity, pool_settings_of(pool, row)->connections_per_worker),
                features);
        if (w->record->state == WORKER_STARTING) {
                backoff_ready(&pool->backoff, w->record->started_at);
                w->answered_at = w->ready_at = now;
        }
        pool_heard(pool, row);
        happened(pool, row, WORKER_SAYS_READY, now);

        return 0;
}

/* --- Ends --- */

/* One DrainTimeoutSec= for the whole stop, also for workers that had to wait for it. */
static usec_t bound_by_stop(const struct pool *pool, usec_t deadline, usec_t now)
{
        if (!pool->stopping || deadline <= pool->stop_deadline)
                return deadline;

        return MAX(pool->stop_deadline, now);
}

usec_t pool_get_drain_deadline(const struct pool *pool, usec_t now)
{
        return bound_by_stop(
                pool, usec_add(now, timeout_of(pool, pool->settings, TIMEOUT_DRAIN)), now);
}

void pool_drained(struct pool *pool, uint32_t row, bool told, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];
        struct worker_row *record = w->record;

        if (told)
                __atomic_fetch_or(&record->flags, ROW_DRAIN_TOLD, __ATOMIC_RELEASE);
        w->leaves = true;
        pool_note_recycled(pool, row, now);
        happened(pool, row, WORKER_DRAINED, now);
        record->deadline = bound_by_stop(pool, record->deadline, now);
}

void pool_limit_drains(struct pool *pool, usec_t deadline)
{
        for (uint32_t i = 0; i < pool->n_rows; i++) {
                struct worker_row *record = pool->workers[i].record;

                if (record->state == WORKER_DRAINING)
                        record->deadline = MIN(record->deadline, deadline);
        }
}

/* Is about to be ended. Those that do not end at once must not be joined by one after another. */
static void fails(struct pool *pool, uint32_t row, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];

        if (w->record->state != WORKER_STARTING || pool->stopping ||
                pool_age(pool, row) != POOL_CURRENT)
                return;

        w->failed = w->doomed = true;
        backoff_failed(&pool->backoff, w->record->started_at, now);
}

void pool_terminated(struct pool *pool, uint32_t row, usec_t now)
{
        fails(pool, row, now);
        happened(pool, row, WORKER_TERMINATED, now);
}

void pool_aborted(struct pool *pool, uint32_t row, usec_t now)
{
        fails(pool, row, now);
        pool_set_taking_back(pool, row, true);
        happened(pool, row, WORKER_GOT_ABORTED, now);
}

/* It may not die for long, where it sleeps and no signal reaches it. */
void pool_killed(struct pool *pool, uint32_t row, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];

        fails(pool, row, now);
        pool_set_taking_back(pool, row, true);
        happened(pool, row, WORKER_GOT_KILLED, now);
        if (w->doomed) /* then another start is tried all the same */
                w->record->deadline = usec_add(now, pool->settings->restart_max_delay);
}

usec_t pool_get_proof_time(const struct pool *pool, uint32_t row)
{
        const struct pool_worker *w = &pool->workers[row];

        if (pool_settings_of(pool, row)->accept || w->record->state != WORKER_READY)
                return USEC_INFINITY;

        return usec_add(w->ready_at, MIN(PROOF_USEC, pool->settings->restart_max_delay));
}

void pool_proved(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];

        if (!w->served)
                backoff_served(&pool->backoff, w->record->started_at);
        w->served = true;
}

/* A worker that had connections for longer than the next start would wait was of use, also if none
 * of them came to its end. */
static bool was_of_use(const struct pool *pool, const struct pool_worker *w, usec_t now)
{
        const struct backoff *b = &pool->backoff;

        return w->served || (w->record->handed_over > 0 &&
                                    now - w->record->started_at >= MAX(b->delay, b->first));
}

bool pool_exited(struct pool *pool, uint32_t row, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];
        bool was_ready = w->record->capacity > 0;
        bool proved = now >= pool_get_proof_time(pool, row);
        bool soon = now - w->record->started_at < pool->settings->restart_max_delay;
        bool of_use = proved || was_of_use(pool, w, now);
        /* Others say nothing about the workers that are started now. */
        enum pool_age age = pool_age(pool, row);
        bool counts =
                !pool->stopping && !w->leaves && (age == POOL_CURRENT || age == POOL_ON_TRIAL);
        bool failed = counts && !of_use && (!was_ready || soon);

        if (failed && age == POOL_CURRENT && !w->failed)
                backoff_failed(&pool->backoff, w->record->started_at, now);
        else if (of_use)
                backoff_served(&pool->backoff, w->record->started_at);
        happened(pool, row, WORKER_EXITED, now);
        w->must_list = false; /* nobody is left to be asked */
        pool_set_taking_back(pool, row, true);

        return failed;
}

uint32_t pool_emptied(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];
        uint32_t lost = w->open;

        while (w->first_slot != POOL_NO_SLOT) {
                struct slot *slot = &pool->slots.table[w->first_slot];

                pool_end(pool, slot, OUTCOME_LOST);
                pool_forget(pool, row, slot);
        }

        pool_set_taking_back(pool, row, false);
        happened(pool, row, WORKER_EMPTIED, 0);

        return lost;
}

void pool_lost_were_idle(struct pool *pool, uint32_t n)
{
        pool->state->lost_idle += n;
}
