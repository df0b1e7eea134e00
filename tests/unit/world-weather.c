/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random events for a world.
 */

#include "world-weather.h"
#include "world-check.h"

#define WEATHER_EVENTS 250 /* then it changes */
#define CALM_CLIENTS   20
#define CALM_STEPS     30000 /* a look at queues each 2.5 ms, two steps each, in 30 s: 24,000 */

/* --- Settings and weather --- */

static usec_t pick(struct world *w, const usec_t *choice, size_t n)
{
        return choice[world_random(w, (uint32_t)n)];
}

void weather_make_settings(struct world *w)
{
        static const usec_t restart[] = { 1000, 20000, 100000, 1000000 };
        static const usec_t timeout[] = { 1000, 50000, 1000000, 30000000 };
        static const usec_t idle[] = { 1000, 50000, 1000000, 60000000, USEC_INFINITY };
        static const usec_t queue[] = { 50000, 1000000, USEC_INFINITY };
        static const usec_t watchdog[] = { 0, 20000, 1000000, 30000000 };
        static const usec_t drain[] = { 0, 1000, 1000000, 30000000, USEC_INFINITY };

        world_default_settings(w, 1 + world_random(w, 6), UINT32_MAX);
        w->settings.max_connections = 1 + world_random(w, 40);
        if (world_chance(w, 128))
                w->settings.max_connections = WORLD_SLOTS_MAX;
        if (world_chance(w, 64))
                w->settings.connections_per_worker = 1 + world_random(w, 4);
        if (world_chance(w, 128))
                w->settings.distribute = DISTRIBUTE_ROUND_ROBIN;
        w->settings.restart = pick(w, restart, ELEMENTSOF(restart));
        w->settings.restart_max_delay = pick(w, restart, ELEMENTSOF(restart));
        if (w->settings.restart_max_delay < w->settings.restart)
                w->settings.restart_max_delay = w->settings.restart;
        w->settings.timeout_start = pick(w, timeout, ELEMENTSOF(timeout));
        w->settings.timeout_stop = pick(w, timeout, ELEMENTSOF(timeout));
        w->settings.queue_timeout = pick(w, queue, ELEMENTSOF(queue));
        w->settings.watchdog = pick(w, watchdog, ELEMENTSOF(watchdog));
        w->settings.drain_timeout = pick(w, drain, ELEMENTSOF(drain));
        w->settings.reload_drain_timeout = pick(w, drain, ELEMENTSOF(drain));
        w->settings.worker_idle_timeout = pick(w, idle, ELEMENTSOF(idle));
        if (world_chance(w, 64))
                w->settings.exit_idle_time = pick(w, idle, ELEMENTSOF(idle));
        if (world_chance(w, 128))
                w->settings.workers_max += world_random(w, 7);
        if (world_chance(w, 64))
                w->settings.workers_spare = world_random(w, 1 + w->settings.workers_max);
        if (world_chance(w, 128))
                w->settings.recycle_after = 1 + world_random(w, 12);
        world_change_limits(w);
        if (world_chance(w, 64))
                w->settings.recycle_age = 1000 + world_random(w, 10000000);
        if (world_chance(w, 64))
                w->settings.recycle_memory = 1 + world_random(w, 1 << 22);
}

enum event {
        CLIENTS_COME,
        ACCEPT,
        SAY_READY,
        RECEIVE,
        SAY_DONE,
        SAY_DONE_UNRECEIVED,
        SAY_DONE_BAD,
        SAY_PONG,
        SAY_PONG_BAD,
        EXIT,
        EXIT_WHEN_TOLD,
        PASS_TIME,
        WAIT_FOR_TIMER,
        EVENTS,
};

struct weather {
        uint32_t weight[EVENTS];
        uint32_t capacity_max;
        unsigned spawn_fails, no_descriptor, channel_full, channel_gone;
};

