/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Taking over what another process left in the ledger: recounting it, and asking the workers what
 * they hold. The ledger was written by a program that may have crashed, so nothing in it is taken
 * for granted.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* So many wrong records are forgiven to an adopted worker, and twice as many as it has connections:
 * each dispatcher before this one may have died with a LIST that is still to be answered, the last
 * one also with a batch that it had noted and not taken out of the channel. */
#define FORGIVEN 4096U

static bool row_is_sound(const struct pool *pool, uint32_t index)
{
        const struct worker_row *row = pool->workers[index].row;

        if (row->state == WORKER_NONE)
                return true;
        if (row->state >= WORKER_STATES || row->pid <= 1 || row->number == 0 ||
                (row->state == WORKER_READY && row->capacity == 0) ||
                row->number > pool->state->last_number ||
                row->generation > pool->state->last_generation)
                return false;

        for (uint32_t i = 0; i < index; i++) {
                const struct worker_row *other = pool->workers[i].row;

                if (other->state != WORKER_NONE && other->number == row->number)
                        return false;
        }

        return true;
}

/* Each is used once, so none may be where counting on would begin anew. */
#define GENERATION_MAX (UINT32_MAX / 2)
#define NUMBER_MAX     ((uint64_t)INT64_MAX) /* of JSON */

static bool numbers_are_sound(const struct pool_state *state)
{
        return state->generation <= state->last_generation &&
               state->last_generation <= GENERATION_MAX && state->last_number <= NUMBER_MAX;
}

/* A slot names a worker that is there, or it is RESERVED and in hand. */
static int recount_slot(struct pool *pool, const struct slot *slot)
{
        if (slot->state == SLOT_FREE)
                return 0;

        if (slot->worker == SLOT_NO_WORKER) {
                pool->n_in_hand++;
                return slot->state == SLOT_RESERVED && pool->n_in_hand <= POOL_HAND_MAX ? 0
                                                                                        : -EBADMSG;
        }

        if (slot->worker >= pool->n_rows || pool->workers[slot->worker].row->state == WORKER_NONE)
                return -EBADMSG;

        pool->workers[slot->worker].open++;
        return 0;
}

/* accepted = open + done + failed + lost + refused, but for the one step that a crash interrupts.
 */
static int mend_counters(struct pool *pool)
{
        struct counters *c = pool->counters;
        uint64_t sum = pool->slots.n_used + c->done + c->failed + c->lost + counters_sum_refused(c);

        if (c->accepted == sum)
                return 0;
        if (c->accepted + 1 == sum) { /* the slot was taken, and not counted yet */
                c->accepted++;
                return 0;
        }
        if (c->accepted == sum + 1 && pool->state->settling < OUTCOMES) {
                (*counters_get(c, pool->state->settling))++;
                return 0;
        }

        return -EBADMSG;
}

int pool_recount(struct pool *pool)
{
        if (!numbers_are_sound(pool->state))
                return -EBADMSG;

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                if (!row_is_sound(pool, i))
                        return -EBADMSG;
                if (pool->workers[i].row->state == WORKER_DEAD)
                        pool_set_take(pool, i, true);
                /* Perhaps; its end says nothing about how workers start now. */
                pool->workers[i].served = pool->workers[i].row->capacity > 0;
        }

        for (uint32_t i = 0; i < pool->slots.head->n_touched; i++) {
                int r = recount_slot(pool, &pool->slots.table[i]);

                if (r < 0)
                        return r;
        }

        /* A trial ends with the process that made it. */
        pool->state->trial = 0;
        if (pool->state->generation == 0)
                pool->state->generation = pool->state->last_generation = 1;
        pool->adopted_serial = pool->slots.head->last_serial;
        return mend_counters(pool);
}

