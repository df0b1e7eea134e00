/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rest: a pool without a connection for ExitIdleTimeSec= ends its workers, and is finished when the
 * last one is gone. Until then nothing is given up for good. Whoever comes rouses it, and is served
 * as in a pool whose workers have just been lost; so a worker that is slow to end keeps no client
 * waiting.
 *
 * Nothing here runs on the way of a connection: it is looked by time whether there was one.
 */

#include "policy/pool-inside.h"

/* It is looked so often in ExitIdleTimeSec=: the rest begins by up to two of these times later. */
#define LOOKS 8U

/* Somebody has a use for the workers, although no connection is there: those who wait for a
 * descriptor, or until workers start again; a reload. */
static bool is_wanted(const struct pool *pool)
{
        return pool->stays || pool->state->trial || pool->paused_until != 0 ||
               pool->census[KIND_STARTING] > 0 || backoff_is_failing(&pool->backoff);
}

/* Connections that came and went since the last look are known by their number. One that is open
 * may end right after this look, so the next one still counts it. */
static void look(struct pool *pool, usec_t now)
{
        bool is_used = pool->slots.n_used > 0;
        bool was_used = is_used || pool->quiet_mark != pool->counters->accepted;

        if (was_used || pool->quiet_since == 0)
                pool->quiet_since = now;
        pool->quiet_mark = pool->counters->accepted - is_used;
        pool->is_quiet = now - pool->quiet_since >= pool->settings->exit_idle_time;
        pool->rest_look_at = usec_add(now, pool->settings->exit_idle_time / LOOKS);
}

void pool_decide_rest(struct pool *pool, usec_t now, struct pool_decision *d)
{
        if (pool->settings->exit_idle_time == USEC_INFINITY || pool->stopping || pool->rests) {
                pool->rest_look_at = 0;
                pool->is_quiet = false;
                return;
        }

        if (now >= pool->rest_look_at)
                look(pool, now);
        pool_wake(d, pool->rest_look_at);

        if (!pool->is_quiet || pool->slots.n_used > 0 ||
                pool->quiet_mark != pool->counters->accepted || is_wanted(pool))
                return;

        if (d->n_actions == 0)
                pool_act(pool, d, (struct pool_action){ .type = POOL_REST });
        else
                pool->dirty = true; /* these first: a worker may be among them that starts */
}

void pool_rest(struct pool *pool, usec_t now)
{
        pool->rests = true;
        pool->dirty = true;
        pool_limit_drains(pool, usec_add(now, pool->settings->drain_timeout));
}

void pool_rouse(struct pool *pool)
{
        pool->rests = pool->is_quiet = false;
        pool->quiet_since = 0;
        pool->dirty = true;
}

void pool_set_stays(struct pool *pool, bool stays)
{
        pool->stays = stays;
        pool_rouse(pool);
}
