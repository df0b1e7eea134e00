/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Queues that nobody reads, and the workers at their ends: channels that are full, connections that
 * wait too long, questions (PING, LIST) and their answers, workers that hang.
 *
 * That a connection waits is found out by samples. What was sent less what is queued was taken out
 * of the queue, by whomever. The mark is a place in this count: a worker that has not come up to
 * the mark by QueueTimeoutSec= has a connection that waited that long. So the way of a connection
 * is free of all this, but for a flag.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* A worker whose channel was full is tried again after this time, even when it says nothing: the
 * descriptors in flight that were too many may have been another worker's. */
#define BLOCKED_USEC (50 * USEC_PER_MSEC)

/* Four samples fall into QueueTimeoutSec=, or more. A connection was waiting for one interval
 * longer than that at most, where the worker has stopped reading. */
#define SAMPLES         4
#define SAMPLE_MIN_USEC USEC_PER_MSEC
#define SAMPLE_MAX_USEC (250 * USEC_PER_MSEC)

/* --- Full channels --- */

void pool_block(struct pool *pool, uint32_t worker, usec_t now)
{
        pool->workers[worker].blocked_until = usec_add(now, BLOCKED_USEC);
        pool_update_credit(pool, worker);
        pool->dirty = true;
}

void pool_unblock(struct pool *pool, uint32_t worker)
{
        pool->workers[worker].blocked_until = 0;
        pool_update_credit(pool, worker);
        pool->dirty = true;
}

void pool_into_hand(struct pool *pool, struct slot *slot)
{
        uint32_t worker = slot->worker;

        slot_set_state(slot, SLOT_RESERVED);
        slot->worker = SLOT_NO_WORKER;
        pool->n_in_hand++;
        pool->dirty = true;
        pool_forget(pool, worker);
}

void pool_not_sent(struct pool *pool, struct slot *slot, usec_t now)
{
        pool_block(pool, slot->worker, now);
        pool_into_hand(pool, slot);
}

void pool_heard(struct pool *pool, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];

        if (w->blocked_until == 0 && !w->silent && !w->take)
                return;

        w->silent = false;
        if (w->question == QUESTION_NONE && w->blocked_until != 0) /* only room was missing */
                w->asked_at = 0;
        if (w->take) /* look at once how far it is */
                pool->sample_at = 1;
        pool_unblock(pool, worker);
}

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

void pool_set_take(struct pool *pool, uint32_t worker, bool take)
{
        struct pool_worker *w = &pool->workers[worker];

        if (w->take == take)
                return;

        w->take = take;
        w->taken = 0;
        if (take)
                pool->n_take++;
        else
                pool->n_take--;
        pool_update_credit(pool, worker);
        pool->dirty = true;
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

/* --- Questions --- */

/* A worker that serves one connection at a time answers when it is done with it. One whose only
 * connection waits in its queue does not serve. */
static bool may_be_busy(const struct pool_worker *w)
{
        return w->row->capacity == 1 && w->open > 0 && !w->take;
}

enum pool_question pool_get_question(const struct pool *pool, uint32_t worker, usec_t now)
{
        const struct pool_worker *w = &pool->workers[worker];
        usec_t watchdog = pool->settings->watchdog;

        if (w->row->state != WORKER_READY || w->question != QUESTION_NONE || w->blocked_until != 0)
                return QUESTION_NONE;
        if (w->take && pool->n_heap > 0) /* it would be dropped with what is taken */
                return QUESTION_NONE;
        if (w->must_list)
                return QUESTION_LIST;
        if (w->silent || w->asked_at != 0)
                return QUESTION_PING;

        return watchdog > 0 && now >= usec_add(w->answered_at, watchdog / 2) && !may_be_busy(w)
                       ? QUESTION_PING
                       : QUESTION_NONE;
}

bool pool_is_hung(struct pool *pool, uint32_t worker, usec_t now, usec_t *ret_wake_at)
{
        struct pool_worker *w = &pool->workers[worker];
        usec_t watchdog = pool->settings->watchdog;
        bool owes = w->asked_at != 0;
        usec_t *since = owes ? &w->asked_at : &w->answered_at;
        usec_t time = owes ? watchdog : watchdog / 2;

        *ret_wake_at = USEC_INFINITY;
        if (watchdog == 0 || w->row->state != WORKER_READY)
                return false;

        if (now >= usec_add(*since, time) && may_be_busy(w))
                *since = now;
        if (now >= usec_add(*since, time))
                return owes;

        *ret_wake_at = usec_add(*since, time);
        return false;
}

void pool_asked(
        struct pool *pool, uint32_t worker, enum pool_question question, uint32_t value, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];

        assert(w->question == QUESTION_NONE);

        w->question = question;
        w->question_value = value;
        pool->state->last_question = value;
        w->question_at = w->row->handed_over + ++w->n_asked;
        if (w->asked_at == 0)
                w->asked_at = now;
        if (question == QUESTION_LIST)
                pool_begin_list(pool, worker);
        pool->dirty = true;
}

/* A worker that leaves no room for a question reads as little as one that does not answer. */
void pool_not_asked(struct pool *pool, uint32_t worker, usec_t now)
{
        if (pool->workers[worker].asked_at == 0)
                pool->workers[worker].asked_at = now;
        pool_block(pool, worker, now);
}

/* It still owes an answer, so it is asked again. */
void pool_question_dropped(struct pool *pool, uint32_t worker)
{
        pool->workers[worker].question = QUESTION_NONE;
        pool->dirty = true;
}

int pool_pong(struct pool *pool, uint32_t worker, uint32_t value, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];

        if (w->question == QUESTION_NONE || w->question_value != value)
                return pool_excuse(pool, worker) ? 0 : POOL_NOT_ASKED;

        if (w->question == QUESTION_LIST) {
                pool_settle_unlisted(pool, worker);
                w->must_list = false;
                w->adopted = false; /* what it was asked before, it has answered before */
        }
        w->question = QUESTION_NONE;
        w->asked_at = 0;
        w->answered_at = now;
        pool_heard(pool, worker);
        pool_update_credit(pool, worker);
        pool->dirty = true;

        return 0;
}
