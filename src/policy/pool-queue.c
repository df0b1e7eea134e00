/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * @@QUEUE
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* Four samples fall into QueueTimeoutSec=, or more. A connection was waiting for one interval
 * longer than that at most, where the worker has stopped reading. */
#define SAMPLES         4
#define SAMPLE_MIN_USEC USEC_PER_MSEC
#define SAMPLE_MAX_USEC (250 * USEC_PER_MSEC)

/* --- Samples --- */

static uint64_t count_sent(const struct pool_worker *w)
{
        return w->row->handed_over + w->n_asked;
}

/* A worker that drains can be relieved of its queue, too. */
bool pool_is_in_doubt(const struct pool *pool, uint32_t worker)
{
        const struct pool_worker *w = &pool->workers[worker];

        return w->in_doubt && (w->row->state == WORKER_READY || w->row->state == WORKER_DRAINING);
}

static void set_mark(struct pool_worker *w, usec_t now)
{
        uint64_t sent = count_sent(w);

        /* A question may wait as long as it likes. */
        w->mark = sent - (w->question != QUESTION_NONE && w->question_at == sent);
        w->mark_at = now;
}

static usec_t sample_interval(const struct pool *pool)
{
        usec_t timeout = pool->settings->queue_timeout;

        /* Where it was changed under queues that are being taken, see to the end of that. */
        if (timeout == USEC_INFINITY && pool->n_take == 0)
                return USEC_INFINITY;

        timeout = MIN(timeout / SAMPLES, SAMPLE_MAX_USEC);
        return MAX(timeout, SAMPLE_MIN_USEC);
}

usec_t pool_get_sample_time(struct pool *pool, usec_t now)
{
        bool any = false;

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                if (!pool_is_in_doubt(pool, i))
                        continue;
                any = true;
                if (pool->workers[i].mark_at == 0)
                        set_mark(&pool->workers[i], now);
        }

        if (!any)
                pool->sample_at = 0;
        else if (pool->sample_at == 0)
                pool->sample_at = usec_add(now, sample_interval(pool));

        return any ? pool->sample_at : USEC_INFINITY;
}

/* After an adoption, questions of processes before this one may be queued, too, and count as
 * connections: there is nothing to tell them by. A worker that reads nothing is relieved of its
 * queue then although only they are in it; they are dropped, and it is asked again. */
uint32_t pool_count_waiting(const struct pool *pool, uint32_t worker, uint32_t queued)
{
        const struct pool_worker *w = &pool->workers[worker];
        bool question_waits =
                w->question != QUESTION_NONE && queued > count_sent(w) - w->question_at;

        return queued - question_waits;
}

uint32_t pool_sampled(struct pool *pool, uint32_t worker, uint32_t queued, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];
        uint32_t taken = 0;

        if (pool_count_waiting(pool, worker, queued) == 0) {
                w->in_doubt = false;
                w->mark_at = 0;
                taken = w->taken;
                pool_set_take(pool, worker, false); /* it read the last one itself */
        } else if ((int64_t)(count_sent(w) - queued - w->mark) >= 0) {
                set_mark(w, now);
        } else if (now - w->mark_at >= pool->settings->queue_timeout) {
                pool_set_take(pool, worker, true);
        }

        return taken;
}

void pool_sampling_done(struct pool *pool)
{
        pool->sample_at = 0;
        pool->dirty = true;
}

/* --- Taking back --- */

/* Returns the one with the fewest connections. A worker that dies while it takes over a queue
 * leaves two where there was one: the smallest first keeps them few. One that lives may still come
 * to its queue, so it is spared where nobody else has credit. */
int64_t pool_get_queue_to_take(const struct pool *pool)
{
        int64_t smallest = -1;

        for (uint32_t i = 0; pool->n_take > 0 && i < pool->n_rows; i++) {
                const struct pool_worker *w = &pool->workers[i];

                if (!w->take || (w->row->state != WORKER_DEAD && pool->n_heap == 0))
                        continue;
                if (smallest < 0 || w->open < pool->workers[smallest].open)
                        smallest = i;
        }

        return smallest;
}

void pool_set_in_transit(struct pool *pool, uint32_t worker, bool in_transit)
{
        struct worker_row *row = pool->workers[worker].row;

        __atomic_store_n(&row->in_transit, in_transit ? row->vanished + 1 : 0, __ATOMIC_RELEASE);
}

struct slot *pool_take_back(struct pool *pool, uint32_t worker, uint64_t id)
{
        struct slot *slot = slots_get(&pool->slots, id);

        assert(pool->workers[worker].take);

        pool->dirty = true;
        if (!slot || slot->worker != worker) {
                pool_set_in_transit(pool, worker, false);
                return NULL;
        }

        pool->counters->taken_back++;
        pool->workers[worker].taken++;
        pool_into_hand(pool, slot);
        pool_set_in_transit(pool, worker, false);

        return slot;
}

uint32_t pool_queue_taken(struct pool *pool, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];
        uint32_t taken = w->taken;

        w->in_doubt = false;
        w->mark_at = 0;
        w->silent = true;
        pool_set_take(pool, worker, false);

        return taken;
}
