/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The made-up world around a pool. Deeds follow dispatcher.c and worker.c; what must hold whatever
 * happens is in world-check.c. Called by test-pool.c and test-pool-random.c.
 */

#include <inttypes.h>

#include "world-check.h"
#include "world.h"

#define PAUSE_USEC (100 * USEC_PER_MSEC)

uint32_t world_random(struct world *w, uint32_t below)
{
        uint64_t z = w->random += 0x9e3779b97f4a7c15; /* splitmix64 */

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return (uint32_t)((z ^ z >> 31) % below);
}

bool world_chance(struct world *w, unsigned of_256)
{
        return of_256 > 0 && world_random(w, 256) < of_256;
}

void world_default_settings(struct world *w, uint32_t workers, uint32_t connections)
{
        w->settings = (struct settings){
                .workers = workers,
                .max_connections = WORLD_SLOTS_MAX,
                .distribute = DISTRIBUTE_LEAST_CONNECTIONS,
                .connections_per_worker = connections,
                .timeout_start = 30 * USEC_PER_SEC,
                .drain_timeout = 20 * USEC_PER_SEC,
                .timeout_stop = 5 * USEC_PER_SEC,
                .queue_timeout = USEC_PER_SEC,
                .restart = 100 * USEC_PER_MSEC,
                .restart_max_delay = 10 * USEC_PER_SEC,
        };
}

void world_init(struct world *w, uint64_t seed)
{
        struct settings settings = w->settings;

        *w = (struct world){
                .seed = seed,
                .random = seed,
                .now = 1000 * USEC_PER_SEC,
                .settings = settings,
                .timer = USEC_INFINITY,
                .burst = 64,
        };
        world_expect(w, pool_rows_needed(&w->settings) <= WORLD_ROWS_MAX);
        world_expect(w, w->settings.max_connections <= WORLD_SLOTS_MAX);

        const struct pool_memory memory = {
                .state = &w->state,
                .rows = w->rows,
                .n_rows = pool_rows_needed(&w->settings),
                .slots = w->slots,
                .n_slots = w->settings.max_connections,
        };
        world_expect(w, pool_init(&w->pool, &w->settings, &memory) == 0);
        world_settle(w);
}

void world_deinit(struct world *w)
{
        pool_deinit(&w->pool);
}

/* --- Deeds, as in dispatcher.c --- */

static void kill_worker(struct world *w, uint32_t row)
{
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
                kill_worker(w, row);
                return false;
        }

        v->queue[v->n_queue++] = (struct world_item){ .id = slot->id, .sent_at = w->now };
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

static void hand_over(struct world *w)
{
        for (size_t i = 0; i < w->n_hand;)
                if (!send_from_hand(w, i))
                        i++;
}

static void spawn(struct world *w, uint32_t row)
{
        if (!pool_may_spawn(&w->pool, w->now))
                return;
        if (world_chance(w, w->spawn_fails)) {
                pool_spawn_failed(&w->pool, w->now);
                return;
        }

        w->workers[row] = (struct world_worker){
                .alive = true,
                .has_row = true,
                .number = pool_next_number(&w->pool),
        };
        w->n_spawns++;
        pool_spawned(&w->pool, row, (int32_t)w->n_spawns, w->now);
}

static void bury(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];

        world_expect(w, pool_emptied(&w->pool, row) == v->n_held);
        w->expected.lost += v->n_held;
        *v = (struct world_worker){};
}

static struct world_item take_from_queue(struct world_worker *v)
{
        struct world_item first = v->queue[0];

        memmove(v->queue, v->queue + 1, --v->n_queue * sizeof(first));
        return first;
}

/* Nothing is left in a queue that was taken back. */
static void queue_empty(struct world *w, uint32_t row)
{
        if (!w->workers[row].alive)
                bury(w, row);
        else
                (void)pool_queue_taken(&w->pool, row);
}

static void take_back(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];
        struct world_item item;
        struct slot *slot;

        world_expect(w, w->n_hand < POOL_HAND_MAX);
        world_check_is_first_to_take_back(w, row);
        while (v->n_queue > 0 && v->queue[0].id == 0) {
                (void)take_from_queue(v);
                pool_question_dropped(&w->pool, row);
        }
        if (v->n_queue == 0) {
                queue_empty(w, row);
                return;
        }
        if (world_chance(w, w->no_descriptor)) {
                pool_pause(&w->pool, w->now + PAUSE_USEC);
                return;
        }

        item = take_from_queue(v);
        slot = pool_take_back(&w->pool, row, item.id);
        world_expect(w, (slot == NULL) == item.settled);
        if (v->n_queue == 0)
                queue_empty(w, row);
        if (!slot)
                return;

        w->hand[w->n_hand++] = slot;
        w->expected.taken_back++;
        hand_over(w);
}

