/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of workers: what happened to them, and what their rows say of it. What is to be done about
 * them is decided in pool-decide.c.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* More READYs than this in a second are a flood. */
#define READYS_PER_SEC 10

static usec_t timeout_of(const struct pool *pool, enum worker_timeout timeout)
{
        const struct settings *settings = pool->settings;

        switch (timeout) {
        case TIMEOUT_START:
                return settings->timeout_start;
        case TIMEOUT_DRAIN:
                return pool->stopping ? settings->drain_timeout : settings->reload_drain_timeout;
        case TIMEOUT_STOP:
                return settings->timeout_stop;
        case TIMEOUT_NONE:
        default:
                return USEC_INFINITY;
        }
}

static void happened(struct pool *pool, uint32_t worker, enum worker_event event, usec_t now)
{
        struct worker_row *row = pool->workers[worker].row;
        enum worker_state before = row->state;
        enum worker_state after = worker_state_next(before, event);

        if (after != before) {
                enum worker_timeout timeout = worker_state_info(after)->timeout;

                row->deadline = usec_add(now, timeout_of(pool, timeout));
                __atomic_store_n(&row->state, after, __ATOMIC_RELEASE);
        }

        pool_update_credit(pool, worker);
        pool->dirty = true;
}

/* --- Starts --- */

void pool_spawned(struct pool *pool, uint32_t worker, int32_t pid, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];
        struct worker_row *row = w->row;

        assert(row->state == WORKER_NONE);

        *w = (struct pool_worker){
                .row = row,
                .heap_position = POOL_NOT_IN_HEAP,
        };
        *row = (struct worker_row){
                .number = ++pool->state->last_number,
                .started_at = now,
                .pid = pid,
                .offered = pool->offers,
                .generation = pool_get_generation(pool),
        };
        happened(pool, worker, WORKER_SPAWNED, now);
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

int pool_ready(struct pool *pool, uint32_t worker, uint32_t capacity, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];

        if (w->n_readys == 0 || now - w->readys_since >= USEC_PER_SEC) {
                w->readys_since = now;
                w->n_readys = 0;
        }
        if (++w->n_readys > READYS_PER_SEC)
                return POOL_READY_FLOOD;

        w->row->capacity = MIN(capacity, pool->settings->connections_per_worker);
        if (w->row->state == WORKER_STARTING) {
                backoff_ready(&pool->backoff, w->row->started_at);
                w->answered_at = now;
        }
        pool_heard(pool, worker);
        happened(pool, worker, WORKER_SAYS_READY, now);

        return 0;
}

/* --- Ends --- */

void pool_drained(struct pool *pool, uint32_t worker, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];
        struct worker_row *row = w->row;

        w->leaves = true;
        if (pool_is_due(pool, w)) /* the successor has its place now */
                pool->successor = POOL_NO_ROW;
        happened(pool, worker, WORKER_DRAINED, now);
        /* One DrainTimeoutSec= for the whole stop, also for workers that had to wait for it. */
        if (pool->stopping && row->deadline > pool->stop_deadline)
                row->deadline = MAX(pool->stop_deadline, now);
}

void pool_terminated(struct pool *pool, uint32_t worker, usec_t now)
{
        happened(pool, worker, WORKER_TERMINATED, now);
}

void pool_aborted(struct pool *pool, uint32_t worker, usec_t now)
{
        pool_set_take(pool, worker, true);
        happened(pool, worker, WORKER_GOT_ABORTED, now);
}

void pool_killed(struct pool *pool, uint32_t worker, usec_t now)
{
        happened(pool, worker, WORKER_GOT_KILLED, now);
}

/* A worker that had connections for longer than the next start would wait was of use, also if none
 * of them came to its end. */
static bool was_of_use(const struct pool *pool, const struct pool_worker *w, usec_t now)
{
        const struct backoff *b = &pool->backoff;

        return w->served ||
               (w->row->handed_over > 0 && now - w->row->started_at >= MAX(b->delay, b->first));
}

bool pool_exited(struct pool *pool, uint32_t worker, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];
        bool was_ready = w->row->capacity > 0;
        bool soon = now - w->row->started_at < pool->settings->restart_max_delay;
        bool of_use = was_of_use(pool, w, now);
        /* Others say nothing about the workers that are started now. */
        bool counts = !pool->stopping && !w->leaves && pool_age(pool, worker) == POOL_CURRENT;
        bool failed = counts && !of_use && (!was_ready || soon);

        if (failed)
                backoff_failed(&pool->backoff, w->row->started_at, now);
        else if (of_use)
                backoff_served(&pool->backoff, w->row->started_at);
        happened(pool, worker, WORKER_EXITED, now);
        w->must_list = false; /* nobody is left to be asked */
        pool_set_take(pool, worker, true);

        return failed;
}

uint32_t pool_emptied(struct pool *pool, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];
        uint32_t lost = w->open;

        for (uint32_t i = 0; w->open > 0; i++) {
                struct slot *slot = &pool->slots.table[i];

                assert(i < pool->slots.head->n_touched);

                if (slot->state == SLOT_FREE || slot->worker != worker)
                        continue;

                pool_settle(pool, slot, OUTCOME_LOST);
                w->open--;
        }

        pool_set_take(pool, worker, false);
        happened(pool, worker, WORKER_EMPTIED, 0);

        return lost;
}
