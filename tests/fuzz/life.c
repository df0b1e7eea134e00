/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A pool's life as the input says: what is decided happens at once, and always succeeds. */

#include "life.h"
#include "policy/pool-deeds.h"

void life_settings(struct settings *s)
{
        *s = (struct settings){
                .workers = 2,
                .workers_max = 3,
                .accept = true,
                .workers_spare = 1,
                .worker_idle_timeout = USEC_PER_SEC,
                .exit_idle_time = USEC_PER_SEC,
                .reload_drain_timeout = USEC_PER_SEC,
                .recycle_after = 9,
                .recycle_age = USEC_PER_SEC,
                .recycle_memory = 1 << 20,
                .max_connections = 16,
                .connections_per_worker = UINT32_MAX,
                .timeout_start = USEC_PER_SEC,
                .drain_timeout = USEC_PER_SEC,
                .timeout_stop = USEC_PER_SEC,
                .queue_timeout = USEC_PER_SEC,
                .watchdog = USEC_PER_SEC,
                .restart = USEC_PER_MSEC,
                .restart_max_delay = USEC_PER_SEC,
        };
}

void life_check(const struct life *l)
{
        const struct counters *c = l->pool.counters;
        struct pool_figures f;

        pool_get_figures(&l->pool, &f);
        fuzz_expect(f.open == l->pool.slots.n_used);
        fuzz_expect(c->accepted == f.open + c->done + c->failed + c->lost + f.refused);
        fuzz_expect(l->pool.n_in_hand == l->n_hand);
}

void life_adopt(struct life *l, struct input *in)
{
        struct slot *slot;

        l->n_hand = 0;
        for (uint32_t i = 0; i < l->pool.n_rows; i++) {
                const struct worker_row *row = l->pool.workers[i].record;

                if (row->state == WORKER_NONE)
                        continue;
                if (row->state != WORKER_DEAD && input_byte(in) % 4 != 0) {
                        pool_adopted(&l->pool, i);
                        continue;
                }
                if (row->state != WORKER_DEAD)
                        (void)pool_exited(&l->pool, i, l->now);
                if (input_byte(in) % 2 != 0)
                        (void)pool_emptied(&l->pool, i);
        }
        while ((slot = pool_get_in_hand(&l->pool, l->n_hand))) {
                if (input_byte(in) % 2 != 0)
                        l->hand[l->n_hand++] = slot;
                else
                        pool_lost(&l->pool, slot);
        }
        life_check(l);
}

static int hand_over(void *userdata)
{
        struct life *l = userdata;
        int64_t row;

        while (l->n_hand > 0 && (row = pool_choose(&l->pool)) >= 0) {
                pool_assign(&l->pool, l->hand[l->n_hand - 1], (uint32_t)row);
                pool_sent(&l->pool, l->hand[--l->n_hand]);
        }

        return 0;
}

/* The queue of that worker has one connection of its, or none. */
static int take_back(void *userdata, uint32_t row)
{
        struct life *l = userdata;

        for (uint32_t i = 0; i < l->pool.slots.head->n_touched; i++) {
                struct slot *slot = &l->pool.slots.table[i];

                if (slot->state == SLOT_FREE || slot->worker != row)
                        continue;
                fuzz_expect(pool_take_back(&l->pool, row, slot->id) == slot);
                l->hand[l->n_hand++] = slot;
                return hand_over(l);
        }

        if (l->pool.workers[row].record->state == WORKER_DEAD)
                (void)pool_emptied(&l->pool, row);
        else
                (void)pool_queue_done(&l->pool, row);

        return 0;
}

static void sample(void *userdata)
{
        struct life *l = userdata;

        for (uint32_t i = 0; i < l->pool.n_rows; i++)
                if (pool_is_in_doubt(&l->pool, i))
                        (void)pool_sampled(&l->pool, i, 0, l->now);
        pool_sampling_done(&l->pool);
}

static void weigh(void *userdata)
{
        struct life *l = userdata;
        int64_t row;

        while ((row = pool_next_to_weigh(&l->pool)) >= 0)
                pool_weighed(&l->pool, (uint32_t)row, (uint64_t)row << 19, l->now);
        pool_weighing_done(&l->pool, l->now);
}

