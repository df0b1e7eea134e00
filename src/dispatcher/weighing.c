/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How large workers are, for RecycleMemory=. Whom to weigh, and what follows, is the pool's matter.
 */

#include "dispatcher/weighing.h"
#include "os/memory.h"

void weighing_do(struct pool *pool)
{
        int64_t row;

        while ((row = pool_next_to_weigh(pool)) >= 0)
                pool_weighed(pool, (uint32_t)row, memory_measure(pool->workers[row].record->pid),
                        usec_now());
        pool_weighing_done(pool, usec_now());
}
