/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The way of a connection, from accept to its end: slots change hands here and nowhere else.
 * Nothing in it takes a time that grows with the pool, but by the heap's logarithm.
 */

#include <assert.h>

#include "base/stop-point.h"
#include "policy/pool-inside.h"

/* --- In --- */

bool pool_may_accept(const struct pool *pool)
{
        return pool->accepts && pool->n_heap > 0 &&
               pool->slots.n_used < pool->settings->max_connections && pool->n_in_hand == 0 &&
               pool->n_taking_back == 0 && pool->paused_until == 0 && !pool->stopping;
}

void pool_hold(struct pool *pool, bool on)
{
        pool->state->is_held = on;
        pool->accepts = pool->settings->accept && !on;
        pool->dirty = true;
}

struct slot *pool_accepted(struct pool *pool, uint16_t listener, usec_t now)
{
        struct slot *slot = slots_reserve(&pool->slots, listener, now);

        assert(slot); /* as many as MaxConnections=, and the gate was open */

        pool->counters->accepted++;
        pool->n_in_hand++;

        return slot;
}

int64_t pool_choose(struct pool *pool)
{
        return pool->n_heap > 0 ? (int64_t)pool->heap[0] : -1;
}

void pool_assign(struct pool *pool, struct slot *slot, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];

        assert(slot->worker == SLOT_NO_WORKER);
        assert(pool->n_in_hand > 0);

        slot->worker = row;
        pool->n_in_hand--;
        w->last_chosen = ++pool->n_choices;
        pool_link(pool, row, slot);
        pool_update_credit(pool, row);
        if (pool->hand_waited) /* and held up everything else */
                pool->dirty = true;
}

void pool_sent(struct pool *pool, struct slot *slot)
{
        struct pool_worker *w = &pool->workers[slot->worker];

        if (++w->record->handed_over == pool->settings->recycle_after)
                pool->dirty = true;
        w->in_doubt = true;
        if (pool->sample_at == 0)
                pool->dirty = true;
        slot_set_state(slot, SLOT_SENT);
}

/* --- Who has it --- */

static uint32_t index_of(const struct pool *pool, const struct slot *slot)
{
        return (uint32_t)(slot - pool->slots.table);
}

void pool_link(struct pool *pool, uint32_t row, const struct slot *slot)
{
        struct pool_worker *w = &pool->workers[row];
        uint32_t index = index_of(pool, slot);

        pool->links[index] = (struct slot_link){ POOL_NO_SLOT, w->first_slot };
        if (w->first_slot != POOL_NO_SLOT)
                pool->links[w->first_slot].previous = index;
        w->first_slot = index;
        w->open++;
}

void pool_forget(struct pool *pool, uint32_t row, const struct slot *slot)
{
        struct pool_worker *w = &pool->workers[row];
        struct slot_link link = pool->links[index_of(pool, slot)];

        assert(w->open > 0);

        if (link.previous == POOL_NO_SLOT)
                w->first_slot = link.next;
        else
                pool->links[link.previous].next = link.next;
        if (link.next != POOL_NO_SLOT)
                pool->links[link.next].previous = link.previous;
        w->open--;
        pool_update_credit(pool, row);
}

/* --- Back in hand --- */

void pool_into_hand(struct pool *pool, struct slot *slot)
{
        uint32_t row = slot->worker;

        slot_set_state(slot, SLOT_RESERVED);
        slot->worker = SLOT_NO_WORKER;
        pool->n_in_hand++;
        pool->dirty = true;
        pool_forget(pool, row, slot);
}

void pool_not_sent(struct pool *pool, struct slot *slot, usec_t now)
{
        pool_block(pool, slot->worker, now);
        pool_into_hand(pool, slot);
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

/* --- Its end --- */

/* Releases the slot and counts what became of it. Who finds the ledger after a crash in between
 * knows from `ending` which counter is one behind. */
void pool_end(struct pool *pool, struct slot *slot, enum outcome outcome)
{
        if (pool->ended)
                pool->ended(pool->userdata, slot, outcome);
        if (slot->source_kind != SOURCE_UNKNOWN)
                pool_source_left(pool, slot);

        __atomic_store_n(&pool->state->ending, outcome, __ATOMIC_RELEASE);
        slots_release(&pool->slots, slot);
        STOP_POINT("ending");
        __atomic_thread_fence(__ATOMIC_RELEASE);
        (*counters_get(pool->counters, outcome))++;
}

bool pool_excuse(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];

        if (!w->adopted || w->excuses == 0)
                return false;

        w->excuses--;
        return true;
}

