/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is done to the workers, queues and clients of a made-up world when the pool decides so. Each
 * deed checks that the decision was right.
 */

#include "world-check.h"

void world_kill(struct world *w, uint32_t row)
{
        w->workers[row].signalled = true;
        pool_killed(&w->pool, row, w->now);
}

/* Returns whether the channel took it. */
static bool send(struct world *w, uint32_t row, struct slot *slot)
{
        struct world_worker *v = &w->workers[row];

        if (v->n_queue == WORLD_QUEUE_MAX || world_chance(w, w->channel_full)) {
                pool_not_sent(&w->pool, slot, w->now);
                return false;
        }
        if (world_chance(w, w->channel_gone)) {
                pool_not_sent(&w->pool, slot, w->now);
                world_kill(w, row);
                return false;
        }

        v->queue[v->n_queue++] = (struct world_item){ .id = slot->id, .sent_at = w->now };
        v->handed_over++;
        pool_sent(&w->pool, slot);
        return true;
}

static void drop_from_hand(struct world *w, size_t i)
{
        w->n_hand--;
        for (; i < w->n_hand; i++)
                w->hand[i] = w->hand[i + 1];
}

static bool send_from_hand(struct world *w, size_t i)
{
        int64_t row;

        while ((row = pool_choose(&w->pool)) >= 0) {
                world_check_choice(w, (uint32_t)row);
                pool_assign(&w->pool, w->hand[i], (uint32_t)row);
                w->workers[row].last_chosen = ++w->n_choices;
                if (send(w, (uint32_t)row, w->hand[i])) {
                        drop_from_hand(w, i);
                        return true;
                }
        }

        return false;
}

void world_hand_over(struct world *w)
{
        for (size_t i = 0; i < w->n_hand;)
                if (!send_from_hand(w, i))
                        i++;
}

static void spawn(void *userdata, uint32_t row, bool on_trial)
{
        struct world *w = userdata;

        if (on_trial ? w->state.trial == 0 : !pool_may_spawn(&w->pool, w->now))
                return;
        if (world_chance(w, w->spawn_fails)) {
                if (on_trial)
                        pool_abandon(&w->pool);
                else
                        pool_spawn_failed(&w->pool, w->now);
                return;
        }

        w->workers[row] = (struct world_worker){
                .alive = true,
                .has_row = true,
                .number = pool_next_number(&w->pool),
        };
        w->n_spawns++;
        pool_spawned(&w->pool, row, (int32_t)w->n_spawns + 1, on_trial, w->now);
        w->workers[row].stored = true;
}

void world_bury(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];

        world_expect(w, pool_emptied(&w->pool, row) == v->n_held + v->n_ghosts);
        w->expected.lost += v->n_held + v->n_ghosts;
        w->n_unheard += v->n_unheard;
        *v = (struct world_worker){};
}

struct world_item world_take_from_queue(struct world_worker *v)
{
        struct world_item first = v->queue[0];

        memmove(v->queue, v->queue + 1, --v->n_queue * sizeof(first));
        return first;
}

/* Nothing is left in a queue that was taken back. */
static void queue_empty(struct world *w, uint32_t row)
{
        if (!w->workers[row].alive)
                world_bury(w, row);
        else
                (void)pool_queue_done(&w->pool, row);
}

static int take_back(void *userdata, uint32_t row)
{
        struct world *w = userdata;
        struct world_worker *v = &w->workers[row];
        struct world_item item;
        struct slot *slot;

        world_expect(w, w->n_hand < POOL_HAND_MAX);
        world_check_is_first_to_take_back(w, row);
        while (v->n_queue > 0 && v->queue[0].id == 0) {
                if (!world_take_from_queue(v).drain)
                        pool_question_dropped(&w->pool, row);
        }
        if (v->n_queue == 0) {
                queue_empty(w, row);
                return 0;
        }
        if (world_chance(w, w->no_descriptor)) {
                pool_pause(&w->pool, w->now + WORLD_PAUSE_USEC);
                return 0;
        }

        pool_set_in_transit(&w->pool, row, true);
        item = world_take_from_queue(v);
        slot = pool_take_back(&w->pool, row, item.id);
        world_expect(w, (slot == NULL) == item.settled);
        if (v->n_queue == 0)
                queue_empty(w, row);
        if (!slot)
                return 0;

        w->hand[w->n_hand++] = slot;
        w->expected.taken_back++;
        world_hand_over(w);
        return 0;
}

