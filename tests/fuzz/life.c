/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Called by the targets; deeds follow src/dispatcher/dispatcher.c. */

#include "life.h"

void life_settings(struct settings *s)
{
        *s = (struct settings){
                .workers = 2,
                .workers_max = 3,
                .workers_spare = 1,
                .worker_idle_timeout = USEC_PER_SEC,
                .reload_drain_timeout = USEC_PER_SEC,
                .recycle_after = 9,
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
                const struct worker_row *row = l->pool.workers[i].row;

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

static void hand_over(struct life *l)
{
        int64_t row;

        while (l->n_hand > 0 && (row = pool_choose(&l->pool)) >= 0) {
                pool_assign(&l->pool, l->hand[l->n_hand - 1], (uint32_t)row);
                pool_sent(&l->pool, l->hand[--l->n_hand]);
        }
}

/* The queue of that worker has one connection of its, or none. */
static void take_back(struct life *l, uint32_t row)
{
        for (uint32_t i = 0; i < l->pool.slots.head->n_touched; i++) {
                struct slot *slot = &l->pool.slots.table[i];

                if (slot->state == SLOT_FREE || slot->worker != row)
                        continue;
                fuzz_expect(pool_take_back(&l->pool, row, slot->id) == slot);
                l->hand[l->n_hand++] = slot;
                hand_over(l);
                return;
        }

        if (l->pool.workers[row].row->state == WORKER_DEAD)
                (void)pool_emptied(&l->pool, row);
        else
                (void)pool_queue_taken(&l->pool, row);
}

static void sample(struct life *l)
{
        for (uint32_t i = 0; i < l->pool.n_rows; i++)
                if (pool_is_in_doubt(&l->pool, i))
                        (void)pool_sampled(&l->pool, i, 0, l->now);
        pool_sampling_done(&l->pool);
}

static void carry_out(struct life *l, const struct pool_action *a)
{
        struct pool *p = &l->pool;

        switch (a->type) {
        case POOL_SPAWN:
                if (pool_may_spawn(p, l->now))
                        pool_spawned(p, a->worker, 1000 + (int32_t)a->worker, l->now);
                return;
        case POOL_DRAIN:
        case POOL_RETIRE:
        case POOL_RECYCLE:
                pool_drained(p, a->worker, l->now);
                return;
        case POOL_TERMINATE:
                pool_terminated(p, a->worker, l->now);
                return;
        case POOL_ABORT:
                pool_aborted(p, a->worker, l->now);
                return;
        case POOL_KILL:
                pool_killed(p, a->worker, l->now);
                return;
        case POOL_TAKE_BACK:
                take_back(l, a->worker);
                return;
        case POOL_ASK_LIST:
        case POOL_ASK_PING:
                pool_asked(p, a->worker, a->type == POOL_ASK_LIST ? QUESTION_LIST : QUESTION_PING,
                        pool_next_question(p), l->now);
                return;
        case POOL_SAMPLE:
                sample(l);
                return;
        case POOL_HAND_OVER:
                hand_over(l);
                return;
        case POOL_REFUSE:
                while (l->n_hand > 0)
                        pool_refused(p, l->hand[--l->n_hand],
                                p->stopping ? REFUSED_STOPPING : REFUSED_STRANDED);
                return;
        case POOL_LISTEN_ON:
        case POOL_LISTEN_OFF:
        default:
                return;
        }
}

static void settle(struct life *l)
{
        struct pool_decision d;

        for (int i = 0; i < 64 && l->pool.dirty; i++) {
                pool_decide(&l->pool, l->now, &d);
                for (size_t k = 0; k < d.n_actions; k++)
                        carry_out(l, &d.actions[k]);
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
                r = pool_ready(&l->pool, row, 1 + input_byte(in), l->now);
                break;
        case 1:
                r = pool_done(&l->pool, row, id);
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
        enum worker_state state = l->pool.workers[row].row->state;

        if (what < 32 && pool_may_accept(&l->pool)) {
                l->hand[l->n_hand++] = pool_accepted(&l->pool, 0, l->now);
                hand_over(l);
        } else if (what < 48) {
                l->now += 1000 * input_word(in);
                l->pool.dirty = true;
        } else if (what < 56 && worker_state_info(state)->alive) {
                (void)pool_exited(&l->pool, row, l->now);
        } else if (what == 56) {
                pool_stop(&l->pool, l->now);
        } else if (what == 57 && !l->pool.state->trial) {
                pool_try(&l->pool);
        } else if (what < 60 && l->pool.state->trial) {
                (what & 1 ? pool_commit : pool_abandon)(&l->pool);
        } else if (worker_state_info(state)->alive && state != WORKER_KILLED) {
                worker_says(l, what, row, in);
        }
        settle(l);
}
