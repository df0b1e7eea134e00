/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What must hold in any world, compared with the world's own book-keeping: the counter law, the
 * credits, the heap, and that the pool asks to be asked (`dirty`, `wake_at`) whenever it should.
 */

#include "world-check.h"
#include "policy/pool-inside.h"

/* Connections that a worker has, as the pool should see it. */
static uint32_t count_open(const struct world_worker *v)
{
        uint32_t n = (uint32_t)v->n_held + v->n_ghosts;

        for (size_t i = 0; i < v->n_queue; i++)
                n += v->queue[i].id != 0 && !v->queue[i].settled;

        return n;
}

static bool has_credit(const struct world *w, uint32_t row)
{
        const struct world_worker *v = &w->workers[row];

        return v->alive && world_state(w, row) == WORKER_READY && count_open(v) < v->capacity &&
               !v->must_list && !v->paused && w->pool.workers[row].blocked_until == 0 &&
               !w->pool.workers[row].taking_back && !w->pool.workers[row].ignores_queue;
}

static bool is_same(const struct pool_decision *a, const struct pool_decision *b)
{
        if (a->n_actions != b->n_actions || a->wake_at != b->wake_at || a->finished != b->finished)
                return false;
        for (size_t i = 0; i < a->n_actions; i++)
                if (memcmp(&a->actions[i], &b->actions[i], sizeof(a->actions[i])) != 0)
                        return false;

        return true;
}

void world_decide(struct world *w)
{
        struct pool_decision again;
        bool cut;

        pool_decide(&w->pool, w->now, &w->decision);
        cut = w->pool.dirty;
        pool_decide(&w->pool, w->now, &again);
        world_expect(w, is_same(&w->decision, &again));
        world_expect(w, w->pool.dirty == cut);
        world_expect(w, w->decision.n_actions <= POOL_ACTIONS_MAX);
}

void world_check_may_accept(struct world *w)
{
        bool credit = false;

        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                credit = credit || has_credit(w, i);
                /* older: what a dead worker left in its queue, or one that lives does not read */
                world_expect(w, !w->workers[i].has_row || w->workers[i].alive);
                world_expect(w, !w->pool.workers[i].taking_back);
        }
        world_expect(w, credit);
        world_expect(w, w->n_hand == 0);
        world_expect(w, !w->pool.stopping);
        world_expect(w, !w->pool.rests);
}

void world_check_choice(struct world *w, uint32_t row)
{
        const struct world_worker *chosen = &w->workers[row];
        bool by_load = w->settings.distribute == DISTRIBUTE_LEAST_CONNECTIONS;

        world_expect(w, has_credit(w, row));
        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                const struct world_worker *v = &w->workers[i];

                if (!has_credit(w, i))
                        continue;
                if (by_load && count_open(v) != count_open(chosen))
                        world_expect(w, count_open(chosen) < count_open(v));
                else if (by_load)
                        world_expect(w, chosen->last_chosen >= v->last_chosen);
                else
                        world_expect(w, chosen->last_chosen <= v->last_chosen);
        }
}

void world_check_is_first_to_take_back(struct world *w, uint32_t row)
{
        const struct world_worker *v = &w->workers[row];
        bool credit = false;

        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                credit = credit || has_credit(w, i);

        world_expect(w, v->has_row && w->pool.workers[row].taking_back);
        world_expect(w, credit || !v->alive);
        world_expect(w, credit || w->pool.stopping || world_count(w, WORKER_NONE) == 0);
}

/* --- The size of the pool --- */

struct size {
        uint32_t ready, starting, running, busy, idle, leaving, most;
};

static struct size measure(struct world *w)
{
        struct size s = {
                .ready = world_count(w, WORKER_READY),
                .starting = world_count(w, WORKER_STARTING),
                .leaving = world_count(w, WORKER_DRAINING) + world_count(w, WORKER_TERMINATING) +
                           world_count(w, WORKER_ABORTED) + world_count(w, WORKER_KILLED),
                .most = w->settings.workers,
        };

        s.running = s.ready + s.starting;
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                s.busy += world_state(w, i) == WORKER_READY &&
                          (count_open(&w->workers[i]) > 0 || w->workers[i].paused);
        s.idle = s.ready - s.busy;
        if (s.leaving < w->settings.workers_max)
                s.most = MAX(s.most, w->settings.workers_max - s.leaving);

        return s;
}

void world_check_may_retire(struct world *w, uint32_t row)
{
        const struct world_worker *v = &w->workers[row];
        struct size s = measure(w);

        world_expect(w, world_state(w, row) == WORKER_READY && count_open(v) == 0);
        if (w->generations || w->n_crashes > 0)
                return;
        world_expect(w, w->now - v->idle_since >= w->settings.worker_idle_timeout);
        world_expect(w, s.ready > w->settings.workers);
        world_expect(w, s.idle > w->settings.workers_spare || s.ready > s.most);
}

