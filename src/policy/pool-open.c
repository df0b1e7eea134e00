/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * @@OPEN
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* So many wrong records are forgiven to an adopted worker, and twice as many as it has connections:
 * each dispatcher before this one may have died with a LIST that is still to be answered, the last
 * one also with a batch that it had noted and not taken out of the channel. */
#define FORGIVEN 4096U

/* A delay of 0 would start a failing worker as fast as the machine can. */
#define RESTART_MIN_USEC USEC_PER_MSEC

uint32_t pool_rows_needed(const struct settings *settings)
{
        /* A worker dies with connections in its queue only when nobody has credit, so there cannot
         * be many more such rows than workers. */
        return 3 * settings->workers_max + 6;
}

static void set_delays(struct pool *pool)
{
        pool->backoff.first = MAX(pool->settings->restart, RESTART_MIN_USEC);
        pool->backoff.max = MAX(pool->settings->restart_max_delay, RESTART_MIN_USEC);
}

/* --- What another one left --- */

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

static int recount(struct pool *pool)
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

/* --- Opening --- */

int pool_init(struct pool *pool, const struct settings *settings, const struct pool_memory *memory)
{
        int r;

        *pool = (struct pool){
                .settings = settings,
                .state = memory->state,
                .counters = &memory->state->counters,
                .n_rows = memory->n_rows,
                .successor = POOL_NO_ROW,
                .dirty = true,
        };
        set_delays(pool);
        if (memory->n_slots < settings->max_connections)
                return -EBADMSG;

        r = slots_init(&pool->slots, &memory->state->slots, memory->slots, memory->n_slots);
        if (r < 0)
                return r;

        pool->workers = calloc(pool->n_rows, sizeof(*pool->workers));
        pool->heap = malloc(pool->n_rows * sizeof(*pool->heap));
        if (!pool->workers || !pool->heap) {
                pool_deinit(pool);
                return -ENOMEM;
        }

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                pool->workers[i].row = &memory->rows[i];
                pool->workers[i].heap_position = POOL_NOT_IN_HEAP;
        }

        r = recount(pool);
        if (r < 0)
                pool_deinit(pool);
        return r;
}

void pool_deinit(struct pool *pool)
{
        free(TAKE_PTR(pool->heap));
        free(TAKE_PTR(pool->workers));
        slots_done(&pool->slots);
}

void pool_settings_changed(struct pool *pool)
{
        set_delays(pool);
        pool->sample_at = 0;

        /* Distribute= is the order of the heap */
        pool->n_heap = 0;
        for (uint32_t i = 0; i < pool->n_rows; i++)
                pool->workers[i].heap_position = POOL_NOT_IN_HEAP;
        for (uint32_t i = 0; i < pool->n_rows; i++)
                pool_update_credit(pool, i);

        pool->dirty = true;
}
