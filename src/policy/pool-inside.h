/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool.h"

/* What the files of the pool share, and nobody else uses. */

enum pool_age {
        POOL_CURRENT,   /* of the generation that is in force */
        POOL_ON_TRIAL,  /* of the one that is tried */
        POOL_OLD,       /* of one before */
        POOL_ABANDONED, /* of a trial that is over */
};

enum pool_age pool_age(const struct pool *pool, uint32_t row);

/* Returns the settings that hold for this worker. */
const struct settings *pool_settings_of(const struct pool *pool, uint32_t row);

/* Returns how many workers of the generation in force take the place of all older ones: as many as
 * there were, where the pool had grown. */
uint32_t pool_count_due(const struct pool *pool);

/* Returns how many of the `n_old` ready workers of old generations are to be drained now, when
 * `n_new` of the current one are ready: capacity never falls below what it was. */
uint32_t pool_count_surplus(const struct pool *pool, uint32_t n_new, uint32_t n_old);

/* Counts the worker again: its kinds may have changed. pool_update_credit() does that, too. */
void pool_count(struct pool *pool, uint32_t row);

/* The same where, of a ready worker, only its credit can have changed. */
void pool_count_room(struct pool *pool, uint32_t row);

/* The same of all workers, where generations change. */
void pool_count_all(struct pool *pool);

/* Call after each change of what makes a worker's credit, or its kinds. */
void pool_update_credit(struct pool *pool, uint32_t row);

/* The worker said something that is wrong unless a process before this one made it say so. Returns
 * whether that may be. */
bool pool_excuse(struct pool *pool, uint32_t row);

/* The worker said something of a connection that it does not have. Returns 0 or POOL_FOREIGN_ID. */
int pool_is_foreign(struct pool *pool, uint32_t row, uint64_t id);

/* Releases the slot and counts what became of it. */
void pool_end(struct pool *pool, struct slot *slot, enum outcome outcome);

/* A connection ends whose source is known. */
void pool_source_left(struct pool *pool, const struct slot *slot);

/* Limits changed, or what is counted together. */
void pool_limits_changed(struct pool *pool);

/* Counts the connections of each source anew. */
void pool_recount_sources(struct pool *pool);

/* Notes that the worker has this connection, before pool_update_credit(). */
void pool_link(struct pool *pool, uint32_t row, const struct slot *slot);

/* Frees what a connection held of its worker. */
void pool_forget(struct pool *pool, uint32_t row, const struct slot *slot);

/* The connection in `slot` is with no worker: it waits in the dispatcher's hand. */
void pool_into_hand(struct pool *pool, struct slot *slot);

/* The queue of this worker goes to others from now on, or no more. */
void pool_set_taking_back(struct pool *pool, uint32_t row, bool taking_back);

/* It said something, which shows that it reads its channel. */
void pool_heard(struct pool *pool, uint32_t row);

/* Returns what the worker is to be asked now. */
enum pool_question pool_get_question(const struct pool *pool, uint32_t row, usec_t now);

/* Returns true where the worker hangs. *ret_wake_at: when to ask for that again. */
bool pool_is_hung(struct pool *pool, uint32_t row, usec_t now, usec_t *ret_wake_at);

/* Returns when to look at the queues, or USEC_INFINITY. */
usec_t pool_get_sample_time(struct pool *pool, usec_t now);

/* Returns the row whose queue is to be taken first, or -1. */
int64_t pool_next_queue(const struct pool *pool);

/* True where more workers could start, and it is not MaxConnections= that keeps clients waiting. */
static inline bool pool_grows_if_full(const struct pool *pool)
{
        return pool->may_grow && pool->slots.n_used < pool->settings->max_connections;
}

/* It said READY 0 last. */
static inline bool pool_worker_is_paused(const struct pool_worker *w)
{
        return w->record->flags & ROW_PAUSED;
}

/* Nobody but the workers sees connections with Accept=no. There, one is of use when it has been
 * ready for some time. Returns when that will be, or USEC_INFINITY. */
usec_t pool_get_proof_time(const struct pool *pool, uint32_t row);

/* That time has come. */
void pool_proved(struct pool *pool, uint32_t row);

/* --- Deciding --- */

/* Adds an action to the decision, or has it made again when there is no room for it. */
static inline void pool_act(struct pool *pool, struct pool_decision *d, struct pool_action action)
{
        if (d->n_actions < POOL_ACTIONS_MAX)
                d->actions[d->n_actions++] = action;
        else
                pool->dirty = true;
}

static inline void pool_act_on(
        struct pool *pool, struct pool_decision *d, enum pool_action_type type, uint32_t row)
{
        pool_act(pool, d, (struct pool_action){ .type = type, .row = row });
}

/* The decision has to be made again at this time. */
static inline void pool_wake(struct pool_decision *d, usec_t at)
{
        d->wake_at = MIN(d->wake_at, at);
}

/* Those that drain have no more time than until `deadline`. */
void pool_limit_drains(struct pool *pool, usec_t deadline);

/* Whether there was a connection lately. After all else was decided. */
void pool_decide_rest(struct pool *pool, usec_t now, struct pool_decision *d);

/* Returns the worker that is to be replaced first, or POOL_NO_ROW. */
uint32_t pool_find_due(const struct pool *pool, usec_t now);

/* The decision is made again when the next one is due. */
void pool_wake_when_due(const struct pool *pool, usec_t now, struct pool_decision *d);

/* The worker is drained now: notes why, if it was due. */
void pool_note_recycled(struct pool *pool, uint32_t row, usec_t now);

/* Whether it is to be looked now how large workers are. */
void pool_decide_weigh(struct pool *pool, usec_t now, struct pool_decision *d);

/* How many workers there should be: starts, retires and recycles them. */
void pool_decide_size(struct pool *pool, usec_t now, struct pool_decision *d);
