/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "world.h"

/* What may happen to a world. */

/* Random ones, of sane kinds. */
void weather_make_settings(struct world *w);

/* Everything that can happen does; with w->generations also reloads. */
void weather_storm(struct world *w, int events);

/* All that still waits is served: nothing is stuck. */
void weather_calm(struct world *w);

/* The pool becomes as small as it may. */
void weather_shrink(struct world *w);

/* Nobody does anything but die of SIGKILL; or everybody does what it should. */
void weather_stop(struct world *w);

/* Runs an episode for each seed from 1 to `n`, or to $POOL_EPISODES; or for $POOL_SEED alone. */
void weather_run(void (*run_episode)(uint64_t seed), uint64_t n);
