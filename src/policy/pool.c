/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The pool's records: connections in slots, workers in rows, and the heap of workers with a credit.
 * What is to be done about them is decided in pool-decide.c. No system calls; time is a parameter.
 */

#include <assert.h>

#include "base/stop-point.h"
#include "policy/pool-inside.h"

/* More READYs than this in a second are a flood. */
#define READYS_PER_SEC 10

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

        r = pool_recount(pool);
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

/* --- The heap of workers with a credit --- */

static bool comes_before(const struct pool *pool, uint32_t a, uint32_t b)
{
        const struct pool_worker *x = &pool->workers[a], *y = &pool->workers[b];

        if (pool->settings->distribute == DISTRIBUTE_ROUND_ROBIN)
                return x->last_chosen < y->last_chosen;
        if (x->open != y->open)
                return x->open < y->open;

        /* Among equals the one that is still warm, so that few workers serve what few can serve. */
        return x->last_chosen > y->last_chosen;
}

static void heap_place(struct pool *pool, uint32_t position, uint32_t worker)
{
        pool->heap[position] = worker;
        pool->workers[worker].heap_position = position;
}

/* Puts `worker`, for which `position` is vacant, where it belongs above or below. */
static void heap_sift(struct pool *pool, uint32_t position, uint32_t worker)
{
        uint32_t parent, child;

        while (position > 0 && comes_before(pool, worker, pool->heap[(position - 1) / 2])) {
                parent = (position - 1) / 2;
                heap_place(pool, position, pool->heap[parent]);
                position = parent;
        }

        while ((child = 2 * position + 1) < pool->n_heap) {
                if (child + 1 < pool->n_heap &&
                        comes_before(pool, pool->heap[child + 1], pool->heap[child]))
                        child++;
                if (!comes_before(pool, pool->heap[child], worker))
                        break;
                heap_place(pool, position, pool->heap[child]);
                position = child;
        }

        heap_place(pool, position, worker);
}

static bool has_credit(const struct pool_worker *w)
{
        return w->row->state == WORKER_READY && w->open < w->row->capacity &&
               w->blocked_until == 0 && !w->must_list && !w->take && !w->silent;
}

static void update_idle(struct pool *pool, struct pool_worker *w)
{
        bool idle = w->row->state == WORKER_READY && w->open == 0;
        bool was_short = pool->n_idle < pool->idle_floor;

        if (idle == w->idle)
                return;

        w->idle = idle;
        pool->n_idle += idle ? 1 : UINT32_MAX;
        if ((pool->n_idle < pool->idle_floor) != was_short)
                pool->dirty = true;
}

void pool_update_credit(struct pool *pool, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];
        uint32_t position = w->heap_position;

        update_idle(pool, w);
        if (has_credit(w)) {
                if (position == POOL_NOT_IN_HEAP)
                        position = pool->n_heap++;
                heap_sift(pool, position, worker);
        } else if (position != POOL_NOT_IN_HEAP) {
                uint32_t last = pool->heap[--pool->n_heap];

                w->heap_position = POOL_NOT_IN_HEAP;
                if (last != worker)
                        heap_sift(pool, position, last);
        }
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

/* --- The way of a connection --- */

/* What new connections depend on and what changes with each of them. When it changes, the
 * listeners have to go into the loop or out of it. */
static bool gate_is_open(const struct pool *pool)
{
        return pool->n_heap > 0 && pool->slots.n_used < pool->settings->max_connections;
}

bool pool_may_accept(const struct pool *pool)
{
        return gate_is_open(pool) && pool->n_in_hand == 0 && pool->n_take == 0 &&
               pool->paused_until == 0 && !pool->stopping;
}

struct slot *pool_accepted(struct pool *pool, uint16_t listener, usec_t now)
{
        struct slot *slot = slots_reserve(&pool->slots, listener, now);

        assert(slot); /* as many as MaxConnections=, and the gate was open */

        pool->counters->accepted++;
        pool->n_in_hand++;
        if (!gate_is_open(pool))
                pool->dirty = true;

        return slot;
}

int64_t pool_choose(struct pool *pool)
{
        return pool->n_heap > 0 ? (int64_t)pool->heap[0] : -1;
}