static const struct weather weathers[] = {
        /*          come acc rdy rcv done unrc bad pong bad exit told pass wait */
        /* fair */
        { { 10, 20, 10, 20, 20, 0, 0, 20, 0, 0, 10, 5, 5 }, 8, 0, 0, 0, 0 },
        /* busy, with channels that fill */
        { { 40, 30, 10, 15, 15, 0, 0, 15, 0, 1, 10, 5, 2 }, 16, 0, 0, 40, 0 },
        /* workers that crash with what they hold, or with full queues */
        { { 10, 20, 10, 10, 10, 0, 0, 10, 0, 8, 10, 5, 5 }, 8, 30, 0, 10, 0 },
        { { 20, 40, 20, 0, 0, 0, 0, 5, 0, 15, 10, 5, 8 }, 12, 0, 0, 0, 0 },
        { { 20, 40, 20, 0, 0, 0, 0, 5, 0, 15, 10, 5, 25 }, 2, 0, 0, 0, 0 },
        /* hostile */
        { { 10, 20, 20, 10, 5, 10, 2, 10, 2, 4, 10, 5, 5 }, 8, 0, 0, 10, 5 },
        /* out of everything */
        { { 10, 20, 10, 10, 10, 0, 0, 10, 0, 4, 10, 5, 5 }, 4, 128, 100, 60, 0 },
        /* hung */
        { { 10, 20, 2, 2, 1, 0, 0, 1, 0, 0, 2, 5, 10 }, 8, 0, 0, 0, 0 },
        { { 10, 20, 10, 2, 3, 0, 0, 2, 0, 0, 5, 5, 15 }, 8, 0, 20, 10, 0 },
};

static const struct weather *change_weather(struct world *w)
{
        const struct weather *weather = &weathers[world_random(w, ELEMENTSOF(weathers))];

        w->spawn_fails = weather->spawn_fails;
        w->no_descriptor = weather->no_descriptor;
        w->channel_full = weather->channel_full;
        w->channel_gone = weather->channel_gone;
        w->told = w->grows = 128;
        w->burst = world_chance(w, 128) ? 64 : 1 + (int)world_random(w, 4);

        return weather;
}

static enum event pick_event(struct world *w, const struct weather *weather)
{
        uint32_t sum = 0, x;

        for (size_t i = 0; i < EVENTS; i++)
                sum += weather->weight[i];
        x = world_random(w, sum);
        for (size_t i = 0; i < EVENTS; i++) {
                if (x < weather->weight[i])
                        return (enum event)i;
                x -= weather->weight[i];
        }

        return PASS_TIME;
}

/* --- The storm --- */

/* A worker that runs and may still be heard, or -1. */
static int64_t pick_worker(struct world *w)
{
        for (int tries = 0; tries < 4; tries++) {
                uint32_t row = world_random(w, w->pool.n_rows);

                if (w->workers[row].alive && world_state(w, row) != WORKER_KILLED)
                        return row;
        }

        return -1;
}

/* One that was ready may pause. */
static uint32_t pick_capacity(struct world *w, bool said_ready, uint32_t max)
{
        return said_ready && world_chance(w, 128) ? 0 : 1 + world_random(w, max);
}

static void worker_event(struct world *w, enum event event, uint32_t row, uint32_t capacity_max)
{
        const struct world_worker *v = &w->workers[row];
        bool said_ready = world_state(w, row) != WORKER_STARTING;

        switch (event) {
        case SAY_READY:
                /* seldom again */
                if ((!said_ready && !v->mute) || (said_ready && world_chance(w, 32)))
                        world_ready(w, row, pick_capacity(w, said_ready, capacity_max));
                return;
        case RECEIVE:
                world_receive(w, row, 1 + world_random(w, 3));
                return;
        case SAY_DONE:
                if (v->n_held > 0)
                        (world_chance(w, 32) ? world_failed : world_done)(
                                w, row, world_random(w, (uint32_t)v->n_held));
                return;
        case SAY_DONE_UNRECEIVED:
                if (v->n_queue > 0)
                        world_done_unreceived(w, row, world_random(w, (uint32_t)v->n_queue));
                return;
        case SAY_DONE_BAD:
                world_done_bad(w, row, world_random(w, 1u << 31));
                return;
        case SAY_PONG:
                if (v->n_said > 0)
                        world_pong(w, row);
                return;
        case SAY_PONG_BAD:
                world_pong_bad(w, row, world_random(w, 1u << 31));
                return;
        case EXIT:
                world_exit(w, row);
                return;
        case CLIENTS_COME:
        case ACCEPT:
        case EXIT_WHEN_TOLD:
        case PASS_TIME:
        case WAIT_FOR_TIMER:
        case EVENTS:
        default:
                return;
        }
}

/* One worker that was sent a signal ends. */
static bool exit_when_told(struct world *w, enum worker_state state)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                if (world_state(w, i) == state) {
                        world_exit(w, i);
                        return true;
                }

        return false;
}

