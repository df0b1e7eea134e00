/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Of which generation a worker is, and how many workers there are of each kind. Each worker notes
 * in which kinds it is counted, so counting it again, whatever has changed, is a comparison;
 * decisions and the way of a connection read the sums.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* --- Generations --- */

bool pool_is_on_trial(const struct pool *pool, uint32_t row)
{
        return pool->state->trial != 0 &&
               pool->workers[row].record->generation == pool->state->trial;
}

enum pool_age pool_age(const struct pool *pool, uint32_t row)
{
        uint32_t generation = pool->workers[row].record->generation;

        if (generation == pool->state->generation)
                return POOL_CURRENT;
        if (pool_is_on_trial(pool, row))
                return POOL_ON_TRIAL;

        return generation > pool->state->generation ? POOL_ABANDONED : POOL_OLD;
}

const struct settings *pool_settings_of(const struct pool *pool, uint32_t row)
{
        return pool_is_on_trial(pool, row) ? pool->trial_settings : pool->settings;
}

/* --- Kinds --- */

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

static uint32_t find_kinds(const struct pool *pool, uint32_t row)
{
        const struct pool_worker *w = &pool->workers[row];
        enum worker_state state = w->record->state;
        bool alive = worker_state_info(state)->alive, ready = state == WORKER_READY;
        enum pool_age age = pool_age(pool, row);

        return (uint32_t)(state == WORKER_STARTING && age == POOL_CURRENT) << KIND_STARTING |
               (uint32_t)(ready && age == POOL_CURRENT) << KIND_CURRENT |
               (uint32_t)(ready && age == POOL_OLD) << KIND_OLD |
               (uint32_t)(w->doomed && alive && age == POOL_CURRENT) << KIND_DOOMED |
               (uint32_t)((ready || state == WORKER_STARTING) && age == POOL_ON_TRIAL)
                       << KIND_ON_TRIAL |
               (uint32_t)ready << KIND_READY | (uint32_t)alive << KIND_ALIVE |
               (uint32_t)(state != WORKER_NONE) << KIND_IN_USE |
               (uint32_t)(state == WORKER_DEAD) << KIND_DEAD |
               (uint32_t)((state == WORKER_KILLED || state == WORKER_ABORTED) && w->open > 0)
                       << KIND_DYING |
               (uint32_t)(alive && state > WORKER_READY && age == POOL_CURRENT) << KIND_LEAVING |
               (uint32_t)has_room(w) << KIND_WITH_ROOM;
}

/* The worker becomes one of this kind, or is one no more. */
static void change(struct pool *pool, struct pool_worker *w, size_t kind)
{
        w->kinds ^= UINT32_C(1) << kind;
        if (w->kinds >> kind & 1) {
                pool->census[kind]++;
        } else {
                assert(pool->census[kind] > 0);
                pool->census[kind]--;
        }
}

void pool_count(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];
        uint32_t changed = find_kinds(pool, row) ^ w->kinds;

        for (size_t kind = 0; changed >> kind != 0; kind++)
                if (changed >> kind & 1)
                        change(pool, w, kind);
}

/* A ready worker that stays ready differs in nothing else: connections come and go this way. */
void pool_count_room(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];
        bool was_ready = w->kinds >> KIND_READY & 1, had_room = w->kinds >> KIND_WITH_ROOM & 1;

        if (!was_ready || w->record->state != WORKER_READY)
                pool_count(pool, row);
        else if (has_room(w) != had_room)
                change(pool, w, KIND_WITH_ROOM);
}

void pool_count_all(struct pool *pool)
{
        for (uint32_t i = 0; i < pool->n_rows; i++)
                pool_count(pool, i);
}
