/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Questions to workers of a made-up world, their answers, and how much is
 * queued.
 */

#include "world-check.h"

uint32_t world_count_waiting(const struct world *w, uint32_t row)
{
        uint32_t n = 0;

        for (size_t i = 0; i < w->workers[row].n_queue; i++)
                n += w->workers[row].queue[i].id != 0;

        return n;
}

/* As channel_ask(). */
void world_ask(struct world *w, uint32_t row, bool list)
{
        struct world_worker *v = &w->workers[row];
        uint32_t value;

        /* The same decision may have drained it before. */
        if (world_state(w, row) != WORKER_READY)
                return;

        value = pool_next_question(&w->pool);
        world_expect(w, v->alive && !v->shut);
        world_expect(w, list == v->must_list);
        if (w->n_crashes == 0) { /* one at a time */
                world_expect(w, !v->asked);
                for (size_t i = 0; i < v->n_queue; i++)
                        world_expect(w, v->queue[i].id != 0);
        }

        if (v->n_queue == WORLD_QUEUE_MAX || world_chance(w, w->channel_full)) {
                pool_not_asked(&w->pool, row, w->now);
                return;
        }
        if (world_chance(w, w->channel_gone)) {
                world_kill(w, row);
                return;
        }

        v->queue[v->n_queue++] = (struct world_item){
                .question = value, .list = list, .settled = true, .sent_at = w->now
        };
        pool_asked(&w->pool, row, list ? QUESTION_LIST : QUESTION_PING, value, w->now);
}

static void sample_one(struct world *w, uint32_t row)
{
        const struct world_worker *v = &w->workers[row];
        bool was = w->pool.workers[row].taking_back, take;
        uint32_t waiting = world_count_waiting(w, row), i = 0;

        if (!w->pool.workers[row].adopted)
                world_expect(w, pool_count_waiting(&w->pool, row, (uint32_t)v->n_queue) == waiting);
        (void)pool_sampled(&w->pool, row, (uint32_t)v->n_queue, w->now);
        if (w->n_crashes > 0) /* what was sent before it is not known exactly */
                return;
        take = w->pool.workers[row].taking_back;
        if (waiting == 0) {
                world_expect(w, !take);
                return;
        }
        while (v->queue[i].id == 0)
                i++;
        if (take && !was) /* not before its time */
                world_expect(w, w->now - v->queue[i].sent_at >= w->settings.queue_timeout);
        if (was)
                world_expect(w, take);
}

void world_sample(struct world *w)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                if (pool_is_in_doubt(&w->pool, i))
                        sample_one(w, i);
                else if (w->workers[i].alive && world_state(w, i) <= WORKER_DRAINING)
                        world_expect(w, world_count_waiting(w, i) == 0);
        }
        pool_sampling_done(&w->pool);
}

void world_answer(struct world *w, struct world_worker *v, const struct world_item *question)
{
        if (w->n_crashes == 0)
                world_expect(w, !v->asked);
        v->asked = true;
        v->question = question->question;
        world_expect(w, v->n_said + v->n_held < WORLD_SAID_MAX);
        for (size_t i = 0; question->list && i < v->n_held; i++)
                v->said[v->n_said++] = (struct world_answer){ .held = v->held[i] };
        v->said[v->n_said++] = (struct world_answer){ .pong = question->question };
}

/* The slots that no worker had any more are settled, each as far as it was noted. */
static void list_ended(struct world *w, uint32_t row, const struct counters *before)
{
        struct world_worker *v = &w->workers[row];
        const struct counters *after = &w->state.counters;

        world_expect(w, after->done + after->lost - before->done - before->lost == v->n_ghosts);
        w->expected.done += after->done - before->done;
        w->expected.lost += after->lost - before->lost;
        for (size_t i = 0; i < v->n_held; i++)
                world_expect(w, slots_get(&w->pool.slots, v->held[i])->state == SLOT_SENT);
        if (after->done - before->done < v->n_unheard) /* not noted as sent either */
                w->n_unheard += v->n_unheard - (after->done - before->done);
        v->n_ghosts = v->n_unheard = 0;
        v->must_list = false;
}

static void hear_pong(struct world *w, uint32_t row, uint32_t value)
{
        struct world_worker *v = &w->workers[row];
        const struct pool_worker *p = &w->pool.workers[row];
        bool own = p->question != QUESTION_NONE && p->question_value == value;
        bool list = own && p->question == QUESTION_LIST;
        struct counters before = w->state.counters;

        world_expect(w, pool_pong(&w->pool, row, value, w->now) == 0);
        if (!own) /* it was asked by a dispatcher before this one */
                return;
        v->asked = false;
        v->answered_at = w->now;
        if (list)
                list_ended(w, row, &before);
}

static void hear(struct world *w, uint32_t row)
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

/* Those to LIST are heard before anything that the worker says later. */
void world_hear_list(struct world *w, uint32_t row)
{
        if (w->n_crashes > 0)
                hear(w, row);
}

void world_pong(struct world *w, uint32_t row)
{
        world_expect(w, w->workers[row].n_said > 0);
        hear(w, row);
        world_settle(w);
}

void world_pong_bad(struct world *w, uint32_t row, uint32_t value)
{
        struct pool_worker *p = &w->pool.workers[row];

        /* A question that is still in the queue could be answered by a lucky guess. */
        if (p->question != QUESTION_NONE && p->question_value == value)
                return;
        world_hear_list(w, row);
        if (p->adopted) {
                world_expect(w, pool_pong(&w->pool, row, value, w->now) == 0);
                p->excuses++; /* for what it may honestly say */
                return;
        }
        world_expect(w, pool_pong(&w->pool, row, value, w->now) == POOL_NOT_ASKED);
        world_kill(w, row);
        world_settle(w);
}
