/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The made-up world around a pool, and its events. What the pool decides is done in world-deeds.c;
 * what must hold whatever happens is in world-check.c.
 */

#include <inttypes.h>

#include "world-check.h"
#include "world.h"

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
                .workers_max = workers,
                .accept = true,
                .worker_idle_timeout = 60 * USEC_PER_SEC,
                .exit_idle_time = USEC_INFINITY,
                .recycle_age = USEC_INFINITY,
                .recycle_memory = UINT64_MAX,
                .reload_drain_timeout = USEC_INFINITY,
                .max_connections = WORLD_SLOTS_MAX,
                .source_prefixes = { 32, 64 },
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

        world_open_pool(w);
        world_settle(w);
}

void world_open_pool(struct world *w)
{
        const struct pool_memory memory = {
                .state = &w->state,
                .rows = w->rows,
                .n_rows = pool_rows_needed(&w->settings),
                .slots = w->slots,
                .n_slots = w->settings.max_connections,
        };

        world_expect(w, pool_init(&w->pool, &w->settings, &memory) == 0);
        w->pool.offers = WORLD_OFFERS;
}

void world_deinit(struct world *w)
{
        pool_deinit(&w->pool);
}

/* --- Decisions --- */

void world_settle(struct world *w)
{
        w->n_events++;
        if (w->pool.slots.n_used > 0 || w->was_used)
                w->used_at = w->now;
        w->was_used = w->pool.slots.n_used > 0;
        if (!w->pool.dirty) {
                w->listening = pool_may_accept(&w->pool) || w->pool.rests;
                world_check(w);
                return;
        }

        for (int i = 0; i < w->burst && w->pool.dirty; i++) {
                world_decide(w);
                world_expect(w, pool_carry_out(&w->decision, &world_deeds, w) == 0);
        }

        w->timer = w->pool.dirty ? w->now : w->decision.wake_at;
        w->finished = w->decision.finished;
        w->listening = pool_may_accept(&w->pool) || w->pool.rests;
        world_check(w);
}

/* --- Events --- */

uint32_t world_accept(struct world *w, uint32_t burst)
{
        uint32_t n = 0;

        if (!w->listening)
                return 0;
        if (w->pool.rests && w->backlog > 0) {
                w->finished = false; /* or the service is started again, on the same memory */
                pool_rouse(&w->pool);
        }

        for (; n < burst && w->backlog > 0 && pool_may_accept(&w->pool); n++) {
                world_check_may_accept(w);
                if (world_chance(w, w->no_descriptor)) {
                        pool_pause(&w->pool, w->now + WORLD_PAUSE_USEC);
                        break;
                }
                w->backlog--;
                w->n_taken++;
                w->hand[w->n_hand++] = pool_accepted(&w->pool, 3, w->now);
                w->expected.accepted++;
                if (world_admit(w, w->hand[w->n_hand - 1]))
                        world_hand_over(w);
        }

        world_settle(w);
        return n;
}

/* What it says stays in its channel until it was noted. */
bool world_stays(const struct world *w, uint32_t row)
{
        return world_state(w, row) > WORKER_READY || w->workers[row].paused;
}

void world_is_ready(struct world *w, uint32_t row, uint32_t capacity)
{
        struct world_worker *v = &w->workers[row];

        world_expect(w, capacity > 0 || v->capacity > 0);
        v->paused = capacity == 0;
        if (capacity > 0)
                v->capacity = MIN(capacity, w->settings.connections_per_worker);
}

void world_ready(struct world *w, uint32_t row, uint32_t capacity)
{
        struct world_worker *v = &w->workers[row];
        uint32_t features = v->number & WORLD_OFFERS;

        world_hear_list(w, row);
        if (world_state(w, row) == WORKER_STARTING) {
                w->workers[row].idle_since = w->now;
                w->workers[row].answered_at = w->now;
        }
        v->mute = true; /* until it was heard */
        v->stays = world_stays(w, row);
        v->resuming = v->paused ? capacity : 0;
        if (pool_ready(&w->pool, row, capacity, features, w->now) != 0)
                world_kill(w, row);
        else
                world_is_ready(w, row, capacity);
        v->resuming = 0;
        v->blocked_until = 0;
        v->mute = false;
        world_settle(w);
}