static void happen(struct world *w, const struct weather *weather, enum event event)
{
        static const enum worker_state told[] = { WORKER_DRAINING, WORKER_TERMINATING,
                WORKER_ABORTED, WORKER_KILLED };
        int64_t row;

        switch (event) {
        case CLIENTS_COME:
                w->backlog += 1 + world_random(w, 4);
                return;
        case ACCEPT:
                (void)world_accept(w, 1 + world_random(w, 16));
                return;
        case EXIT_WHEN_TOLD:
                (void)exit_when_told(w, told[world_random(w, ELEMENTSOF(told))]);
                return;
        case PASS_TIME:
                world_pass(w, world_random(w, world_chance(w, 32) ? 2000000 : 5000));
                return;
        case WAIT_FOR_TIMER:
                if (w->timer != USEC_INFINITY)
                        world_wait(w);
                return;
        case SAY_READY:
        case RECEIVE:
        case SAY_DONE:
        case SAY_DONE_UNRECEIVED:
        case SAY_DONE_BAD:
        case SAY_PONG:
        case SAY_PONG_BAD:
        case EXIT:
        case EVENTS:
        default:
                row = pick_worker(w);
                if (row >= 0)
                        worker_event(w, event, (uint32_t)row, weather->capacity_max);
                return;
        }
}

/* A trial begins, or ends as its worker did; seldom it is given up early. */
static void reload(struct world *w)
{
        bool ready = false;

        if (!w->state.trial) {
                world_try(w);
                return;
        }

        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                ready = ready ||
                        (world_state(w, i) == WORKER_READY && pool_is_on_trial(&w->pool, i));
        if (ready || world_chance(w, 64))
                world_end_trial(w, ready);
}

static void end_storm(struct world *w)
{
        w->spawn_fails = w->no_descriptor = w->channel_full = w->channel_gone = 0;
        if (w->state.trial)
                world_end_trial(w, false);
}

void weather_storm(struct world *w, int events)
{
        const struct weather *weather = NULL;

        for (int i = 0; i < events; i++) {
                if (i % WEATHER_EVENTS == 0)
                        weather = change_weather(w);
                if (world_random(w, 500) == 0)
                        world_change_settings(w);
                if (w->generations && world_random(w, 100) == 0)
                        reload(w);
                happen(w, weather, pick_event(w, weather));
        }

        end_storm(w);
}

/* --- The calm: nothing is stuck --- */

/* Each worker does what it should. Returns whether anything happened. */
static bool behave(struct world *w, uint32_t row)
{
        switch (world_state(w, row)) {
        case WORKER_STARTING:
                if (w->workers[row].mute)
                        return false;
                world_ready(w, row, 1 + world_random(w, 3));
                return true;
        case WORKER_READY:
        case WORKER_DRAINING:
                if (world_state(w, row) == WORKER_READY && w->workers[row].paused) {
                        world_ready(w, row, 1 + world_random(w, 3));
                        return true;
                }
                if (w->workers[row].n_queue > 0)
                        world_receive(w, row, WORLD_QUEUE_MAX);
                if (w->workers[row].n_said > 0) {
                        world_pong(w, row); /* and may be told to drain, with a full queue */
                        return true;
                }
                if (w->workers[row].n_held > 0) {
                        world_done(w, row, 0);
                        return true;
                }
                if (world_state(w, row) == WORKER_READY)
                        return false;
                world_exit(w, row);
                return true;
        case WORKER_TERMINATING:
        case WORKER_ABORTED:
        case WORKER_KILLED:
                world_exit(w, row);
                return true;
        case WORKER_NONE:
        case WORKER_DEAD:
        case WORKER_STATES:
        default:
                return false;
        }
}

static bool behave_all(struct world *w)
{
        bool any = false;

        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                any = behave(w, i) || any;

        return world_accept(w, 16) > 0 || any;
}

static bool somebody_gets_nothing(const struct world *w)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                if (world_state(w, i) == WORKER_READY &&
                        (w->pool.workers[i].ignores_queue || w->pool.workers[i].taking_back))
                        return true;

        return false;
}

