/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The pool under random events: src/policy/pool.c, pool-decide.c. A storm, in which everything that
 * can happen does; then calm weather, in which all that still waits must be served; then a stop.
 *
 * A failure names its seed: `POOL_SEED=123 test-pool-random` runs that one alone. POOL_EPISODES=
 * sets how many seeds are tried.
 */

#include <signal.h>
#include <unistd.h>

#include "world-weather.h"

#define EPISODES     600
#define STORM_EVENTS 2500

static uint64_t current_seed; /* for on_abort() */

static void run_episode(uint64_t seed)
{
        struct world w = { .random = seed };

        current_seed = seed;
        weather_make_settings(&w);
        world_init(&w, seed);
        weather_storm(&w, STORM_EVENTS / 2);
        weather_calm(&w);
        weather_shrink(&w);
        weather_storm(&w, STORM_EVENTS / 2);
        if (world_chance(&w, 128))
                weather_calm(&w);
        weather_stop(&w);
        world_deinit(&w);
}

static void test_random(void **state _unused_)
{
        weather_run(run_episode, EPISODES);
}

/* An assertion of the pool itself. */
static void on_abort(int signo _unused_)
{
        char line[64];
        int n = snprintf(line, sizeof(line), "seed %llu\n", (unsigned long long)current_seed);

        (void)!write(STDERR_FILENO, line, (size_t)n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random),
        };

        (void)signal(SIGABRT, on_abort);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
