/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Questions to workers (PING, LIST), their answers, and workers that give none.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* --- Asking --- */

/* A worker that serves one connection at a time answers when it is done with it. One whose only
 * connection waits in its queue does not serve. */
static bool may_be_busy(const struct pool_worker *w)
{
        return w->record->capacity == 1 && w->open > 0 && !w->taking_back;
}

enum pool_question pool_get_question(const struct pool *pool, uint32_t row, usec_t now)
{
        const struct pool_worker *w = &pool->workers[row];
        usec_t watchdog = pool->settings->watchdog;

        if (w->record->state != WORKER_READY || w->question != QUESTION_NONE ||
                w->blocked_until != 0)
                return QUESTION_NONE;
        if (w->taking_back && pool->n_heap > 0) /* it would be dropped with what is taken */
                return QUESTION_NONE;
        if (w->must_list)
                return QUESTION_LIST;
        if (w->ignores_queue || w->asked_at != 0)
                return QUESTION_PING;

        return watchdog > 0 && now >= usec_add(w->answered_at, watchdog / 2) && !may_be_busy(w)
                       ? QUESTION_PING
                       : QUESTION_NONE;
}

bool pool_is_hung(struct pool *pool, uint32_t row, usec_t now, usec_t *ret_wake_at)
{
        struct pool_worker *w = &pool->workers[row];
        usec_t watchdog = pool->settings->watchdog;
        bool owes = w->asked_at != 0;
        usec_t *since = owes ? &w->asked_at : &w->answered_at;
        usec_t time = owes ? watchdog : watchdog / 2;

        *ret_wake_at = USEC_INFINITY;
        if (watchdog == 0 || w->record->state != WORKER_READY)
                return false;

        if (now >= usec_add(*since, time) && may_be_busy(w))
                *since = now;
        if (now >= usec_add(*since, time))
                return owes;

        *ret_wake_at = usec_add(*since, time);
        return false;
}

void pool_asked(
        struct pool *pool, uint32_t row, enum pool_question question, uint32_t value, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];

        assert(w->question == QUESTION_NONE);

        w->question = question;
        w->question_value = value;
        pool->state->last_question = value;
        w->question_at = w->record->handed_over + ++w->n_asked;
        if (w->asked_at == 0)
                w->asked_at = now;
        pool->dirty = true;
}

/* What waits in its queue is told by the number of records. */
void pool_told(struct pool *pool, uint32_t row)
{
        pool->workers[row].n_asked++;
}

/* A worker that leaves no room for a question reads as little as one that does not answer. */
void pool_not_asked(struct pool *pool, uint32_t row, usec_t now)
{
        if (pool->workers[row].asked_at == 0)
                pool->workers[row].asked_at = now;
        pool_block(pool, row, now);
}

/* It still owes an answer, so it is asked again. */
void pool_question_dropped(struct pool *pool, uint32_t row)
{
        pool->workers[row].question = QUESTION_NONE;
        pool->dirty = true;
}

/* --- Answers --- */

int pool_held(struct pool *pool, uint32_t row, uint64_t id)
{
        struct slot *slot = slots_get(&pool->slots, id);

        /* Asked by a process before this one: that it says so is no harm, and says nothing. */
        if (pool->workers[row].question != QUESTION_LIST)
                return pool_excuse(pool, row) ? 0 : POOL_NOT_ASKED;
        if (!slot || slot->worker != row)
                return pool_is_foreign(pool, row, id);
        if (slot->listed && !pool_excuse(pool, row)) /* once an answer */
                return POOL_NOT_ASKED;

        slot->listed = true;
        slot_set_state(slot, SLOT_SENT);
        return 0;
}

/*
 * The channel keeps order: a worker that answers LIST has read all that was sent before. A
 * connection in our table that it does not list was
 * (a) SENT: finished, and the crashed dispatcher read its DONE without noting it: done.
 * (b) RESERVED: never sent: lost.
 * (c) taken out of the queue by a dispatcher that crashed with it: lost.
 * Of (c) only the number is known, so that many of the SENT ones count as lost, whichever come
 * first.
 */
static void end_unlisted(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];
        struct worker_row *record = w->record;
        uint32_t next;

        for (uint32_t i = w->first_slot; i != POOL_NO_SLOT; i = next) {
                struct slot *slot = &pool->slots.table[i];
                bool sent, vanished;

                next = pool->links[i].next;
                if (slot->listed)
                        continue;

                sent = slot->state == SLOT_SENT;
                vanished = sent && record->vanished > 0;
                pool_end(pool, slot, sent && !vanished ? OUTCOME_DONE : OUTCOME_LOST);
                pool_forget(pool, row, slot);
                if (vanished)
                        record->vanished--;
        }
        record->vanished = 0;
}

int pool_pong(struct pool *pool, uint32_t row, uint32_t value, usec_t now)
{
        struct pool_worker *w = &pool->workers[row];

        if (w->question == QUESTION_NONE || w->question_value != value)
                return pool_excuse(pool, row) ? 0 : POOL_NOT_ASKED;

        if (w->question == QUESTION_LIST) {
                end_unlisted(pool, row);
                w->must_list = false;
                w->adopted = false; /* what it was asked before, it has answered before */
        }
        w->question = QUESTION_NONE;
        w->asked_at = 0;
        w->answered_at = now;
        pool_heard(pool, row);
        pool_update_credit(pool, row);
        pool->dirty = true;

        return 0;
}
