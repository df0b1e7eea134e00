/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Generations: workers started with the same program and settings, and how one follows another.
 */

#include <assert.h>

#include "policy/pool-inside.h"

void pool_try(struct pool *pool, const struct settings *settings)
{
        assert(!pool->state->trial);

        pool->state->trial = ++pool->state->last_generation;
        pool->trial_settings = settings;
        pool_count_all(pool);
        pool->dirty = true;
}

void pool_commit(struct pool *pool)
{
        uint32_t old = 0;

        assert(pool->state->trial);

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                const struct worker_row *record = pool->workers[i].record;

                old += record->state == WORKER_READY &&
                       record->generation <= pool->state->generation;
        }

        pool->state->before_reload = old;
        pool->state->generation = pool->state->trial;
        pool->state->trial = 0;
        pool->settings = TAKE_PTR(pool->trial_settings);
        pool_settings_changed(pool);
        /* How workers of the last program started says nothing about this one. */
        pool->backoff.delay = 0;
        pool->backoff.not_before = 0;
        pool_count_all(pool);
}

void pool_abandon(struct pool *pool)
{
        pool->state->trial = 0;
        pool->trial_settings = NULL;
        pool_count_all(pool);
        pool->dirty = true;
}

uint32_t pool_count_due(const struct pool *pool)
{
        uint32_t before = MIN(pool->state->before_reload, pool->settings->workers_max);

        return MAX(pool->settings->workers, before);
}

uint32_t pool_count_surplus(const struct pool *pool, uint32_t n_new, uint32_t n_old)
{
        if (n_new >= pool_count_due(pool))
                return n_old;

        return n_new + n_old > pool->state->before_reload
                       ? n_new + n_old - pool->state->before_reload
                       : 0;
}