void pool_assign(struct pool *pool, struct slot *slot, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];

        assert(slot->worker == SLOT_NO_WORKER);
        assert(pool->n_in_hand > 0);

        slot->worker = worker;
        pool->n_in_hand--;
        w->open++;
        w->last_chosen = ++pool->n_choices;
        pool_update_credit(pool, worker);
        /* What waited in the hand held up everything else. */
        if (!gate_is_open(pool) || !pool->listening)
                pool->dirty = true;
}

void pool_sent(struct pool *pool, struct slot *slot)
{
        struct pool_worker *w = &pool->workers[slot->worker];

        if (++w->row->handed_over == pool->settings->recycle_after)
                pool->dirty = true;
        w->in_doubt = true;
        if (pool->sample_at == 0)
                pool->dirty = true;
        slot_set_state(slot, SLOT_SENT);
}

/* Releases the slot and counts what became of it. Who finds the ledger after a crash in between
 * knows from `settling` which counter is one behind. */
void pool_settle(struct pool *pool, struct slot *slot, enum outcome outcome)
{
        if (pool->ended)
                pool->ended(pool->userdata, slot, outcome);

        __atomic_store_n(&pool->state->settling, outcome, __ATOMIC_RELEASE);
        slots_release(&pool->slots, slot);
        STOP_POINT("settling");
        __atomic_thread_fence(__ATOMIC_RELEASE);
        (*counters_get(pool->counters, outcome))++;
}

void pool_forget(struct pool *pool, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];
        bool was_open = gate_is_open(pool);

        assert(w->open > 0);

        w->open--;
        pool_update_credit(pool, worker);
        if (gate_is_open(pool) != was_open)
                pool->dirty = true;
}

int pool_done(struct pool *pool, uint32_t worker, uint64_t id)
{
        struct slot *slot = slots_get(&pool->slots, id);
        bool was_full = pool->slots.n_used >= pool->settings->max_connections;

        if (!slot || slot->worker != worker)
                return pool_is_foreign(pool, worker, id);

        pool_settle(pool, slot, OUTCOME_DONE);
        pool->workers[worker].served = true;
        if (was_full)
                pool->dirty = true;
        if (backoff_is_failing(&pool->backoff)) {
                backoff_served(&pool->backoff, pool->workers[worker].row->started_at);
                pool->dirty = true;
        }
        pool_heard(pool, worker);
        pool_forget(pool, worker);

        return 0;
}

void pool_refused(struct pool *pool, struct slot *slot, enum refusal reason)
{
        assert(slot->worker == SLOT_NO_WORKER);
        assert(pool->n_in_hand > 0);

        pool_settle(pool, slot, OUTCOME_REFUSED + reason);
        pool->n_in_hand--;
        pool->dirty = true;
}

/* --- The life of workers --- */

static usec_t timeout_of(const struct pool *pool, enum worker_timeout timeout)
{
        const struct settings *settings = pool->settings;

        switch (timeout) {
        case TIMEOUT_START:
                return settings->timeout_start;
        case TIMEOUT_DRAIN:
                return pool->stopping ? settings->drain_timeout : settings->reload_drain_timeout;
        case TIMEOUT_STOP:
                return settings->timeout_stop;
        case TIMEOUT_NONE:
        default:
                return USEC_INFINITY;
        }
}

static void happened(struct pool *pool, uint32_t worker, enum worker_event event, usec_t now)
{
        struct worker_row *row = pool->workers[worker].row;
        enum worker_state before = row->state;
        enum worker_state after = worker_state_next(before, event);

        if (after != before) {
                enum worker_timeout timeout = worker_state_info(after)->timeout;

                row->deadline = usec_add(now, timeout_of(pool, timeout));
                __atomic_store_n(&row->state, after, __ATOMIC_RELEASE);
        }

        pool_update_credit(pool, worker);
        pool->dirty = true;
}

void pool_spawned(struct pool *pool, uint32_t worker, int32_t pid, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];
        struct worker_row *row = w->row;

        assert(row->state == WORKER_NONE);

        *w = (struct pool_worker){
                .row = row,
                .heap_position = POOL_NOT_IN_HEAP,
        };
        *row = (struct worker_row){
                .number = ++pool->state->last_number,
                .started_at = now,
                .pid = pid,
                .offered = pool->offers,
                .generation = pool_get_generation(pool),
        };
        happened(pool, worker, WORKER_SPAWNED, now);
}

void pool_spawn_failed(struct pool *pool, usec_t now)
{
        backoff_failed(&pool->backoff, now, now);
        pool->dirty = true;
}