static bool is_due(const struct world *w, uint32_t row)
{
        const struct settings *s = &w->settings;
        const struct world_worker *v = &w->workers[row];
        usec_t age = w->now - w->rows[row].started_at;

        return (s->recycle_after > 0 && v->handed_over >= s->recycle_after) ||
               (s->recycle_age != USEC_INFINITY && age >= s->recycle_age - s->recycle_age / 8) ||
               (v->size > s->recycle_memory && age >= s->restart_max_delay);
}

void world_check_may_recycle(struct world *w, uint32_t row)
{
        const struct world_worker *v = &w->workers[row];
        struct size s = measure(w);
        bool has_successor = false;

        world_expect(w, world_state(w, row) == WORKER_READY);
        if (w->generations || w->n_crashes > 0)
                return;
        world_expect(w, is_due(w, row));
        world_expect(w, s.leaving == 0);
        world_expect(w, s.ready > w->settings.workers);
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                has_successor =
                        has_successor ||
                        (world_state(w, i) == WORKER_READY && i != row &&
                                (w->workers[i].number > v->number || i == w->pool.successor));
        world_expect(w, has_successor);
}

void world_check_may_rest(struct world *w)
{
        world_expect(w, !w->pool.stopping && !w->pool.rests && !w->state.trial);
        world_expect(w, w->n_hand == 0);
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                world_expect(w, count_open(&w->workers[i]) == 0);
        if (w->n_crashes == 0)
                world_expect(w, w->now - w->used_at >= w->settings.exit_idle_time);
}

/* Nothing is left to decide: there are as many as there should be, or they cannot be started. */
static void check_size(struct world *w)
{
        const struct settings *settings = &w->settings;
        struct size s = measure(w);

        if (w->generations || w->n_crashes > 0)
                return;

        world_expect(w, s.running <= settings->workers_max + 1);
        if (w->pool.dirty || w->pool.stopping || w->pool.rests ||
                backoff_is_failing(&w->pool.backoff) || world_count(w, WORKER_NONE) == 0)
                return;

        if (w->pool.rows_max > 0 && w->pool.census[KIND_IN_USE] >= w->pool.rows_max)
                return;

        world_expect(w, s.running >= settings->workers);
        if (s.running < s.most)
                world_expect(w, s.idle + s.starting >= settings->workers_spare);
}

/* Also after crashes and reloads: where nobody has room, nor may say so, another starts. */
static void check_growth(struct world *w)
{
        uint32_t starting = 0, running = 0, most = w->settings.workers_max;

        if (w->pool.dirty || w->pool.stopping || w->pool.rests ||
                backoff_is_failing(&w->pool.backoff) || w->pool.paused_until != 0 ||
                w->pool.slots.n_used >= w->settings.max_connections ||
                world_count(w, WORKER_NONE) == 0 || world_count(w, WORKER_READY) == 0)
                return;

        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                const struct world_worker *v = &w->workers[i];
                enum worker_state state = world_state(w, i);

                if (has_credit(w, i) || (state == WORKER_READY && v->must_list && !v->paused &&
                                                count_open(v) < v->capacity))
                        return;
                if (!v->alive || w->rows[i].generation != w->state.generation)
                        continue;
                starting += state == WORKER_STARTING;
                running += state == WORKER_STARTING || state == WORKER_READY;
                most -= state > WORKER_READY && most > 0;
        }

        if (running < MAX(most, w->settings.workers))
                world_expect(w, starting > 0);
}

static void check_counters(struct world *w)
{
        const struct counters *c = &w->state.counters, *e = &w->expected;
        uint64_t open = 0, refused = 0, queued_or_held = w->n_hand;
        struct pool_figures figures;

        for (size_t i = 0; i < ELEMENTSOF(w->slots); i++)
                open += w->slots[i].state != SLOT_FREE;
        for (size_t i = 0; i < REFUSALS_MAX; i++)
                refused += c->refused[i];
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                queued_or_held += count_open(&w->workers[i]);

        world_expect(w, c->accepted == open + c->done + c->failed + c->lost + refused);
        world_expect(w, open == queued_or_held);
        world_expect(w, open == w->pool.slots.n_used);
        world_expect(w, open <= w->settings.max_connections);
        world_expect(w, memcmp(c, e, sizeof(*c)) == 0);

        pool_get_figures(&w->pool, &figures);
        world_expect(w, figures.open == open && figures.refused == refused);
}

