/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Questions to workers of a made-up world, and their answers. Called by world.c.
 */

#include "world-check.h"

void world_ask_list(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];
        uint32_t value = pool_next_question(&w->pool);

        world_expect(w, v->must_list && !v->shut);
        if (v->n_queue == WORLD_QUEUE_MAX || world_chance(w, w->channel_full)) {
                pool_block(&w->pool, row, w->now);
                return;
        }

        v->queue[v->n_queue++] = (struct world_item){ .list = value, .settled = true };
        pool_asked(&w->pool, row, QUESTION_LIST, value);
}

void world_answer_list(struct world *w, struct world_worker *v, uint32_t value)
{
        world_expect(w, v->n_said + v->n_held < WORLD_SAID_MAX);
        for (size_t i = 0; i < v->n_held; i++)
                v->said[v->n_said++] = (struct world_answer){ .held = v->held[i] };
        v->said[v->n_said++] = (struct world_answer){ .pong = value };
}

/* The slots that no worker had any more are settled, each as far as it was noted. */
static void hear_pong(struct world *w, uint32_t row, uint32_t value)
{
        struct world_worker *v = &w->workers[row];
        bool answers = w->pool.workers[row].question != QUESTION_NONE &&
                       w->pool.workers[row].question_value == value;
        struct counters before = w->state.counters, *after = &w->state.counters;

        world_expect(w, pool_pong(&w->pool, row, value) == 0);
        if (!answers) /* to a dispatcher before this one */
                return;

        world_expect(w, after->done + after->lost - before.done - before.lost == v->n_ghosts);
        w->expected.done += after->done - before.done;
        w->expected.lost += after->lost - before.lost;
        for (size_t i = 0; i < v->n_held; i++)
                world_expect(w, slots_get(&w->pool.slots, v->held[i])->state == SLOT_SENT);
        v->n_ghosts = 0;
        v->must_list = false;
}

void world_hear_answers(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];

        while (v->n_said > 0) {
                struct world_answer first = v->said[0];

                memmove(v->said, v->said + 1, --v->n_said * sizeof(first));
                if (first.held != 0)
                        world_expect(w, pool_held(&w->pool, row, first.held) == 0);
                else
                        hear_pong(w, row, first.pong);
        }
}

void world_hear(struct world *w, uint32_t row)
{
        world_hear_answers(w, row);
        world_settle(w);
}