bool pool_may_spawn(const struct pool *pool, usec_t now)
{
        return now >= pool->backoff.not_before;
}

int pool_ready(struct pool *pool, uint32_t worker, uint32_t capacity, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];

        if (w->n_readys == 0 || now - w->readys_since >= USEC_PER_SEC) {
                w->readys_since = now;
                w->n_readys = 0;
        }
        if (++w->n_readys > READYS_PER_SEC)
                return POOL_READY_FLOOD;

        w->row->capacity = MIN(capacity, pool->settings->connections_per_worker);
        if (w->row->state == WORKER_STARTING) {
                backoff_ready(&pool->backoff, w->row->started_at);
                w->answered_at = now;
        }
        pool_heard(pool, worker);
        happened(pool, worker, WORKER_SAYS_READY, now);

        return 0;
}

void pool_drained(struct pool *pool, uint32_t worker, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];
        struct worker_row *row = w->row;

        w->leaves = true;
        if (pool_is_due(pool, w)) /* the successor has its place now */
                pool->successor = POOL_NO_ROW;
        happened(pool, worker, WORKER_DRAINED, now);
        /* One DrainTimeoutSec= for the whole stop, also for workers that had to wait for it. */
        if (pool->stopping && row->deadline > pool->stop_deadline)
                row->deadline = MAX(pool->stop_deadline, now);
}

void pool_terminated(struct pool *pool, uint32_t worker, usec_t now)
{
        happened(pool, worker, WORKER_TERMINATED, now);
}

void pool_aborted(struct pool *pool, uint32_t worker, usec_t now)
{
        pool_set_take(pool, worker, true);
        happened(pool, worker, WORKER_GOT_ABORTED, now);
}

void pool_killed(struct pool *pool, uint32_t worker, usec_t now)
{
        happened(pool, worker, WORKER_GOT_KILLED, now);
}

/* A worker that had connections for longer than the next start would wait was of use, also if none
 * of them came to its end. */
static bool was_of_use(const struct pool *pool, const struct pool_worker *w, usec_t now)
{
        const struct backoff *b = &pool->backoff;

        return w->served ||
               (w->row->handed_over > 0 && now - w->row->started_at >= MAX(b->delay, b->first));
}

bool pool_exited(struct pool *pool, uint32_t worker, usec_t now)
{
        struct pool_worker *w = &pool->workers[worker];
        bool was_ready = w->row->capacity > 0;
        bool soon = now - w->row->started_at < pool->settings->restart_max_delay;
        bool of_use = was_of_use(pool, w, now);
        /* Others say nothing about the workers that are started now. */
        bool counts = !pool->stopping && !w->leaves && pool_age(pool, worker) == POOL_CURRENT;
        bool failed = counts && !of_use && (!was_ready || soon);

        if (failed)
                backoff_failed(&pool->backoff, w->row->started_at, now);
        else if (of_use)
                backoff_served(&pool->backoff, w->row->started_at);
        happened(pool, worker, WORKER_EXITED, now);
        w->must_list = false; /* nobody is left to be asked */
        pool_set_take(pool, worker, true);

        return failed;
}

uint32_t pool_emptied(struct pool *pool, uint32_t worker)
{
        struct pool_worker *w = &pool->workers[worker];
        uint32_t lost = w->open;

        for (uint32_t i = 0; w->open > 0; i++) {
                struct slot *slot = &pool->slots.table[i];

                assert(i < pool->slots.head->n_touched);

                if (slot->state == SLOT_FREE || slot->worker != worker)
                        continue;

                pool_settle(pool, slot, OUTCOME_LOST);
                w->open--;
        }

        pool_set_take(pool, worker, false);
        happened(pool, worker, WORKER_EMPTIED, 0);

        return lost;
}

void pool_pause(struct pool *pool, usec_t until)
{
        pool->paused_until = until;
        pool->dirty = true;
}

void pool_get_figures(const struct pool *pool, struct pool_figures *ret)
{
        *ret = (struct pool_figures){};

        for (uint32_t i = 0; i < pool->n_rows; i++) {
                enum worker_state state = pool->workers[i].row->state;

                ret->workers += worker_state_info(state)->alive;
                ret->workers_ready += state == WORKER_READY;
        }
        for (uint32_t i = 0; i < pool->slots.head->n_touched; i++)
                ret->open += pool->slots.table[i].state != SLOT_FREE;
        ret->refused = counters_sum_refused(pool->counters);
}