static void refuse(struct world *w)
{
        enum refusal reason = w->pool.stopping ? REFUSED_STOPPING : REFUSED_STRANDED;

        world_expect(w, w->n_hand > 0);
        world_expect(w, w->pool.stopping || world_count(w, WORKER_DEAD) == w->pool.n_rows);
        while (w->n_hand > 0) {
                pool_refused(&w->pool, w->hand[0], reason);
                drop_from_hand(w, 0);
                w->expected.refused[reason]++;
        }
}

/* As channel_ask(). */
static void ask(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];
        uint32_t value = pool_next_question(&w->pool);

        world_expect(w, v->alive && !v->asked);
        for (size_t i = 0; i < v->n_queue; i++)
                world_expect(w, v->queue[i].id != 0); /* one at a time */

        if (v->n_queue == WORLD_QUEUE_MAX || world_chance(w, w->channel_full)) {
                pool_not_asked(&w->pool, row, w->now);
                return;
        }
        if (world_chance(w, w->channel_gone)) {
                kill_worker(w, row);
                return;
        }

        v->queue[v->n_queue++] = (struct world_item){ .question = value, .sent_at = w->now };
        pool_asked(&w->pool, row, QUESTION_PING, value, w->now);
}

static void sample_one(struct world *w, uint32_t row)
{
        const struct world_worker *v = &w->workers[row];
        bool was = w->pool.workers[row].take, take;
        uint32_t waiting = world_count_waiting(w, row), i = 0;

        world_expect(w, pool_count_waiting(&w->pool, row, (uint32_t)v->n_queue) == waiting);
        (void)pool_sampled(&w->pool, row, (uint32_t)v->n_queue, w->now);
        take = w->pool.workers[row].take;
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

static void sample(struct world *w)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                if (pool_is_in_doubt(&w->pool, i))
                        sample_one(w, i);
                else if (w->workers[i].alive && world_state(w, i) <= WORKER_DRAINING)
                        world_expect(w, world_count_waiting(w, i) == 0);
        }
        pool_sampling_done(&w->pool);
}

static void abort_worker(struct world *w, uint32_t row)
{
        world_expect(w, w->settings.watchdog > 0);
        world_expect(w, world_state(w, row) == WORKER_READY);
        world_expect(w, w->now - w->workers[row].answered_at >= w->settings.watchdog ||
                                w->workers[row].answered_at == 0);
        w->n_aborts++;
        pool_aborted(&w->pool, row, w->now);
}

static void carry_out(struct world *w, const struct pool_action *action)
{
        switch (action->type) {
        case POOL_SPAWN:
                spawn(w, action->worker);
                return;
        case POOL_DRAIN:
                pool_drained(&w->pool, action->worker, w->now);
                return;
        case POOL_TERMINATE:
                pool_terminated(&w->pool, action->worker, w->now);
                return;
        case POOL_ABORT:
                abort_worker(w, action->worker);
                return;
        case POOL_ASK_PING:
                ask(w, action->worker);
                return;
        case POOL_SAMPLE:
                sample(w);
                return;
        case POOL_KILL:
                kill_worker(w, action->worker);
                return;
        case POOL_TAKE_BACK:
                take_back(w, action->worker);
                return;
        case POOL_HAND_OVER:
                world_expect(w, w->n_hand > 0);
                hand_over(w);
                return;
        case POOL_REFUSE:
                refuse(w);
                return;
        case POOL_ASK_LIST: /* only of adopted workers */
                world_expect(w, false);
                return;
        case POOL_LISTEN_ON:
        case POOL_LISTEN_OFF:
        default:
                w->listening = action->type == POOL_LISTEN_ON;
                return;
        }
}

void world_settle(struct world *w)
{
        w->n_events++;
        if (!w->pool.dirty) {
                world_check(w);
                return;
        }

        for (int i = 0; i < w->burst && w->pool.dirty; i++) {
                world_decide(w);
                for (size_t k = 0; k < w->decision.n_actions; k++)
                        carry_out(w, &w->decision.actions[k]);
        }

        w->timer = w->pool.dirty ? w->now : w->decision.wake_at;
        w->finished = w->decision.finished;
        world_check(w);
}

/* --- Events --- */

uint32_t world_accept(struct world *w, uint32_t burst)
{
        uint32_t n = 0;

        if (!w->listening)
                return 0;

        for (; n < burst && w->backlog > 0 && pool_may_accept(&w->pool); n++) {
                world_check_may_accept(w);
                if (world_chance(w, w->no_descriptor)) {
                        pool_pause(&w->pool, w->now + PAUSE_USEC);
                        break;
                }
                w->backlog--;
                w->hand[w->n_hand++] = pool_accepted(&w->pool, 3, w->now);
                w->expected.accepted++;
                hand_over(w);
        }

        world_settle(w);
        return n;
}

void world_ready(struct world *w, uint32_t row, uint32_t capacity)
{
        if (world_state(w, row) == WORKER_STARTING)
                w->workers[row].answered_at = w->now;
        if (pool_ready(&w->pool, row, capacity, w->now) != 0)
                kill_worker(w, row);
        else
                w->workers[row].capacity = MIN(capacity, w->settings.connections_per_worker);
        w->workers[row].blocked_until = 0;
        world_settle(w);
}

