/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Opening a pool on the records that another process left.
 *
 * Rows, slots and counters are the state itself and lie in memory that outlives the dispatcher. It
 * may have ended by exec, which is between two steps, or by SIGKILL, which is between any two
 * stores. So each step writes in an order that leaves one of few pictures, and this is what they
 * mean to the next process:
 *
 * - A slot in use that is not in `accepted`, or one that is no longer in use and in no counter:
 *   mend_counters() counts it. `ending` says which counter was to come.
 * - A slot that is RESERVED and names no worker: it was in the dispatcher's hand. After an exec the
 *   descriptor came along; after a crash the kernel closed it, and it is lost.
 * - A slot that is RESERVED and names a worker: it was about to be sent, or was sent and not noted.
 *   The worker knows.
 * - A slot that is SENT, and finished by its worker: DONE was read from the channel and not noted.
 *   The worker knows that, too: it does not hold it.
 * - A slot that is SENT, and whose connection was being taken out of the worker's queue: the row's
 *   `in_transit` says so, and `vanished` counts these over any number of crashes.
 * - A row that is STARTING and has a capacity: READY was being noted.
 * - A row with ROW_DRAIN_TOLD that is still READY: DRAIN was sent, and the step not noted. It will
 *   be drained again.
 * - A row for a process that is gone, or whose descriptors were not stored yet: the caller finds
 *   out, and says pool_exited().
 *
 * So each adopted worker is asked to LIST what it holds, and gets nothing before its answer
 * (`must_list`): pool-question.c. One that leaves cannot be asked, since its channel is shut down
 * towards it; what it says stays in the channel until it was noted, and may come twice.
 *
 * The answers to what an earlier dispatcher asked come, too. They are wrong by our records, and
 * forgiven up to a bound. Anything else that contradicts itself makes the whole unusable: it was
 * not written by this program.
 */

#include <assert.h>

#include "policy/pool-inside.h"

/* How many wrong records we forgive an adopted worker, beside twice as many as it has connections.
 * Earlier dispatchers may have left a question unanswered (answer: a HELD for each connection, and
 * a PONG); the last one may have handled one batch and crashed before removing it. */
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
        const struct worker_row *record = pool->workers[index].record;

        if (record->state == WORKER_NONE)
                return true;
        if (record->state >= WORKER_STATES || record->pid <= 1 || record->number == 0 ||
                (record->state == WORKER_READY && record->capacity == 0) ||
                (record->features & ~record->offered) != 0 ||
                record->number > pool->state->last_number ||
                record->generation > pool->state->last_generation)
                return false;

        return true;
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

/* Returns 0, -EBADMSG where two workers have the same number, or -ENOMEM. */
static int check_numbers(const struct pool *pool)
{
        _cleanup_(freep) uint64_t *numbers = NULL;
        size_t n = 0;

        assert(pool->n_rows > 0);
        numbers = malloc(pool->n_rows * sizeof(*numbers));
        if (!numbers)
                return -ENOMEM;

        for (uint32_t i = 0; i < pool->n_rows; i++)
                if (pool->workers[i].record->state != WORKER_NONE)
                        numbers[n++] = pool->workers[i].record->number;
        qsort(numbers, n, sizeof(*numbers), compare);
        for (size_t i = 1; i < n; i++)
                if (numbers[i] == numbers[i - 1])
                        return -EBADMSG;

        return 0;
}

/* Each is used once, so none may be where counting on would begin anew. */
#define GENERATION_MAX (UINT32_MAX / 2)
#define NUMBER_MAX     ((uint64_t)INT64_MAX) /* of JSON */

static bool numbers_are_sound(const struct pool_state *state)
{
        return state->generation <= state->last_generation &&
               state->last_generation <= GENERATION_MAX && state->last_number <= NUMBER_MAX;
}

/* A slot names a worker that is there, or it is RESERVED and in hand. No worker has listed it: each
 * is asked once by each dispatcher. */
static int recount_slot(struct pool *pool, struct slot *slot)
{
        if (slot->state == SLOT_FREE)
                return 0;

        if (slot->worker == SLOT_NO_WORKER) {
                pool->n_in_hand++;
                return slot->state == SLOT_RESERVED && pool->n_in_hand <= POOL_HAND_MAX ? 0
                                                                                        : -EBADMSG;
        }

        if (slot->worker >= pool->n_rows ||
                pool->workers[slot->worker].record->state == WORKER_NONE)
                return -EBADMSG;

        slot->listed = false;
        pool_link(pool, slot->worker, slot);
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
        if (c->accepted == sum + 1 && pool->state->ending < OUTCOMES) {
                (*counters_get(c, pool->state->ending))++;
                return 0;
        }

        return -EBADMSG;
}

