/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which workers are replaced although they are well: those that have had RecycleAfter= connections,
 * that are RecycleSec= old, or larger than RecycleMemory=. One at a time, its successor first; for
 * how it is replaced it makes no difference why.
 *
 * Age. So that workers that were started together do not all become due together, each is due
 * somewhat earlier, up to an eighth of RecycleSec=: by its number, so also for whoever adopts it.
 *
 * Size. What a worker takes right after its start, a successor will take, too, and replacing it
 * helps nobody. So none is replaced for its size before it is RestartMaxDelaySec= old. If it was
 * too large before that, this age doubles for the next one, up to 64 times; a worker that was small
 * for longer sets it back.
 */

#include "policy/pool-inside.h"

#define SPREAD_SHARE 8U /* of RecycleSec= */

#define DOUBLINGS_MAX 6U

/* Sizes are looked at this often, of so many workers at a time. */
#define WEIGH_USEC    (4 * USEC_PER_SEC)
#define WEIGH_AT_ONCE 16U

/* --- Who is due --- */

static usec_t due_at(const struct pool *pool, const struct pool_worker *w)
{
        usec_t age = pool->settings->recycle_age;
        /* Consecutive numbers fall far from each other: multiples of the golden ratio. */
        uint32_t part = (uint32_t)w->record->number * UINT32_C(2654435769) >> 16;

        if (age == USEC_INFINITY)
                return USEC_INFINITY;

        return usec_add(w->record->started_at, age - (age / SPREAD_SHARE * part >> 16));
}

static usec_t count_least_age(const struct pool *pool)
{
        return pool->settings->restart_max_delay << pool->size_doublings;
}

static usec_t due_for_size_at(const struct pool *pool, const struct pool_worker *w)
{
        return w->large_since == 0 ? USEC_INFINITY
                                   : usec_add(w->record->started_at, count_least_age(pool));
}

enum pool_recycling pool_why_recycle(const struct pool *pool, uint32_t row, usec_t now)
{
        const struct pool_worker *w = &pool->workers[row];
        uint32_t after = pool->settings->recycle_after;

        if (w->record->state != WORKER_READY || pool_age(pool, row) != POOL_CURRENT)
                return w->recycling;
        if (now >= due_for_size_at(pool, w))
                return RECYCLE_SIZE;
        if (now >= due_at(pool, w))
                return RECYCLE_AGE;

        return after > 0 && w->record->handed_over >= after ? RECYCLE_CONNECTIONS : RECYCLE_NONE;
}

/* True where `a`, which is due for `why`, goes before `b`, which is for the same. */
static bool goes_before(
        const struct pool_worker *a, const struct pool_worker *b, enum pool_recycling why)
{
        switch (why) {
        case RECYCLE_SIZE:
                return a->size > b->size;
        case RECYCLE_AGE:
                return a->record->started_at < b->record->started_at;
        case RECYCLE_CONNECTIONS:
        case RECYCLE_NONE:
        default:
                return a->record->handed_over > b->record->handed_over;
        }
}

uint32_t pool_find_due(const struct pool *pool, usec_t now)
{
        enum pool_recycling why_due = RECYCLE_NONE;
        uint32_t due = POOL_NO_ROW;

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                const struct pool_worker *w = &pool->workers[i];
                enum pool_recycling why;

                if (w->record->state != WORKER_READY || w->must_list || i == pool->successor)
                        continue;
                why = pool_why_recycle(pool, i, now);
                if (why > why_due || (why == why_due && why != RECYCLE_NONE &&
                                             goes_before(w, &pool->workers[due], why))) {
                        due = i;
                        why_due = why;
                }
        }

        return due;
}

void pool_wake_when_due(const struct pool *pool, usec_t now, struct pool_decision *d)
{
        if (pool->settings->recycle_age == USEC_INFINITY &&
                pool->settings->recycle_memory == UINT64_MAX)
                return;

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                const struct pool_worker *w = &pool->workers[i];

                if (w->record->state != WORKER_READY || pool_age(pool, i) != POOL_CURRENT)
                        continue;
                if (now < due_at(pool, w))
                        pool_wake(d, due_at(pool, w));
                if (now < due_for_size_at(pool, w))
                        pool_wake(d, due_for_size_at(pool, w));
        }
}

void pool_note_recycled(struct pool *pool, uint32_t row, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];

        w->recycling = pool_why_recycle(pool, row, now);
        if (w->recycling != RECYCLE_NONE) /* the successor has its place now */
                pool->successor = POOL_NO_ROW;
        if (w->recycling != RECYCLE_SIZE)
                return;

        if (w->large_since - w->record->started_at >= pool->settings->restart_max_delay)
                pool->size_doublings = 0;
        else if (pool->size_doublings < DOUBLINGS_MAX)
                pool->size_doublings++;
}

/* --- How large they are --- */

static bool is_weighed(const struct pool *pool, uint32_t row)
{
        return pool->workers[row].record->state == WORKER_READY &&
               pool_age(pool, row) == POOL_CURRENT;
}

/* So many rows from where the last look ended. */
int64_t pool_next_to_weigh(struct pool *pool)
{
        while (pool->n_weighed < WEIGH_AT_ONCE && pool->weigh_row < pool->n_rows) {
                uint32_t row = pool->weigh_row++;

                if (!is_weighed(pool, row))
                        continue;
                pool->n_weighed++;
                return row;
        }

        return -1;
}

void pool_weighed(struct pool *pool, uint32_t row, uint64_t size, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];
        bool was_large = w->large_since != 0;

        w->size = size;
        if (size <= pool->settings->recycle_memory)
                w->large_since = 0;
        else if (!was_large)
                w->large_since = now;
        pool->dirty |= was_large != (w->large_since != 0);
}

/* Those that there are share the time of a round. */
void pool_weighing_done(struct pool *pool, usec_t now)
{
        usec_t round = MAX(pool->census[KIND_CURRENT], WEIGH_AT_ONCE);

        pool->n_weighed = 0;
        if (pool->weigh_row >= pool->n_rows)
                pool->weigh_row = 0;
        pool->weigh_at = usec_add(now, WEIGH_USEC * WEIGH_AT_ONCE / round);
        pool->dirty = true;
}

void pool_decide_weigh(struct pool *pool, usec_t now, struct pool_decision *d)
{
        if (pool->settings->recycle_memory == UINT64_MAX || pool->stopping || pool->rests)
                return;

        if (now < pool->weigh_at)
                pool_wake(d, pool->weigh_at);
        else
                pool_act(pool, d, (struct pool_action){ .type = POOL_WEIGH });
}