void weather_calm(struct world *w)
{
        usec_t begin = w->now, longest;
        int step;

        end_storm(w); /* one that a crash cut short */
        w->backlog += CALM_CLIENTS;
        for (step = 0; w->backlog > 0 || w->pool.slots.n_used > 0; step++) {
                world_expect(w, step < CALM_STEPS);
                if (!behave_all(w))
                        world_wait(w);
        }

        /* Nothing was late but by the delay of failed starts, and a pause; or by a worker whose
         * READY was lost in a crash. */
        longest = w->settings.restart_max_delay + USEC_PER_SEC;
        if (w->n_crashes > 0)
                longest += w->settings.timeout_start + w->settings.timeout_stop;
        world_expect(w, w->now - begin <= longest);
        world_expect(w, world_count(w, WORKER_READY) > 0);

        /* Who reads and answers gets something again. */
        for (step = 0; somebody_gets_nothing(w); step++) {
                world_expect(w, step < 10);
                if (!behave_all(w) && somebody_gets_nothing(w))
                        world_wait(w);
        }
}

/* Nobody comes any more: the pool gets as small as it may be, and not smaller. */
void weather_shrink(struct world *w)
{
        uint32_t smallest = MIN(w->settings.workers_spare, w->settings.workers_max);
        usec_t begin = w->now;
        int step = 0;

        smallest = MAX(smallest, w->settings.workers);
        /* PINGs would make a long time many steps */
        if (w->settings.worker_idle_timeout > USEC_PER_SEC)
                return;
        /* nor is there an end of successors, which have not been idle for long */
        if (w->settings.recycle_age != USEC_INFINITY || w->settings.recycle_memory != UINT64_MAX)
                return;

        do {
                uint64_t n = w->n_spawns;

                world_expect(w, step++ < CALM_STEPS);
                if (!behave_all(w) && w->timer != USEC_INFINITY)
                        world_wait(w);
                if (w->n_spawns != n)
                        begin = w->now;
        } while (
                w->timer != USEC_INFINITY && w->now - begin <= 2 * w->settings.worker_idle_timeout);

        /* while starts fail, one is tried at a time, and the next when that has served */
        if (backoff_is_failing(&w->pool.backoff))
                return;
        if (!w->pool.rests)
                world_expect(w, world_count(w, WORKER_READY) == smallest);
        else if (!w->pool.dirty)
                world_expect(w, world_count(w, WORKER_READY) == 0);
}

/* --- The end --- */

/* Nobody does anything but die of SIGKILL. */
static void stop_hung(struct world *w)
{
        usec_t begin = w->now, longest;

        world_stop(w);
        if (w->settings.drain_timeout == USEC_INFINITY) {
                world_expect(w, !w->finished || w->n_spawns > 0);
                world_stop(w);
                longest = w->settings.timeout_stop;
        } else {
                longest = w->settings.drain_timeout + w->settings.timeout_stop;
        }

        for (int step = 0; !w->finished; step++) {
                world_expect(w, step < CALM_STEPS);
                if (!exit_when_told(w, WORKER_KILLED))
                        world_wait(w);
        }
        world_expect(w, w->now - begin <= longest + USEC_PER_SEC);
}

/* Everybody does what it should: no time passes but what a delay or pause takes. */
static void stop_well(struct world *w)
{
        usec_t begin = w->now;
        uint64_t refused = w->expected.refused[REFUSED_STOPPING];
        bool can_serve = w->settings.drain_timeout >= USEC_PER_SEC &&
                         world_count(w, WORKER_STARTING) + world_count(w, WORKER_READY) > 0 &&
                         world_count(w, WORKER_TERMINATING) + world_count(w, WORKER_KILLED) == 0;

        world_stop(w);
        for (int step = 0; !w->finished; step++) {
                world_expect(w, step < CALM_STEPS);
                if (!behave_all(w))
                        world_wait(w);
        }
        if (w->n_crashes > 0)
                return;
        world_expect(w, w->now - begin <= USEC_PER_SEC);
        if (can_serve)
                world_expect(w, w->expected.refused[REFUSED_STOPPING] == refused);
}

void weather_stop(struct world *w)
{
        if (world_chance(w, 128))
                stop_well(w);
        else
                stop_hung(w);
}

/* --- Episodes --- */

void weather_run(void (*run_episode)(uint64_t seed), uint64_t n)
{
        const char *one = getenv("POOL_SEED"), *episodes = getenv("POOL_EPISODES");

        if (episodes)
                n = strtoull(episodes, NULL, 10);
        if (one)
                run_episode(strtoull(one, NULL, 10));
        for (uint64_t seed = 1; !one && seed <= n; seed++)
                run_episode(seed);
}