void world_receive(struct world *w, uint32_t row, size_t n)
{
        struct world_worker *v = &w->workers[row];

        for (; n > 0 && v->n_queue > 0 && v->n_held < WORLD_HELD_MAX; n--) {
                struct world_item item = take_from_queue(v);

                if (item.id == 0) {
                        world_expect(w, !v->asked);
                        v->asked = true;
                        v->question = item.question;
                } else if (!item.settled) {
                        v->held[v->n_held++] = item.id;
                }
        }
        world_settle(w);
}

static void expect_done(struct world *w, uint32_t row, uint64_t id)
{
        world_expect(w, pool_done(&w->pool, row, id) == 0);
        w->expected.done++;
        w->workers[row].served = true;
        world_settle(w);
}

void world_done(struct world *w, uint32_t row, size_t k)
{
        struct world_worker *v = &w->workers[row];
        uint64_t id = v->held[k];

        v->held[k] = v->held[--v->n_held];
        expect_done(w, row, id);
}

void world_done_unreceived(struct world *w, uint32_t row, size_t k)
{
        struct world_item *item = &w->workers[row].queue[k];

        if (item->id == 0)
                return;
        if (item->settled) {
                world_done_bad(w, row, item->id);
                return;
        }
        item->settled = true;
        expect_done(w, row, item->id);
}

void world_done_bad(struct world *w, uint32_t row, uint64_t id)
{
        world_expect(w, pool_done(&w->pool, row, id) == POOL_FOREIGN_ID);
        kill_worker(w, row);
        world_settle(w);
}

void world_pong(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];

        world_expect(w, v->asked);
        world_expect(w, pool_pong(&w->pool, row, v->question, w->now) == 0);
        v->asked = false;
        v->answered_at = w->now;
        world_settle(w);
}

void world_pong_bad(struct world *w, uint32_t row, uint32_t value)
{
        const struct pool_worker *p = &w->pool.workers[row];

        /* A question that is still in the queue could be answered by a lucky guess. */
        if (p->question != QUESTION_NONE && p->question_value == value)
                return;
        world_expect(w, pool_pong(&w->pool, row, value, w->now) == POOL_NOT_ASKED);
        kill_worker(w, row);
        world_settle(w);
}

void world_exit(struct world *w, uint32_t row)
{
        w->workers[row].alive = false;
        (void)pool_exited(&w->pool, row, w->now);
        if (w->workers[row].n_queue == 0)
                bury(w, row);
        world_settle(w);
}

void world_pass(struct world *w, usec_t t)
{
        w->now += t;
        if (w->now < w->timer)
                return;

        w->pool.dirty = true;
        world_settle(w);
        /* Otherwise it would spin. */
        world_expect(w, w->pool.dirty || w->finished || w->timer > w->now);
}

void world_wait(struct world *w)
{
        world_expect(w, w->timer != USEC_INFINITY);
        world_pass(w, w->timer > w->now ? w->timer - w->now : 0);
}

void world_change_settings(struct world *w)
{
        struct settings *s = &w->settings;

        s->distribute =
                world_chance(w, 128) ? DISTRIBUTE_ROUND_ROBIN : DISTRIBUTE_LEAST_CONNECTIONS;
        s->connections_per_worker = world_chance(w, 128) ? UINT32_MAX : 1 + world_random(w, 4);
        s->queue_timeout = world_chance(w, 64) ? USEC_INFINITY : 10000 + world_random(w, 1000000);
        s->watchdog = world_chance(w, 128) ? 0 : 20000 + world_random(w, 1000000);
        s->restart = 1000 + world_random(w, 100000);
        s->restart_max_delay = s->restart + world_random(w, 1000000);
        pool_settings_changed(&w->pool);
        world_settle(w);
}

void world_stop(struct world *w)
{
        pool_stop(&w->pool, w->now);
        world_settle(w);
}

/* --- Looking --- */

enum worker_state world_state(const struct world *w, uint32_t row)
{
        return w->rows[row].state;
}

uint32_t world_count_waiting(const struct world *w, uint32_t row)
{
        uint32_t n = 0;

        for (size_t i = 0; i < w->workers[row].n_queue; i++)
                n += w->workers[row].queue[i].id != 0;

        return n;
}

uint32_t world_count(const struct world *w, enum worker_state state)
{
        uint32_t n = 0;

        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                n += world_state(w, i) == state;

        return n;
}

uint32_t world_find(struct world *w, enum worker_state state)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                if (world_state(w, i) == state)
                        return i;

        world_fail(w, worker_state_info(state)->name, __func__);
}

void world_fail(const struct world *w, const char *what, const char *function)
{
        fail_msg("seed %" PRIu64 ", event %" PRIu64 ", %s: %s", w->seed, w->n_events, function,
                what);
        abort(); /* fail_msg() does not return */
}