/* It may repeat what the process before this one had heard. */
int pool_is_foreign(struct pool *pool, uint32_t row, uint64_t id)
{
        bool is_old = slot_id_was_given(id, pool->adopted_serial);

        return is_old && pool_excuse(pool, row) ? 0 : POOL_FOREIGN_ID;
}

static void served(struct pool *pool, struct pool_worker *w)
{
        w->served = true;
        if (backoff_is_failing(&pool->backoff)) {
                backoff_served(&pool->backoff, w->record->started_at);
                pool->dirty |= !backoff_is_failing(&pool->backoff);
        }
}

static int finish(struct pool *pool, uint32_t row, uint64_t id, enum outcome outcome)
{
        struct slot *slot = slots_get(&pool->slots, id);
        bool was_full = pool->slots.n_used >= pool->settings->max_connections;

        if (!slot || slot->worker != row)
                return pool_is_foreign(pool, row, id);

        pool_end(pool, slot, outcome);
        if (outcome == OUTCOME_DONE)
                served(pool, &pool->workers[row]);
        pool_heard(pool, row);
        pool_forget(pool, row, slot);
        if (was_full && pool->n_heap == 0 && pool_grows_if_full(pool))
                pool->dirty = true;

        return 0;
}

int pool_done(struct pool *pool, uint32_t row, uint64_t id)
{
        return finish(pool, row, id, OUTCOME_DONE);
}

/* Who can serve nobody is of no use: whether workers are well is as open as before. */
int pool_failed(struct pool *pool, uint32_t row, uint64_t id)
{
        return finish(pool, row, id, OUTCOME_FAILED);
}

/* Without a slot. `ending` comes first: after a crash in between, accepted is one too many. */
void pool_turned_away(struct pool *pool)
{
        __atomic_store_n(
                &pool->state->ending, OUTCOME_REFUSED + REFUSED_STOPPING, __ATOMIC_RELEASE);
        pool->counters->accepted++;
        __atomic_thread_fence(__ATOMIC_RELEASE);
        pool->counters->refused[REFUSED_STOPPING]++;
}

bool pool_has(const struct pool *pool, uint32_t row, uint64_t id)
{
        const struct slot *slot = slots_get(&pool->slots, id);

        return slot && slot->worker == row;
}

void pool_refused(struct pool *pool, struct slot *slot, enum refusal reason)
{
        assert(slot->worker == SLOT_NO_WORKER);
        assert(pool->n_in_hand > 0);

        pool_end(pool, slot, OUTCOME_REFUSED + reason);
        pool->n_in_hand--;
        if (pool->hand_waited) /* and held up everything else */
                pool->dirty = true;
}

void pool_lost(struct pool *pool, struct slot *slot)
{
        assert(slot->worker == SLOT_NO_WORKER);

        pool_end(pool, slot, OUTCOME_LOST);
        pool->n_in_hand--;
        pool->dirty = true;
}

/* --- Waiting, figures --- */

void pool_pause(struct pool *pool, usec_t until)
{
        pool->paused_until = until;
        pool->dirty = true;
}

void pool_get_figures(const struct pool *pool, struct pool_figures *ret)
{
        *ret = (struct pool_figures){};

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                enum worker_state state = pool->workers[i].record->state;

                ret->workers += worker_state_info(state)->alive;
                ret->workers_ready += state == WORKER_READY;
                ret->workers_leaving += worker_state_info(state)->alive && state > WORKER_READY;
        }
        for (uint32_t i = 0; i < pool->slots.head->n_touched; i++)
                ret->open += pool->slots.table[i].state != SLOT_FREE;
        ret->refused = counters_sum_refused(pool->counters);
}
