/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Queues that nobody reads.
 *
 * A connection that was sent to a worker lies in its channel until the worker receives it. The
 * dispatcher holds the other end of that queue, too, so a queue outlives its worker, and can be
 * emptied past it: one connection after another is received here and given to whoever has credit
 * (POOL_TAKE_BACK). When does that begin? With a dead worker at once: nobody else will read. With
 * one that was aborted because it hangs, or killed and does not die, likewise. With one that lives,
 * when a connection has been waiting in its queue for QueueTimeoutSec=.
 *
 * Waiting is found by sampling, so that handing a connection over only sets a flag (`in_doubt`). A
 * sample (POOL_SAMPLE) asks the kernel how many records are queued: sent - queued = read, whoever
 * read them. `mark_sent` is how many had been sent at an earlier sample, at `mark_at`. Example: 10
 * sent, mark 10; a second later 7 are still queued, so only 3 are read and the 10th has waited for
 * a second. Once the worker has read up to the mark, the next mark is set. Once no connection is
 * queued, the doubt is over, and nothing is sampled until something is sent again.
 *
 * Not every record is a connection. Of the questions (PING, LIST) at most one is in a channel, and
 * pool-question.c knows after how many records it was sent; a DRAIN record is the last of all. Both
 * may wait as long as they like. So a mark in front of them, and not behind, is what the worker has
 * to come up to.
 *
 * The taking ends when nothing is left: the worker read the rest itself, or all of it was taken.
 * In the second case the worker has shown nothing, so it gets nothing (`ignores_queue`) but a PING,
 * until it says something. A worker that serves its connections and is only slow to receive is back
 * in a moment.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* Four samples fall into QueueTimeoutSec=, or more. A connection was waiting for one interval
 * longer than that at most, where the worker has stopped reading. */
#define SAMPLES         4
#define SAMPLE_MIN_USEC USEC_PER_MSEC
#define SAMPLE_MAX_USEC (250 * USEC_PER_MSEC)

/* --- Samples --- */

/* Its DRAIN record is the last one that was sent. */
static bool was_told(const struct pool_worker *w)
{
        return w->record->flags & ROW_DRAIN_TOLD;
}

static uint64_t count_sent(const struct pool_worker *w)
{
        return w->record->handed_over + w->n_asked + was_told(w);
}

/* A worker that leaves can be relieved of its queue, too, and so can one that should be dead. */
bool pool_is_in_doubt(const struct pool *pool, uint32_t row)
{
        const struct pool_worker *w = &pool->workers[row];

        return w->in_doubt && worker_state_info(w->record->state)->alive;
}

static void set_mark(struct pool_worker *w, usec_t now)
{
        uint64_t sent = count_sent(w) - was_told(w);

        /* A question may wait as long as it likes, and DRAIN, too. */
        w->mark_sent = sent - (w->question != QUESTION_NONE && w->question_at == sent);
        w->mark_at = now;
}

static usec_t sample_interval(const struct pool *pool)
{
        usec_t timeout = pool->settings->queue_timeout;

        /* Where it was changed under queues that are being taken, see to the end of that. */
        if (timeout == USEC_INFINITY && pool->n_taking_back == 0)
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

/* After an adoption, questions of earlier dispatchers may be queued, too. Only their number of
 * records is known, so they count as connections. At worst a worker that reads nothing has its
 * queue taken although only questions are in it: they are dropped, and it is asked again. */
uint32_t pool_count_waiting(const struct pool *pool, uint32_t row, uint32_t queued)
{
        const struct pool_worker *w = &pool->workers[row];
        bool question_waits =
                w->question != QUESTION_NONE && queued > count_sent(w) - w->question_at;
        bool drain_waits = was_told(w) && queued > 0;

        return queued - question_waits - drain_waits;
}

uint32_t pool_sampled(struct pool *pool, uint32_t row, uint32_t queued, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];
        uint32_t taken = 0;

        if (pool_count_waiting(pool, row, queued) == 0) {
                w->in_doubt = false;
                w->mark_at = 0;
                taken = w->taken;
                pool_set_taking_back(pool, row, false); /* it read the last one itself */
        } else if ((int64_t)(count_sent(w) - queued - w->mark_sent) >= 0) {
                set_mark(w, now);
        } else if (now - w->mark_at >= pool->settings->queue_timeout) {
                pool_set_taking_back(pool, row, true);
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
int64_t pool_next_queue(const struct pool *pool)
{
        int64_t smallest = -1;

        for (uint32_t i = 0; pool->n_taking_back > 0 && i < pool->n_rows; i++) {
                const struct pool_worker *w = &pool->workers[i];

                if (!w->taking_back || (w->record->state != WORKER_DEAD && pool->n_heap == 0))
                        continue;
                if (smallest < 0 || w->open < pool->workers[smallest].open)
                        smallest = i;
        }

        return smallest;
}

void pool_set_in_transit(struct pool *pool, uint32_t row, bool in_transit)
{
        struct worker_row *record = pool->workers[row].record;

        __atomic_store_n(
                &record->in_transit, in_transit ? record->vanished + 1 : 0, __ATOMIC_RELEASE);
}

struct slot *pool_take_back(struct pool *pool, uint32_t row, uint64_t id)
{
        struct slot *slot = slots_get(&pool->slots, id);

        assert(pool->workers[row].taking_back);

        pool->dirty = true;
        if (!slot || slot->worker != row) {
                pool_set_in_transit(pool, row, false);
                return NULL;
        }

        pool->counters->taken_back++;
        pool->workers[row].taken++;
        if (slot->attempt < UINT8_MAX)
                slot->attempt++;
        pool_into_hand(pool, slot);
        pool_set_in_transit(pool, row, false);

        return slot;
}

uint32_t pool_queue_done(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];
        uint32_t taken = w->taken;

        w->in_doubt = false;
        w->mark_at = 0;
        w->ignores_queue = true;
        pool_set_taking_back(pool, row, false);

        return taken;
}