void pool_adopted(struct pool *pool, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];

        w->served = true; /* perhaps */
        w->adopted = true;
        w->excuses = FORGIVEN + 2 * (uint64_t)w->open;
        /* A crash in pool_ready() */
        if (w->row->state == WORKER_STARTING && w->row->capacity > 0) {
                w->row->deadline = USEC_INFINITY;
                __atomic_store_n(&w->row->state, WORKER_READY, __ATOMIC_RELEASE);
        }
        /* A crash between receiving from its queue and noting that: one vanished. In two steps
         * that come to the same after a crash between them. */
        if (w->row->in_transit > 0)
                __atomic_store_n(&w->row->vanished, w->row->in_transit, __ATOMIC_RELEASE);
        pool_set_in_transit(pool, worker, false);
        w->must_list = w->row->state == WORKER_READY;
        w->leaves = w->row->state > WORKER_READY;
        w->in_doubt = true;
        pool_set_take(pool, worker, w->row->state == WORKER_ABORTED);
        pool_update_credit(pool, worker);
        pool->dirty = true;
}

struct slot *pool_get_in_hand(struct pool *pool, uint32_t k)
{
        for (uint32_t i = 0; pool->n_in_hand > 0 && i < pool->slots.head->n_touched; i++) {
                struct slot *slot = &pool->slots.table[i];

                if (slot->state != SLOT_FREE && slot->worker == SLOT_NO_WORKER && k-- == 0)
                        return slot;
        }

        return NULL;
}

void pool_lost(struct pool *pool, struct slot *slot)
{
        assert(slot->worker == SLOT_NO_WORKER);

        pool_settle(pool, slot, OUTCOME_LOST);
        pool->n_in_hand--;
        pool->dirty = true;
}

void pool_begin_list(struct pool *pool, uint32_t worker)
{
        for (uint32_t i = 0; i < pool->slots.head->n_touched; i++)
                if (pool->slots.table[i].worker == worker)
                        pool->slots.table[i].listed = false;
}

bool pool_excuse(struct pool *pool, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];

        if (!w->adopted || w->excuses == 0)
                return false;

        w->excuses--;
        return true;
}

/* It may repeat what the process before this one had heard. */
int pool_is_foreign(struct pool *pool, uint32_t worker, uint64_t id)
{
        bool is_old = slot_id_was_given(id, pool->adopted_serial);

        return is_old && pool_excuse(pool, worker) ? 0 : POOL_FOREIGN_ID;
}

int pool_held(struct pool *pool, uint32_t worker, uint64_t id)
{
        struct slot *slot = slots_get(&pool->slots, id);

        /* Asked by a process before this one: that it says so is no harm, and says nothing. */
        if (pool->workers[worker].question != QUESTION_LIST)
                return pool_excuse(pool, worker) ? 0 : POOL_NOT_ASKED;
        if (!slot || slot->worker != worker)
                return pool_is_foreign(pool, worker, id);
        if (slot->listed && !pool_excuse(pool, worker)) /* once an answer */
                return POOL_NOT_ASKED;

        slot->listed = true;
        slot_set_state(slot, SLOT_SENT);
        return 0;
}

/* The worker read the question after all that was sent before it. So what it does not hold, it has
 * finished, and the process before this one heard that and no more; or it was never sent, or was
 * taken back. Of those that vanished so, the number is known, and it does not matter which. */
void pool_settle_unlisted(struct pool *pool, uint32_t worker)
{
        struct worker_row *row = pool->workers[worker].row;

        for (uint32_t i = 0; i < pool->slots.head->n_touched; i++) {
                struct slot *slot = &pool->slots.table[i];
                bool sent, vanished;

                if (slot->state == SLOT_FREE || slot->worker != worker || slot->listed)
                        continue;

                sent = slot->state == SLOT_SENT;
                vanished = sent && row->vanished > 0;
                pool_settle(pool, slot, sent && !vanished ? OUTCOME_DONE : OUTCOME_LOST);
                pool_forget(pool, worker);
                if (vanished)
                        row->vanished--;
        }
        row->vanished = 0;
}