static void spawn(void *userdata, uint32_t row, bool on_trial)
{
        struct life *l = userdata;

        if (on_trial || pool_may_spawn(&l->pool, l->now))
                pool_spawned(&l->pool, row, 1000 + (int32_t)row, on_trial, l->now);
}

static void drain(void *userdata, uint32_t row, enum pool_drain reason)
{
        struct life *l = userdata;

        pool_drained(&l->pool, row, reason % 2 != 0, l->now);
}

static void terminate(void *userdata, uint32_t row)
{
        struct life *l = userdata;

        pool_terminated(&l->pool, row, l->now);
}

static void abort_worker(void *userdata, uint32_t row)
{
        struct life *l = userdata;

        pool_aborted(&l->pool, row, l->now);
}

static void kill_worker(void *userdata, uint32_t row)
{
        struct life *l = userdata;

        pool_killed(&l->pool, row, l->now);
}

static int ask(void *userdata, uint32_t row, enum pool_question question)
{
        struct life *l = userdata;

        pool_asked(&l->pool, row, question, pool_next_question(&l->pool), l->now);
        return 0;
}

static void refuse(void *userdata)
{
        struct life *l = userdata;

        while (l->n_hand > 0)
                pool_refused(&l->pool, l->hand[--l->n_hand],
                        l->pool.stopping ? REFUSED_STOPPING : REFUSED_STRANDED);
}

static void pass(void *userdata, uint32_t row _unused_)
{
        struct life *l = userdata;

        pool_commit(&l->pool);
}

static void rest(void *userdata)
{
        struct life *l = userdata;

        pool_rest(&l->pool, l->now);
}

static const struct pool_deeds deeds = {
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
        .hand_over = hand_over,
        .refuse = refuse,
        .rest = rest,
};

static void settle(struct life *l)
{
        struct pool_decision d;

        for (int i = 0; i < 64 && l->pool.dirty; i++) {
                pool_decide(&l->pool, l->now, &d);
                (void)pool_carry_out(&d, &deeds, l);
        }
        life_check(l);
}

static void worker_says(struct life *l, uint32_t what, uint32_t row, struct input *in)
{
        const struct slot *slot = &l->pool.slots.table[input_byte(in) % l->pool.slots.n_table];
        uint64_t id = what & 1 ? slot->id : slot->id ^ 1 << (input_byte(in) % 31);
        int r;

        switch (what / 2 % 4) {
        case 0:
                r = pool_ready(&l->pool, row, input_byte(in), l->pool.workers[row].record->features,
                        l->now);
                break;
        case 1:
                r = (what & 8 ? pool_failed : pool_done)(&l->pool, row, id);
                break;
        case 2:
                r = pool_held(&l->pool, row, id);
                break;
        default:
                r = pool_pong(
                        &l->pool, row, l->pool.workers[row].question_value ^ !(what & 1), l->now);
                break;
        }
        if (r != 0)
                pool_killed(&l->pool, row, l->now);
}

void life_step(struct life *l, struct input *in)
{
        uint32_t what = input_byte(in), row = input_byte(in) % l->pool.n_rows;
        enum worker_state state = l->pool.workers[row].record->state;

        if (what < 32 && l->pool.rests) {
                pool_rouse(&l->pool);
        } else if (what < 32 && pool_may_accept(&l->pool)) {
                l->hand[l->n_hand++] = pool_accepted(&l->pool, 0, l->now);
                (void)hand_over(l);
        } else if (what < 48) {
                l->now += 1000 * input_word(in);
                l->pool.dirty = true;
        } else if (what < 56 && worker_state_info(state)->alive) {
                (void)pool_exited(&l->pool, row, l->now);
        } else if (what == 56) {
                pool_stop(&l->pool, l->now);
        } else if (what == 57 && !l->pool.state->trial) {
                pool_try(&l->pool, l->pool.settings);
        } else if (what < 60 && l->pool.state->trial) {
                (what & 1 ? pool_commit : pool_abandon)(&l->pool);
        } else if (worker_state_info(state)->alive && state != WORKER_KILLED) {
                worker_says(l, what, row, in);
        }
        settle(l);
}