static void check_worker(struct world *w, uint32_t row)
{
        const struct world_worker *v = &w->workers[row];
        const struct pool_worker *p = &w->pool.workers[row];
        enum worker_state state = world_state(w, row);
        bool in_heap = p->heap_position != POOL_NOT_IN_HEAP;

        world_expect(w, worker_state_info(state)->alive == v->alive);
        world_expect(w, (state == WORKER_DEAD) == (v->has_row && !v->alive));
        world_expect(w, p->open == count_open(v));
        world_expect(w, p->idle == (state == WORKER_READY && p->open == 0 && !v->paused));
        world_expect(w, in_heap == has_credit(w, row));
        if (state == WORKER_DEAD)
                world_expect(w, p->taking_back);
        world_expect(w, v->alive || !p->must_list);
        /* What it was asked and did not answer, whether it has read that or not. */
        if (v->asked && w->n_crashes == 0)
                world_expect(w, p->question == QUESTION_PING && p->question_value == v->question);
        if (v->has_row)
                world_expect(w, p->record->number == v->number);
        if (v->has_row && v->capacity > 0)
                world_expect(w, p->record->features == (v->number & WORLD_OFFERS));
        if (v->has_row)
                world_expect(w, pool_is_paused(&w->pool, row) == v->paused);
        if (in_heap)
                world_expect(w, w->pool.heap[p->heap_position] == row);
}

/* What is counted at each change is what a recount finds, and each worker's slots are its own. */
static void check_census(struct world *w)
{
        struct pool_worker workers[WORLD_ROWS_MAX];
        struct pool copy = w->pool;

        memcpy(workers, copy.workers, copy.n_rows * sizeof(*workers));
        copy.workers = workers;
        memset(copy.census, 0, sizeof(copy.census));
        for (uint32_t i = 0; i < copy.n_rows; i++) {
                uint32_t n = 0;

                workers[i].kinds = 0;
                for (uint32_t s = workers[i].first_slot; s != POOL_NO_SLOT;
                        s = copy.links[s].next) {
                        world_expect(w, w->slots[s].worker == i && n < workers[i].open);
                        n++;
                }
                world_expect(w, n == workers[i].open);
        }
        pool_count_all(&copy);
        world_expect(w, memcmp(copy.census, w->pool.census, sizeof(copy.census)) == 0);
}

static void check_heap(struct world *w)
{
        const struct pool *p = &w->pool;

        for (uint32_t i = 1; i < p->n_heap; i++) {
                const struct pool_worker *child = &p->workers[p->heap[i]];
                const struct pool_worker *parent = &p->workers[p->heap[(i - 1) / 2]];

                if (w->settings.distribute == DISTRIBUTE_ROUND_ROBIN)
                        world_expect(w, parent->last_chosen <= child->last_chosen);
                else if (parent->open != child->open)
                        world_expect(w, parent->open < child->open);
                else
                        world_expect(w, parent->last_chosen >= child->last_chosen);
        }
}

static void check_rows(struct world *w)
{
        uint32_t n_heap = 0, n_taking_back = 0, n_idle = 0;

        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                check_worker(w, i);
                n_taking_back += w->pool.workers[i].taking_back;
                n_heap += has_credit(w, i);
                n_idle += w->pool.workers[i].idle;
        }
        world_expect(w, w->pool.n_idle == n_idle);
        world_expect(w, w->pool.n_heap == n_heap);
        world_expect(w, w->pool.n_taking_back == n_taking_back);
        world_expect(w, w->pool.n_in_hand == w->n_hand);
}

/* A pool that is not dirty would decide what it decided before, and that was carried out. */
static void check_nothing_is_due(struct world *w)
{
        struct pool_worker workers[WORLD_ROWS_MAX];
        uint32_t heap[WORLD_ROWS_MAX];
        struct pool copy = w->pool;
        struct pool_decision d;

        memcpy(workers, copy.workers, copy.n_rows * sizeof(*workers));
        memcpy(heap, copy.heap, copy.n_rows * sizeof(*heap));
        copy.workers = workers;
        copy.heap = heap;

        pool_decide(&copy, w->now, &d);
        world_expect(w, d.n_actions == 0);
        world_expect(w, (pool_may_accept(&copy) || copy.rests) == w->listening);
        world_expect(w, d.wake_at == w->timer);
        world_expect(w, d.finished == w->finished);
}

void world_check(struct world *w)
{
        check_counters(w);
        check_rows(w);
        check_size(w);
        check_growth(w);
        check_heap(w);
        check_census(w);
        world_check_sources(w);
        if (!w->pool.dirty && w->now < w->timer)
                check_nothing_is_due(w);
        if (w->finished)
                world_expect(w, world_count(w, WORKER_NONE) == w->pool.n_rows && w->n_hand == 0);
}
