/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who can take another connection: the heap of workers with a credit, and all that takes a credit
 * from a worker or gives it back. No system calls; time is a parameter, in all files of the pool.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* A worker whose channel was full is tried again after this time, even when it says nothing: the
 * descriptors in flight that were too many may have been another worker's. */
#define BLOCKED_USEC (50 * USEC_PER_MSEC)

/* --- The heap --- */

static bool comes_before(const struct pool *pool, uint32_t a, uint32_t b)
{
        const struct pool_worker *x = &pool->workers[a], *y = &pool->workers[b];

        if (pool->settings->distribute == DISTRIBUTE_ROUND_ROBIN)
                return x->last_chosen < y->last_chosen;
        if (x->open != y->open)
                return x->open < y->open;

        /* Among equals the one that is still warm, so that few workers serve what few can serve. */
        return x->last_chosen > y->last_chosen;
}

static void heap_place(struct pool *pool, uint32_t position, uint32_t row)
{
        pool->heap[position] = row;
        pool->workers[row].heap_position = position;
}

/* Puts `row`, for which `position` is vacant, where it belongs above or below. */
static void heap_sift(struct pool *pool, uint32_t position, uint32_t row)
{
        uint32_t parent, child;

        while (position > 0 && comes_before(pool, row, pool->heap[(position - 1) / 2])) {
                parent = (position - 1) / 2;
                heap_place(pool, position, pool->heap[parent]);
                position = parent;
        }

        while ((child = 2 * position + 1) < pool->n_heap) {
                if (child + 1 < pool->n_heap &&
                        comes_before(pool, pool->heap[child + 1], pool->heap[child]))
                        child++;
                if (!comes_before(pool, pool->heap[child], row))
                        break;
                heap_place(pool, position, pool->heap[child]);
                position = child;
        }

        heap_place(pool, position, row);
}

/* --- Credit --- */

static bool has_credit(const struct pool_worker *w)
{
        return w->record->state == WORKER_READY && w->open < w->record->capacity &&
               w->blocked_until == 0 && !pool_worker_is_paused(w) && !w->must_list &&
               !w->taking_back && !w->ignores_queue;
}

static void update_idle(struct pool *pool, struct pool_worker *w)
{
        bool idle = w->record->state == WORKER_READY && w->open == 0 && !pool_worker_is_paused(w);

        if (idle == w->idle)
                return;

        w->idle = idle;
        if (idle) {
                pool->n_idle++;
        } else {
                pool->n_idle--;
                if (pool->n_idle + 1 == pool->idle_floor)
                        pool->dirty = true;
        }
}

static void update_heap(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];
        uint32_t position = w->heap_position;

        if (has_credit(w)) {
                if (position == POOL_NOT_IN_HEAP)
                        position = pool->n_heap++;
                heap_sift(pool, position, row);
        } else if (position != POOL_NOT_IN_HEAP) {
                uint32_t last = pool->heap[--pool->n_heap];

                w->heap_position = POOL_NOT_IN_HEAP;
                if (last != row)
                        heap_sift(pool, position, last);
        }
}

/* In a full pool, the last credit goes and comes back with each connection. That is a matter for a
 * decision only where something waits for a credit, or more workers could be started. */
void pool_update_credit(struct pool *pool, uint32_t row)
{
        bool had_credit = pool->n_heap > 0, has;

        update_idle(pool, &pool->workers[row]);
        update_heap(pool, row);
        pool_count_room(pool, row);
        has = pool->n_heap > 0;
        if (has == had_credit)
                return;
        if (pool->n_in_hand > 0 || pool->n_taking_back > 0 || (!has && pool_grows_if_full(pool)))
                pool->dirty = true;
}

void pool_set_taking_back(struct pool *pool, uint32_t row, bool taking_back)
{
        struct pool_worker *w = &pool->workers[row];

        if (w->taking_back == taking_back)
                return;

        w->taking_back = taking_back;
        w->taken = 0;
        if (taking_back)
                pool->n_taking_back++;
        else
                pool->n_taking_back--;
        pool_update_credit(pool, row);
        pool->dirty = true;
}

/* --- Full channels --- */

void pool_block(struct pool *pool, uint32_t row, usec_t now)
{
        pool->workers[row].blocked_until = usec_add(now, BLOCKED_USEC);
        pool_update_credit(pool, row);
        pool->dirty = true;
}

void pool_unblock(struct pool *pool, uint32_t row)
{
        pool->workers[row].blocked_until = 0;
        pool_update_credit(pool, row);
        pool->dirty = true;
}

void pool_heard(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];

        if (w->blocked_until == 0 && !w->ignores_queue && !w->taking_back)
                return;

        w->ignores_queue = false;
        if (w->question == QUESTION_NONE && w->blocked_until != 0) /* only room was missing */
                w->asked_at = 0;
        if (w->taking_back) /* look at once how far it is */
                pool->sample_at = 1;
        pool_unblock(pool, row);
}