void world_receive(struct world *w, uint32_t row, size_t n)
{
        struct world_worker *v = &w->workers[row];

        for (; n > 0 && v->n_queue > 0 && v->n_held < WORLD_HELD_MAX; n--) {
                struct world_item item = world_take_from_queue(v);

                if (item.id == 0) {
                        if (!item.drain)
                                world_answer(w, v, &item);
                } else if (!item.settled) {
                        v->held[v->n_held++] = item.id;
                }
        }
        world_settle(w);
}

static void expect_done(struct world *w, uint32_t row, uint64_t id, bool failed)
{
        struct world_worker *v = &w->workers[row];

        w->n_finished++;
        v->saying = id;
        v->saying_failed = failed;
        v->stays = world_stays(w, row);
        if (failed)
                world_expect(w, pool_failed(&w->pool, row, id) == 0);
        else
                world_expect(w, pool_done(&w->pool, row, id) == 0);
        v->saying = 0;
        w->expected.done += !failed;
        w->expected.failed += failed;
        w->workers[row].served |= !failed;
        w->workers[row].idle_since = w->now;
        world_settle(w);
}

static void finish(struct world *w, uint32_t row, size_t k, bool failed)
{
        struct world_worker *v = &w->workers[row];
        uint64_t id = v->held[k];

        world_hear_list(w, row);
        v->held[k] = v->held[--v->n_held];
        expect_done(w, row, id, failed);
}

void world_done(struct world *w, uint32_t row, size_t k)
{
        finish(w, row, k, false);
}

void world_failed(struct world *w, uint32_t row, size_t k)
{
        finish(w, row, k, true);
}

void world_done_unreceived(struct world *w, uint32_t row, size_t k)
{
        struct world_item *item = &w->workers[row].queue[k];

        world_hear_list(w, row);
        if (item->id == 0)
                return;
        if (item->settled) {
                world_done_bad(w, row, item->id);
                return;
        }
        item->settled = true;
        expect_done(w, row, item->id, false);
}

void world_done_bad(struct world *w, uint32_t row, uint64_t id)
{
        struct pool_worker *p = &w->pool.workers[row];
        uint64_t excuses;
        bool old;

        world_hear_list(w, row);
        excuses = p->excuses;
        old = slot_id_was_given(id, w->pool.adopted_serial) && p->adopted;
        world_expect(w, pool_done(&w->pool, row, id) == (old ? 0 : POOL_FOREIGN_ID));
        p->excuses = excuses; /* for what it may honestly say */
        if (!old)
                world_kill(w, row);
        world_settle(w);
}

void world_exit(struct world *w, uint32_t row)
{
        world_hear_list(w, row); /* its last words */
        w->workers[row].alive = false;
        (void)pool_exited(&w->pool, row, w->now);
        if (pool_count_waiting(&w->pool, row, (uint32_t)w->workers[row].n_queue) == 0) {
                world_expect(w, world_count_waiting(w, row) == 0);
                world_bury(w, row);
        }
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

void world_stop(struct world *w)
{
        pool_stop(&w->pool, w->now);
        world_settle(w);
}

/* --- Changes by the administrator --- */

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
        s->workers_spare = world_random(w, 5);
        s->recycle_age = world_chance(w, 128) ? USEC_INFINITY : 1000 + world_random(w, 10000000);
        s->recycle_memory = world_chance(w, 128) ? UINT64_MAX : 1 + world_random(w, 1 << 22);
        s->recycle_after = world_chance(w, 128) ? 0 : 1 + world_random(w, 20);
        s->worker_idle_timeout = 1000 + world_random(w, 1000000);
        s->exit_idle_time = world_chance(w, 128) ? USEC_INFINITY : 1000 + world_random(w, 1000000);
        s->reload_drain_timeout = world_chance(w, 128) ? USEC_INFINITY : world_random(w, 1000000);
        world_change_limits(w);
        pool_settings_changed(&w->pool);
        world_settle(w);
}

void world_try(struct world *w)
{
        w->generations = true;
        pool_rouse(&w->pool);
        pool_try(&w->pool, &w->settings);
        world_settle(w);
}

void world_end_trial(struct world *w, bool commit)
{
        if (commit)
                pool_commit(&w->pool);
        else
                pool_abandon(&w->pool);
        world_settle(w);
}

/* --- Looking --- */

enum worker_state world_state(const struct world *w, uint32_t row)
{
        return w->rows[row].state;
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
