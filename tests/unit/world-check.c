/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What must hold in any world, compared with the world's own book-keeping: the counter law, the
 * credits, the heap, and that the pool asks to be asked (`dirty`, `wake_at`) whenever it should.
 */

#include "world-check.h"

/* Connections that a worker has, as the pool should see it. */
static uint32_t count_open(const struct world_worker *v)
{
        uint32_t n = (uint32_t)v->n_held;

        for (size_t i = 0; i < v->n_queue; i++)
                n += v->queue[i].id != 0 && !v->queue[i].settled;

        return n;
}

static bool has_credit(const struct world *w, uint32_t row)
{
        const struct world_worker *v = &w->workers[row];

        return v->alive && world_state(w, row) == WORKER_READY && count_open(v) < v->capacity &&
               w->pool.workers[row].blocked_until == 0 && !w->pool.workers[row].take &&
               !w->pool.workers[row].silent;
}

static bool is_same(const struct pool_decision *a, const struct pool_decision *b)
{
        if (a->n_actions != b->n_actions || a->wake_at != b->wake_at || a->finished != b->finished)
                return false;
        for (size_t i = 0; i < a->n_actions; i++)
                if (a->actions[i].type != b->actions[i].type ||
                        a->actions[i].worker != b->actions[i].worker)
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
        world_expect(w, w->decision.n_actions > 0 && w->decision.n_actions <= POOL_ACTIONS_MAX);
}

void world_check_may_accept(struct world *w)
{
        bool credit = false;

        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                credit = credit || has_credit(w, i);
                /* older: what a dead worker left in its queue, or one that lives does not read */
                world_expect(w, !w->workers[i].has_row || w->workers[i].alive);
                world_expect(w, !w->pool.workers[i].take);
        }
        world_expect(w, credit);
        world_expect(w, w->n_hand == 0);
        world_expect(w, !w->pool.stopping);
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

        world_expect(w, v->has_row && w->pool.workers[row].take);
        world_expect(w, credit || !v->alive);
        world_expect(w, credit || w->pool.stopping || world_count(w, WORKER_NONE) == 0);
}

static void check_counters(struct world *w)
{
        const struct counters *c = &w->state.counters, *e = &w->expected;
        uint64_t open = 0, refused = 0, queued_or_held = w->n_hand;
        struct pool_figures figures;

        for (size_t i = 0; i < ELEMENTSOF(w->slots); i++)
                open += w->slots[i].state != SLOT_FREE;
        for (size_t i = 0; i < REFUSALS; i++)
                refused += c->refused[i];
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                queued_or_held += count_open(&w->workers[i]);

        world_expect(w, c->accepted == open + c->done + c->lost + refused);
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
        world_expect(w, in_heap == has_credit(w, row));
        if (state == WORKER_DEAD)
                world_expect(w, p->take);
        /* What it was asked and did not answer, whether it has read that or not. */
        if (v->asked)
                world_expect(w, p->question == QUESTION_PING && p->question_value == v->question);
        if (v->has_row)
                world_expect(w, p->row->number == v->number);
        if (in_heap)
                world_expect(w, w->pool.heap[p->heap_position] == row);
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
        uint32_t n_heap = 0, n_take = 0;

        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                check_worker(w, i);
                n_take += w->pool.workers[i].take;
                n_heap += has_credit(w, i);
        }
        world_expect(w, w->pool.n_heap == n_heap);
        world_expect(w, w->pool.n_take == n_take);
        world_expect(w, w->pool.n_in_hand == w->n_hand);
        world_expect(w, world_count(w, WORKER_STARTING) + world_count(w, WORKER_READY) <=
                                w->settings.workers);
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
        world_expect(w, d.n_actions == 1);
        world_expect(w, d.actions[0].type == (w->listening ? POOL_LISTEN_ON : POOL_LISTEN_OFF));
        world_expect(w, d.wake_at == w->timer);
        world_expect(w, d.finished == w->finished);
}

void world_check(struct world *w)
{
        check_counters(w);
        check_rows(w);
        check_heap(w);
        if (!w->pool.dirty && w->now < w->timer)
                check_nothing_is_due(w);
        if (w->finished)
                world_expect(w, world_count(w, WORKER_NONE) == w->pool.n_rows && w->n_hand == 0);
}
