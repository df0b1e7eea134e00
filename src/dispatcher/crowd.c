/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A pool that is busy is full many times a second, and that is as it should be. So nothing is
 * counted on the way of a connection: while the pool is full, it is looked once a second whether
 * somebody waits. Twice in a row is a crowd, and ten seconds without anybody its end. Thus the
 * journal gets two messages in ten seconds, at most.
 */

#include <inttypes.h>

#include "dispatcher/crowd.h"
#include "os/journal.h"

#define LOOK_USEC USEC_PER_SEC
#define END_USEC  (10 * USEC_PER_SEC)

static bool is_full(const struct pool *pool)
{
        return pool->settings->accept && !pool->stopping && !pool_may_accept(pool);
}

/* Without any worker it is not full: that workers fail is told by health.c. */
static bool has_workers(const struct pool *pool)
{
        struct pool_figures figures;

        pool_get_figures(pool, &figures);
        return figures.workers_ready > 0;
}

static const char *name_reason(const struct pool *pool)
{
        if (pool->slots.n_used >= pool->settings->max_connections)
                return "MaxConnections= is reached";

        if (pool_is_held(pool))
                return "accepting is paused";

        return pool->paused_until ? "connections cannot be accepted" : "all workers are full";
}

static void tell_begin(struct crowd *c)
{
        const char *why = name_reason(c->pool);

        c->is_told = true;
        journal_event(MESSAGE_POOL_FULL,
                JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", why),
                        JOURNAL_NUMBER("ACCEPTD_OPEN", c->pool->slots.n_used)),
                "Clients wait: %s, with %" PRIu32 " open connections.", why, c->pool->slots.n_used);
}

static void tell_end(struct crowd *c)
{
        usec_t time = MAX(c->until - c->since, LOOK_USEC);
        char text[USEC_FORMAT_SIZE];

        if (c->is_told)
                journal_event(MESSAGE_POOL_HAS_ROOM,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_DURATION_USEC", time)),
                        "Nobody waits any more; clients had to for %s.",
                        usec_format(time / LOOK_USEC * LOOK_USEC, text));
        c->since = 0;
        c->is_told = false;
}

static void look_later(struct crowd *c)
{
        /* Without a timer it is told late, and nothing worse. */
        (void)sd_event_source_set_time(c->timer, usec_add(usec_now(), LOOK_USEC));
        (void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
        c->is_looking = true;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct crowd *c = userdata;
        usec_t now = usec_now();

        c->is_looking = false;
        if (is_full(c->pool) && has_workers(c->pool) &&
                listener_any_waits(c->listeners, c->n_listeners)) {
                if (c->since == 0)
                        c->since = now;
                else if (!c->is_told)
                        tell_begin(c);
                c->until = now;
                c->total += LOOK_USEC;
        } else if (c->since != 0 && (!c->is_told || now - c->until >= END_USEC)) {
                tell_end(c);
        }
        if (is_full(c->pool) || c->since != 0)
                look_later(c);

        return 0;
}

void crowd_touch(struct crowd *c)
{
        if (!c->is_looking && is_full(c->pool))
                look_later(c);
}

int crowd_set_up(struct crowd *c, struct loop *loop)
{
        return loop_add_timer(loop, &c->timer, on_timer, c);
}

void crowd_deinit(struct crowd *c)
{
        if (c->since != 0)
                tell_end(c);
        c->timer = sd_event_source_disable_unref(c->timer);
}