static void refuse(void *userdata)
{
        struct world *w = userdata;
        enum refusal reason = w->pool.stopping ? REFUSED_STOPPING : REFUSED_STRANDED;

        world_expect(w, w->n_hand > 0);
        world_expect(w, w->pool.stopping || world_count(w, WORKER_DEAD) == w->pool.n_rows);
        while (w->n_hand > 0) {
                pool_refused(&w->pool, w->hand[0], reason);
                drop_from_hand(w, 0);
                w->expected.refused[reason]++;
        }
}

void world_refuse_last(struct world *w, enum refusal reason)
{
        pool_refused(&w->pool, w->hand[w->n_hand - 1], reason);
        drop_from_hand(w, w->n_hand - 1);
        w->expected.refused[reason]++;
}

static void abort_worker(void *userdata, uint32_t row)
{
        struct world *w = userdata;

        /* The same decision may have drained it, or killed it for a broken channel. */
        if (world_state(w, row) > WORKER_READY)
                return;
        world_expect(w, w->settings.watchdog > 0);
        world_expect(w, world_state(w, row) == WORKER_READY);
        world_expect(w, w->now - w->workers[row].answered_at >= w->settings.watchdog ||
                                w->workers[row].answered_at == 0);
        w->n_aborts++;
        w->workers[row].signalled = true;
        pool_aborted(&w->pool, row, w->now);
}

static void drain(void *userdata, uint32_t row, enum pool_drain reason)
{
        struct world *w = userdata;
        struct world_worker *v = &w->workers[row];
        usec_t deadline;
        bool told;

        world_expect(w, (reason == POOL_DRAIN_STOP) == (w->pool.stopping || w->pool.rests));
        if (reason == POOL_DRAIN_RETIRE)
                world_check_may_retire(w, row);
        else if (reason == POOL_DRAIN_RECYCLE)
                world_check_may_recycle(w, row);
        else if (reason == POOL_DRAIN_RELOAD)
                world_expect(w, w->rows[row].generation != w->state.generation);
        told = v->n_queue < WORLD_QUEUE_MAX && world_chance(w, w->told);
        if (told)
                v->queue[v->n_queue++] = (struct world_item){ .drain = true, .settled = true };
        deadline = pool_get_drain_deadline(&w->pool, w->now);
        pool_drained(&w->pool, row, told, w->now);
        world_expect(w, w->rows[row].deadline == deadline);
        w->workers[row].shut = true;
}

static void terminate(void *userdata, uint32_t row)
{
        struct world *w = userdata;

        w->workers[row].signalled = true;
        pool_terminated(&w->pool, row, w->now);
}

static void kill_worker(void *userdata, uint32_t row)
{
        world_kill(userdata, row);
}

static int ask(void *userdata, uint32_t row, enum pool_question question)
{
        world_ask(userdata, row, question == QUESTION_LIST);
        return 0;
}

static void sample(void *userdata)
{
        world_sample(userdata);
}

static void weigh(void *userdata)
{
        struct world *w = userdata;
        int64_t row;

        while ((row = pool_next_to_weigh(&w->pool)) >= 0) {
                world_expect(w, world_state(w, (uint32_t)row) == WORKER_READY);
                if (world_chance(w, w->grows))
                        w->workers[row].size += world_random(w, 1 << 20);
                pool_weighed(&w->pool, (uint32_t)row, w->workers[row].size, w->now);
        }
        pool_weighing_done(&w->pool, w->now);
}

static int hand_over_waiting(void *userdata)
{
        struct world *w = userdata;

        world_expect(w, w->n_hand > 0);
        world_hand_over(w);
        return 0;
}

/* The world's pools accept. */
static void pass(void *userdata, uint32_t row _unused_)
{
        world_expect(userdata, false);
}

static void rest(void *userdata)
{
        struct world *w = userdata;

        world_check_may_rest(w);
        if (w->backlog > 0) {
                pool_rouse(&w->pool);
                return;
        }

        w->n_rests++;
        pool_rest(&w->pool, w->now);
}

const struct pool_deeds world_deeds = {
        .spawn = spawn,
        .drain = drain,
        .pass = pass,
        .terminate = terminate,
        .abort = abort_worker,
        .kill = kill_worker,
        .take_back = take_back,
        .ask = ask,
        .sample = sample,
        .weigh = weigh,
        .hand_over = hand_over_waiting,
        .refuse = refuse,
        .rest = rest,
};
