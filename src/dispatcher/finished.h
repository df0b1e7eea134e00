/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/channel.h"
#include "policy/pool.h"

/*
 * Memory in which a worker notes what it has finished, so that its death does not make that lost,
 * and what is idle.
 */

/* Shares it with the worker in this row, if that took the feature. Without it, what the worker has
 * finished and not told counts as lost when it dies. */
void finished_share(struct pool *pool, uint32_t row, struct channel *channel);

/* How many of the `lost` that a dead worker had were idle, as it had noted. */
uint32_t finished_count_idle(const struct channel *channel, uint32_t lost);

/* The worker is dead, and what it said is heard: what it only noted is done, too. */
void finished_hear(struct pool *pool, uint32_t row, const struct channel *channel);
