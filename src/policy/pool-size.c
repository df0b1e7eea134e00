/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How many workers there should be, and which. Nothing here runs on the way of a connection: the
 * pool gets dirty when credits run out, when too few workers are idle, when a worker has had
 * RecycleAfter= connections; idle workers are looked for by time.
 */

#include "policy/pool-inside.h"

/* Extra workers that start at the same time, at most. */
#define STARTS_MAX 32U

/* Idle workers are looked for so often in WorkerIdleTimeoutSec=. Noticing costs up to one interval
 * and retiring another, and the way of a connection nothing. */
#define LOOKS 8U

/* --- How many --- */

/* How many workers may start beyond Workers= while no credit is left. Each one doubles itself when
 * it is ready and full: as many may start as there are extra ones, and one. So a burst is met in a
 * few times of a start (0, 1, 3, 7, 15, 31 ... extra workers), one client too many costs one start,
 * and a program that starts slowly is not started more often for it. */
static uint32_t starts_at_once(const struct pool *pool)
{
        uint32_t workers = pool->settings->workers;
        uint32_t extra =
                pool->census[KIND_CURRENT] > workers ? pool->census[KIND_CURRENT] - workers : 0;

        return MIN(extra + 1, STARTS_MAX);
}

/* More workers would help: those that there are can take nothing more, and it is not
 * MaxConnections= or a lack of descriptors that keeps clients waiting. */
static bool is_out_of_credit(const struct pool *pool)
{
        return pool->census[KIND_READY] > 0 && pool->census[KIND_WITH_ROOM] == 0 &&
               pool->paused_until == 0 && pool->slots.n_used < pool->settings->max_connections;
}

/* The most that may run. Those that leave are processes, too. */
static uint32_t count_most(const struct pool *pool)
{
        uint32_t most = pool->settings->workers_max;

        most -= MIN(most, pool->census[KIND_LEAVING]);
        return MAX(most, pool->settings->workers);
}

/* As many as there are when nobody serves. */
static uint32_t count_least(const struct pool *pool)
{
        uint32_t spare = MIN(pool->settings->workers_spare, pool->settings->workers_max);

        return MAX(pool->settings->workers, spare);
}

/* Of the generation in force. */
static uint32_t count_wanted(const struct pool *pool)
{
        uint32_t spare = pool->settings->workers_spare;
        uint32_t wanted = pool->census[KIND_STARTING] + pool->census[KIND_CURRENT];

        wanted += spare - MIN(spare, pool->n_idle + pool->census[KIND_STARTING]);
        if (is_out_of_credit(pool))
                wanted = MAX(wanted, pool->census[KIND_CURRENT] + starts_at_once(pool));
        wanted = MIN(wanted, count_most(pool));

        return MAX(wanted,
                pool->census[KIND_OLD] > 0 ? pool_count_due(pool) : pool->settings->workers);
}

/* --- Recycling --- */

/* A successor that is gone, or whose predecessor is, is none any more. */
static void check_successor(struct pool *pool, usec_t now)
{
        enum worker_state state;

        if (pool->successor == POOL_NO_ROW)
                return;

        state = pool->workers[pool->successor].record->state;
        if (state != WORKER_STARTING &&
                !(state == WORKER_READY && pool_find_due(pool, now) != POOL_NO_ROW))
                pool->successor = POOL_NO_ROW;
}

/* With Accept=no a server may say READY and end all the same. */
static bool successor_is_good(const struct pool *pool, usec_t now)
{
        return pool->workers[pool->successor].record->state == WORKER_READY &&
               (pool->settings->accept || now >= pool_get_proof_time(pool, pool->successor));
}

static void decide_recycle(struct pool *pool, uint32_t due, usec_t now, struct pool_decision *d)
{
        if (due == POOL_NO_ROW || pool->successor == POOL_NO_ROW || !successor_is_good(pool, now))
                return;

        /* While starts fail, the old ones are kept until the successor has served somebody. */
        if (pool->census[KIND_LEAVING] == 0 &&
                pool->census[KIND_CURRENT] > pool->settings->workers &&
                !backoff_is_failing(&pool->backoff))
                pool_act(pool, d,
                        (struct pool_action){
                                .type = POOL_DRAIN, .row = due, .drain = POOL_DRAIN_RECYCLE });
}

/* --- Starting --- */

/* False while failed starts make the next one wait, for its time or for the end of the last one. */
static bool may_start(struct pool *pool, usec_t now, struct pool_decision *d)
{
        if (!backoff_is_failing(&pool->backoff))
                return true;
        /* one at a time, until one serves: a probe */
        if (pool->census[KIND_STARTING] + pool->census[KIND_DOOMED] > 0)
                return false;
        if (pool_may_spawn(pool, now))
                return true;

        pool_wake(d, pool->backoff.not_before);
        return false;
}

/* Workers of which nothing could be kept for after a crash are not started: those that are dead
 * and have a queue take room in the descriptor store, too. */
static uint32_t count_free(const struct pool *pool)
{
        uint32_t most = pool->rows_max ?: pool->n_rows;

        return most - MIN(most, pool->census[KIND_IN_USE]);
}

static uint32_t find_free(const struct pool *pool, uint32_t from)
{
        while (from < pool->n_rows && pool->workers[from].record->state != WORKER_NONE)
                from++;

        return from;
}

/* One worker shows whether the next generation starts; what becomes of it is the caller's to say.
 * Returns from where on rows are still free. */
