/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "world.h"

/* Between world.c and world-check.c. */

/* Carries out all that is to be decided now. */
void world_settle(struct world *w);

/* Asks the pool, twice: the answer is the same while nothing was carried out. */
void world_decide(struct world *w);

/* What must hold after each event. */
void world_check(struct world *w);

/* Nothing is accepted without a credit, or while something older waits. */
void world_check_may_accept(struct world *w);

/* The worker may go: it was idle for long enough, and nobody misses it; or it has had its
 * connections, nobody else goes, and there is one in its place. */
void world_check_may_retire(struct world *w, uint32_t row);
void world_check_may_recycle(struct world *w, uint32_t row);

/* The chosen worker has credit, and it is its turn. */
void world_check_choice(struct world *w, uint32_t row);

/* Take back starts with a dead worker, and only against a credit or without any hope. */
void world_check_is_first_to_take_back(struct world *w, uint32_t row);
