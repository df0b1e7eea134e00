/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The pool in storms in which its dispatcher crashes before any store into its memory, also while
 * it adopts, and is adopted: src/policy/pool-open.c, and the order of steps in pool.c and slots.c.
 * Afterwards, all that waits is served, and the counters are right.
 *
 * A failure names its seed: `POOL_SEED=123 test-pool-crash` runs that one alone. POOL_EPISODES=
 * sets how many seeds are tried.
 */

#include "world-crash.h"
#include "world-weather.h"

#define EPISODES     250
#define CRASHES      12
#define STORM_EVENTS 120

static void storm(struct world *w, void *userdata _unused_)
{
        weather_storm(w, STORM_EVENTS);
}

static void adopt(struct world *w, void *userdata)
{
        world_adopt(w, *(const enum world_end *)userdata);
}

/* A life of a dispatcher, and its end. */
static enum world_end live(struct world *w)
{
        /* soon, or somewhere in the storm */
        uint64_t fuse = world_random(w, world_chance(w, 128) ? 20 : 2000);

        w->generations = w->generations || world_chance(w, 64);
        if (world_run(w, fuse, storm, NULL))
                return WORLD_TORN;

        return world_chance(w, 128) ? WORLD_CRASH : WORLD_EXEC;
}

static void run_episode(uint64_t seed)
{
        static struct world w;

        w = (struct world){ .random = seed };
        weather_make_settings(&w);
        world_init(&w, seed);
        w.set_lost = 4;
        w.vanishes = 8;

        for (int i = 0; i < CRASHES; i++) {
                enum world_end end = live(&w);

                while (world_run(
                        &w, world_random(&w, world_chance(&w, 64) ? 30 : 100000), adopt, &end))
                        end = WORLD_TORN;
        }

        weather_calm(&w);
        world_check_truth(&w);
        weather_stop(&w);
        world_check_truth(&w);
        world_deinit(&w);
}

static void test_crashes(void **state _unused_)
{
        weather_run(run_episode, EPISODES);
}

/* --- Directed --- */

static void turn_away(struct world *w, void *userdata _unused_)
{
        pool_turned_away(&w->pool);
}

/* After a crash between its two counters, it was counted as what had ended last. */
static void test_turned_away_is_counted_as_refused(void **state _unused_)
{
        static struct world w;
        bool stopped = true;

        for (uint64_t fuse = 0; stopped; fuse++) {
                world_default_settings(&w, 1, 4);
                world_init(&w, 0);
                world_ready(&w, 0, 4);
                w.backlog = 1;
                assert_int_equal(world_accept(&w, 1), 1);
                world_receive(&w, 0, 1);
                world_done(&w, 0, 0);
                stopped = world_run(&w, fuse, turn_away, NULL);
                world_adopt(&w, WORLD_TORN);
                assert_int_equal(w.state.counters.done, 1);
                assert_int_equal(
                        w.state.counters.refused[REFUSED_STOPPING], w.state.counters.accepted - 1);
                world_deinit(&w);
                assert_true(fuse < 10);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_crashes),
                cmocka_unit_test(test_turned_away_is_counted_as_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