static int recount(struct pool *pool)
{
        int r;

        if (!numbers_are_sound(pool->state))
                return -EBADMSG;

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                if (!row_is_sound(pool, i))
                        return -EBADMSG;
                if (pool->workers[i].record->state == WORKER_DEAD)
                        pool_set_taking_back(pool, i, true);
                /* Perhaps; its end says nothing about how workers start now. */
                pool->workers[i].served = pool->workers[i].record->capacity > 0;
        }

        r = check_numbers(pool);
        if (r < 0)
                return r;

        for (uint32_t i = 0; i < pool->slots.head->n_touched; i++) {
                r = recount_slot(pool, &pool->slots.table[i]);

                if (r < 0)
                        return r;
        }

        /* A trial ends with the process that made it. */
        pool->state->trial = 0;
        if (pool->state->generation == 0)
                pool->state->generation = pool->state->last_generation = 1;
        pool->adopted_serial = pool->slots.head->last_serial;
        pool_recount_sources(pool);
        pool_count_all(pool);
        return mend_counters(pool);
}

void pool_adopted(struct pool *pool, uint32_t row)
{
        struct pool_worker *w = &pool->workers[row];

        w->served = true; /* perhaps */
        w->adopted = true;
        w->excuses = FORGIVEN + 2 * (uint64_t)w->open;
        /* A crash in pool_drained(). The DRAIN record will not be the last one in the queue. */
        if (w->record->state == WORKER_STARTING || w->record->state == WORKER_READY)
                w->record->flags &= ~(uint32_t)ROW_DRAIN_TOLD;
        /* A crash in pool_ready() */
        if (w->record->state == WORKER_STARTING && w->record->capacity > 0) {
                w->record->deadline = USEC_INFINITY;
                __atomic_store_n(&w->record->state, WORKER_READY, __ATOMIC_RELEASE);
        }
        /* A crash between receiving from its queue and noting that: one vanished. In two steps
         * that come to the same after a crash between them. */
        if (w->record->in_transit > 0)
                __atomic_store_n(&w->record->vanished, w->record->in_transit, __ATOMIC_RELEASE);
        pool_set_in_transit(pool, row, false);
        w->must_list = w->record->state == WORKER_READY;
        w->leaves = w->record->state > WORKER_READY;
        w->in_doubt = true;
        pool_set_taking_back(
                pool, row, w->record->state == WORKER_ABORTED || w->record->state == WORKER_KILLED);
        pool_update_credit(pool, row);
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
                .accepts = settings->accept && !memory->state->is_held,
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
        pool->links = calloc(memory->n_slots, sizeof(*pool->links));
        r = sources_init(&pool->sources, memory->n_slots, settings->source_prefixes, memory->seed);
        if (!pool->workers || !pool->heap || !pool->links || r < 0) {
                pool_deinit(pool);
                return -ENOMEM;
        }

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                pool->workers[i].record = &memory->rows[i];
                pool->workers[i].first_slot = POOL_NO_SLOT;
                pool->workers[i].heap_position = POOL_NOT_IN_HEAP;
        }

        pool_limits_changed(pool);
        r = recount(pool);
        if (r < 0)
                pool_deinit(pool);
        return r;
}

void pool_deinit(struct pool *pool)
{
        sources_done(&pool->sources);
        free(TAKE_PTR(pool->links));
        free(TAKE_PTR(pool->heap));
        free(TAKE_PTR(pool->workers));
        slots_done(&pool->slots);
}

void pool_settings_changed(struct pool *pool)
{
        set_delays(pool);
        pool_limits_changed(pool);
        pool->sample_at = 0;
        pool->look_at = 0; /* WorkerIdleTimeoutSec= may be over sooner */
        pool->rest_look_at = 0;
        pool->weigh_at = 0;
        pool->size_doublings = 0;
        for (uint32_t i = 0; i < pool->n_rows; i++) /* they are weighed again */
                pool->workers[i].large_since = 0;

        /* Distribute= is the order of the heap */
        pool->n_heap = 0;
        for (uint32_t i = 0; i < pool->n_rows; i++)
                pool->workers[i].heap_position = POOL_NOT_IN_HEAP;
        for (uint32_t i = 0; i < pool->n_rows; i++)
                pool_update_credit(pool, i);

        pool->dirty = true;
}

/* Else all workers that were ever started are still starting. */
bool pool_was_ready(const struct pool *pool)
{
        uint64_t n_starting = 0;

        for (uint32_t i = 0; i < pool->n_rows; i++)
                n_starting += pool->workers[i].record->state == WORKER_STARTING;

        return pool->state->last_number > n_starting;
}