static uint32_t decide_trial(struct pool *pool, struct pool_decision *d)
{
        uint32_t row = find_free(pool, 0);

        if (!pool->state->trial || pool->census[KIND_ON_TRIAL] > 0 || count_free(pool) == 0 ||
                row == pool->n_rows)
                return row;

        pool_act(pool, d, (struct pool_action){ .type = POOL_SPAWN, .row = row, .on_trial = true });
        return row + 1;
}

static void decide_spawn(
        struct pool *pool, uint32_t free_from, uint32_t due, usec_t now, struct pool_decision *d)
{
        uint32_t wanted = count_wanted(pool);
        uint32_t running = pool->census[KIND_STARTING] + pool->census[KIND_CURRENT];
        bool succeeds = running >= wanted && running <= pool->settings->workers_max &&
                        due != POOL_NO_ROW && pool->successor == POOL_NO_ROW &&
                        pool->census[KIND_LEAVING] == 0;

        if (succeeds)
                wanted = running + 1;
        if (running >= wanted)
                return;

        if (!may_start(pool, now, d))
                return;
        if (backoff_is_failing(&pool->backoff))
                wanted = running + 1;

        wanted = MIN(wanted, running + count_free(pool));
        for (uint32_t i = find_free(pool, free_from); i < pool->n_rows && running < wanted;
                i = find_free(pool, i + 1)) {
                pool_act_on(pool, d, POOL_SPAWN, i);
                running++;
                if (succeeds)
                        pool->successor = i;
        }
}

/* Notes which changes of credits will ask for a start: see pool-credit.c. Any other is none of a
 * decision's business. */
static void note_floors(struct pool *pool, usec_t now, struct pool_decision *d)
{
        uint32_t spare = pool->settings->workers_spare, starting = pool->census[KIND_STARTING];

        pool->idle_floor = 0;
        pool->may_grow = false;
        if (starting + pool->census[KIND_CURRENT] >= count_most(pool) || !may_start(pool, now, d))
                return;

        pool->idle_floor = spare - MIN(spare, starting);
        pool->may_grow = starts_at_once(pool) > starting;
}

/* --- Retiring --- */

static bool can_retire(const struct pool_worker *w)
{
        return w->idle && w->heap_position != POOL_NOT_IN_HEAP;
}

/* Notices which workers are idle, and which have been so for long enough. */
static void look_for_idle(struct pool *pool, usec_t now)
{
        for (uint32_t i = 0; i < pool->n_rows; i++) {
                struct pool_worker *w = &pool->workers[i];

                w->retires = false;
                if (!can_retire(w) || i == pool->successor) {
                        w->idle_since = 0;
                        continue;
                }
                if (w->idle_since == 0 || w->idle_mark != w->record->handed_over) {
                        w->idle_since = now;
                        w->idle_mark = w->record->handed_over;
                }
                w->retires = now - w->idle_since >= pool->settings->worker_idle_timeout;
        }
}

/* No generation but the current one is there. */
static uint32_t count_kept(const struct pool *pool)
{
        uint32_t serving = pool->census[KIND_READY] - pool->n_idle;
        uint32_t kept = MIN(serving + pool->settings->workers_spare, count_most(pool));

        return MAX(kept, pool->settings->workers);
}

static void decide_retire(struct pool *pool, usec_t now, struct pool_decision *d)
{
        usec_t timeout = pool->settings->worker_idle_timeout;
        uint32_t kept = count_kept(pool) + (pool->successor != POOL_NO_ROW);
        uint32_t surplus = pool->census[KIND_READY] - MIN(pool->census[KIND_READY], kept);

        /* what waits may be given to one of them in a moment */
        bool waits = pool->n_in_hand > 0 || pool->n_taking_back > 0;

        if (pool->census[KIND_READY] <= count_least(pool) || timeout == USEC_INFINITY) {
                pool->look_at = 0;
                return;
        }

        if (now >= pool->look_at) {
                look_for_idle(pool, now);
                pool->look_at = usec_add(now, MAX(timeout / LOOKS, USEC_PER_MSEC));
        }
        pool_wake(d, pool->look_at);

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                struct pool_worker *w = &pool->workers[i];

                if (!w->retires)
                        continue;
                if (surplus > 0 && !waits && can_retire(w) &&
                        w->idle_mark == w->record->handed_over) {
                        pool_act(pool, d,
                                (struct pool_action){
                                        .type = POOL_DRAIN, .row = i, .drain = POOL_DRAIN_RETIRE });
                        surplus--;
                } else {
                        w->retires = false; /* until the next look */
                }
        }
}

void pool_decide_size(struct pool *pool, usec_t now, struct pool_decision *d)
{
        bool replaces; /* one generation another: then nothing else is replaced */
        uint32_t due;

        pool->idle_floor = 0;
        pool->may_grow = false;
        if (pool->stopping || pool->rests)
                return;

        check_successor(pool, now);
        replaces = pool->census[KIND_READY] != pool->census[KIND_CURRENT];
        due = replaces ? POOL_NO_ROW : pool_find_due(pool, now);
        decide_spawn(pool, decide_trial(pool, d), due, now, d);
        decide_recycle(pool, due, now, d);
        pool_wake_when_due(pool, now, d);
        if (replaces)
                pool->look_at = 0;
        else
                decide_retire(pool, now, d);
        note_floors(pool, now, d);
}
