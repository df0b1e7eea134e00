/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool-deeds.h"
#include "world.h"

/* Between the files of the world. */

/* Carries out all that is to be decided now. */
void world_settle(struct world *w);

/* Opens the pool on the world's memory, as it is. */
void world_open_pool(struct world *w);

/* The queue of a dead worker is empty, or gone. */
void world_bury(struct world *w, uint32_t row);

/* A question is sent, and received. */
void world_ask(struct world *w, uint32_t row, bool list);
void world_answer(struct world *w, struct world_worker *v, const struct world_item *question);
void world_hear_list(struct world *w, uint32_t row);

/* Queues are looked at. */
void world_sample(struct world *w);

void world_kill(struct world *w, uint32_t row);

/* What pool_carry_out() does here. */
extern const struct pool_deeds world_deeds;

#define WORLD_PAUSE_USEC (100 * USEC_PER_MSEC) /* without descriptors */

/* What is in hand is sent to whoever has credit. */
void world_hand_over(struct world *w);

/* The connection that was just accepted comes from somebody. Returns whether it may be served; else
 * it is refused. */
bool world_admit(struct world *w, struct slot *slot);

/* What must hold of them after each event. */
void world_check_sources(struct world *w);

/* What is in hand as the last one is refused. */
void world_refuse_last(struct world *w, enum refusal reason);

/* The first record leaves the queue. */
struct world_item world_take_from_queue(struct world_worker *v);

/* The worker's READY was heard. */
void world_is_ready(struct world *w, uint32_t row, uint32_t capacity);

/* Where the dispatcher dies with what the worker just said, the next one hears it, too. */
bool world_stays(const struct world *w, uint32_t row);

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

/* Nobody was there for as long as it takes. */
void world_check_may_rest(struct world *w);

/* The chosen worker has credit, and it is its turn. */
void world_check_choice(struct world *w, uint32_t row);

/* Take back starts with a dead worker, and only against a credit or without any hope. */
void world_check_is_first_to_take_back(struct world *w, uint32_t row);
