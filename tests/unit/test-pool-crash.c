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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_crashes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
