/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What workers have finished and not told, and what is idle. A worker may write there what it
 * likes: only ids of its own connections are taken from it, and it could as well say DONE for
 * those; and no more is idle than is lost with it.
 */

#include "dispatcher/finished.h"

void finished_share(struct pool *pool, uint32_t row, struct channel *channel)
{
        if (pool->workers[row].record->features & RECORD_FEATURE_FINISHED &&
                channel_share_finished(channel) == 0)
                pool_told(pool, row);
}

void finished_hear(struct pool *pool, uint32_t row, const struct channel *channel)
{
        for (size_t i = 0; channel->finished && i < FINISHED_MAX; i++) {
                uint64_t id = channel->finished->ids[i];

                if (pool_has(pool, row, id))
                        (void)pool_done(pool, row, id);
        }
}

uint32_t finished_count_idle(const struct channel *channel, uint32_t lost)
{
        return channel->finished ? (uint32_t)MIN(channel->finished->idle, lost) : 0;
}
