/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool.h"

/*
 * Limits for whom connections come from.
 */

/*
 * The connection in `slot`, just accepted while `asks_source` was set, comes from `source`. Returns
 * whether it may be served; else it is to be closed, and pool_refused() with *ret_reason.
 *
 * What was accepted while no limit was set counts for nobody, since nobody had asked.
 */
bool pool_admit(struct pool *pool, struct slot *slot, const struct source *source,
        enum refusal *ret_reason);

/* Returns how many refused connections of this source are to be told now, or 0: once in 10 seconds,
 * what came since. */
uint64_t pool_take_untold(struct pool *pool, const struct source *source, usec_t now);
