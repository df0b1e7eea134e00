/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "world.h"

/*
 * The dispatcher of a world crashes, and another one takes over what is left: the pool's memory,
 * the workers with their queues, and nothing else.
 */

typedef void world_deed(struct world *w, void *userdata);

/*
 * Does `deed`, and stops it before the store number `fuse` (from 0) into the pool's memory, as a
 * SIGKILL would. Returns false where there were fewer. Where this machine cannot stop at a store,
 * it stops behind the deed.
 */
bool world_run(struct world *w, uint64_t fuse, world_deed *deed, void *userdata);

/* How a dispatcher ends. */
enum world_end {
        WORLD_TORN,  /* anywhere: after world_run() */
        WORLD_CRASH, /* between two events */
        WORLD_EXEC,  /* the same, and what it had in hand goes on: a reload */
};

/* Another dispatcher adopts. */
void world_adopt(struct world *w, enum world_end end);

/* At the end: the counters are right, but for what each crash may cost. */
void world_check_truth(struct world *w);
