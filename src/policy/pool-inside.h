/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool.h"

/* What the files of the pool share, and nobody else uses. */

enum pool_age {
        POOL_CURRENT,   /* of the generation that is in force, or on trial */
        POOL_OLD,       /* of one before */
        POOL_ABANDONED, /* of a trial that is over */
};

/* Returns the generation of the workers that are started now. */
static inline uint32_t pool_get_generation(const struct pool *pool)
{
        return pool->state->trial ?: pool->state->generation;
}

enum pool_age pool_age(const struct pool *pool, uint32_t row);

/* Returns how many workers of the current generation take the place of all older ones: as many as
 * there were, where the pool had grown. */
uint32_t pool_count_due(const struct pool *pool);

/* Returns how many of the `n_old` ready workers of old generations are to be drained now, when
 * `n_new` of the current one are ready: capacity never falls below what it was. */
uint32_t pool_count_surplus(const struct pool *pool, uint32_t n_new, uint32_t n_old);

/* Call after each change of what makes a worker's credit. */
void pool_update_credit(struct pool *pool, uint32_t row);

/* The worker said something that is wrong unless a process before this one made it say so. Returns
 * whether that may be. */
bool pool_excuse(struct pool *pool, uint32_t row);

/* The worker said something of a connection that it does not have. Returns 0 or POOL_FOREIGN_ID. */
int pool_is_foreign(struct pool *pool, uint32_t row, uint64_t id);

/* Releases the slot and counts what became of it. */
void pool_end(struct pool *pool, struct slot *slot, enum outcome outcome);

/* Frees what a connection held of its worker. */
void pool_forget(struct pool *pool, uint32_t row);

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

/* True where the worker has had RecycleAfter= connections. */
static inline bool pool_is_due(const struct pool *pool, const struct pool_worker *w)
{
        return pool->settings->recycle_after > 0 &&
               w->record->handed_over >= pool->settings->recycle_after;
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

struct census {
        uint32_t starting; /* of the current generation */
        uint32_t current;  /* ready, of the current generation */
        uint32_t old;      /* ready, of earlier ones */
        uint32_t ready;    /* all */
        uint32_t alive;
        uint32_t in_use; /* rows that are not free */
        uint32_t dead;
        uint32_t dying;     /* killed with connections, some of which may be in its queue */
        uint32_t leaving;   /* of the current generation: drained or worse, and still there */
        uint32_t with_room; /* they have credit, or will say whether they have */
};

/* Adds an action to the decision, or has it made again when there is no room for it. */
static inline void pool_act(struct pool *pool, struct pool_decision *d, struct pool_action action)
{
        if (d->n_actions < POOL_ACTIONS_MAX - 1) /* the last place is for LISTEN_ON or LISTEN_OFF */
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

/* How many workers there should be: starts, retires and recycles them. */
void pool_decide_size(
        struct pool *pool, const struct census *census, usec_t now, struct pool_decision *d);
