/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The status line and its timer, the watchdog's, and what is told of how workers start. It changes
 * nothing in the pool, and must not know of the dispatcher.
 */

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "base/words.h"
#include "dispatcher/health.h"
#include "os/notify.h"

#define STATUS_INTERVAL_USEC USEC_PER_SEC

/* While starting and stopping, more time is asked for this often, for this long: how long workers
 * may take is for their own timeouts to say. */
#define EXTEND_INTERVAL_USEC (2 * USEC_PER_SEC)
#define EXTEND_USEC          (15 * USEC_PER_SEC)

bool health_is_degraded(const struct health *h, const struct pool_figures *figures)
{
        const uint32_t *n = h->pool->census;
        bool none = h->is_ready && !h->pool->stopping && !h->pool->rests &&
                    n[KIND_READY] + n[KIND_STARTING] == 0;

        return none || (h->trouble[0] && figures->workers_ready < h->pool->settings->workers);
}

/* Appends what is wrong, in words. */
static void format_trouble(const struct health *h, const struct pool_figures *f, char *text)
{
        const char *trouble = "";

        if (health_is_degraded(h, f)) {
                (void)snprintf(text, STATUS_MAX / 2, "; workers fail: %s%s",
                        h->trouble[0] ? h->trouble : "none runs", h->is_silent ? HEALTH_HINT : "");
                return;
        }
        if (!h->pool->settings->accept) {
                (void)snprintf(text, STATUS_MAX / 2, "%s%s", h->sockets[0] ? "; " : "", h->sockets);
                return;
        }

        if (h->is_forbidden)
                trouble = "; accepting a connection is not permitted, new ones wait";
        else if (h->is_exhausted)
                trouble = "; out of descriptors or memory, new connections wait";
        else if (pool_is_held(h->pool))
                trouble = "; accepting is paused by acceptctl, new connections wait";
        else if (f->open >= h->pool->settings->max_connections)
                trouble = "; MaxConnections= reached, new connections wait";
        else if (f->workers_ready > 0 && h->pool->n_heap == 0)
                trouble = "; all workers are full, new connections wait";
        (void)snprintf(text, STATUS_MAX / 2, "%s%s", trouble[0] || !h->sockets[0] ? trouble : "; ",
                trouble[0] ? "" : h->sockets);
}

void health_format(const struct health *h, char *text)
{
        const struct counters *c = h->pool->counters;
        char trouble[STATUS_MAX / 2] = "", connections[STATUS_MAX / 4] = "", leaving[32] = "";
        struct pool_figures f;

        pool_get_figures(h->pool, &f);
        if (!h->pool->stopping)
                format_trouble(h, &f, trouble);
        if (h->pool->settings->accept)
                (void)snprintf(connections, sizeof(connections),
                        "; connections: %" PRIu32 " open, %" PRIu64 " done, %" PRIu64
                        " failed, %" PRIu64 " lost",
                        f.open, c->done, c->failed, c->lost);
        if (f.workers_leaving > 0)
                (void)snprintf(
                        leaving, sizeof(leaving), ", %" PRIu32 " draining", f.workers_leaving);
        (void)snprintf(text, STATUS_MAX, "%s%" PRIu32 "/%" PRIu32 " workers ready%s%s%s",
                h->pool->stopping ? "Stopping: " : "", f.workers_ready,
                MAX(f.workers - f.workers_leaving, h->pool->settings->workers), leaving,
                connections, trouble);
}

static void send_status(struct health *h)
{
        char text[STATUS_MAX];

        health_format(h, text);
        if (h->pool->stopping)
                notify_stopping(text, EXTEND_USEC);
        else if (!h->is_ready)
                notify_starting(text, EXTEND_USEC);
        else if (!streq(text, h->status))
                notify_status(text);
        memcpy(h->status, text, sizeof(text));
        h->status_sent_at = usec_now();
}

static void send_ready(struct health *h)
{
        char text[STATUS_MAX];

        health_format(h, text);
        notify_ready(text);
        h->status_sent_at = usec_now();
}

void health_ready(struct health *h)
{
        if (h->is_ready || h->pool->stopping)
                return;

        h->is_ready = true;
        send_ready(h);
}

void health_reloading(const struct health *h)
{
        if (h->is_ready)
                notify_reloading();
}

void health_reloaded(struct health *h)
{
        if (h->is_ready)
                send_ready(h);
}

static void arm(struct health *h, usec_t at)
{
        /* Without a timer the line is late, and nothing worse. */
        (void)sd_event_source_set_time(h->status_timer, at);
        (void)sd_event_source_set_enabled(h->status_timer, SD_EVENT_ONESHOT);
}

void health_stopping(struct health *h)
{
        send_status(h);
        arm(h, usec_add(usec_now(), EXTEND_INTERVAL_USEC));
}

void health_touch(struct health *h)
{
        if (h->status_is_due)
                return;

        h->status_is_due = true;
        arm(h, usec_add(h->status_sent_at, STATUS_INTERVAL_USEC));
}

void health_failing(struct health *h, const char *trouble, bool is_silent)
{
        if (!streq(trouble, h->trouble))
                journal_event(MESSAGE_POOL_DEGRADED,
                        JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", trouble)),
                        "Workers fail: %s%s. The next start waits, longer each time, up to "
                        "RestartMaxDelaySec=.",
                        trouble, is_silent ? HEALTH_HINT : "");
        h->is_silent = is_silent;
        (void)snprintf(h->trouble, sizeof(h->trouble), "%s", trouble);
        words_flatten(h->trouble); /* it is shown in a line, and a path in it may have any */
        h->n_failed++;
        health_ready(h);
}

void health_recovered(struct health *h)
{
        if (!h->trouble[0])
                return;

        h->trouble[0] = '\0';
        journal_event(MESSAGE_POOL_RECOVERED,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", h->n_failed)),
                "Workers start and serve again, after %" PRIu64 " failed start%s.", h->n_failed,
                h->n_failed == 1 ? "" : "s");
        h->n_failed = 0;
}

void health_log_counters(const struct pool *pool, enum message message)
{
        const struct counters *c = pool->counters;
        struct pool_figures f;

        if (!pool->settings->accept) {
                journal_event(message, NULL, "%s",
                        message == MESSAGE_STOPPED
                                ? "Stopped."
                                : "The workers accept by themselves (Accept=no): "
                                  "there are no counters.");
                return;
        }

        pool_get_figures(pool, &f);
        journal_event(message,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_ACCEPTED", c->accepted),
                        JOURNAL_NUMBER("ACCEPTD_OPEN", f.open),
                        JOURNAL_NUMBER("ACCEPTD_DONE", c->done),
                        JOURNAL_NUMBER("ACCEPTD_FAILED", c->failed),
                        JOURNAL_NUMBER("ACCEPTD_LOST", c->lost),
                        JOURNAL_NUMBER("ACCEPTD_LOST_IDLE", pool->state->lost_idle),
                        JOURNAL_NUMBER("ACCEPTD_REFUSED", f.refused),
                        JOURNAL_NUMBER("ACCEPTD_TAKEN_BACK", c->taken_back)),
                "%scounters: accepted=%" PRIu64 " open=%" PRIu32 " done=%" PRIu64 " failed=%" PRIu64
                " lost=%" PRIu64 " lost-idle=%" PRIu64 " refused=%" PRIu64 " taken-back=%" PRIu64,
                message == MESSAGE_STOPPED ? "Stopped; " : "", c->accepted, f.open, c->done,
                c->failed, c->lost, pool->state->lost_idle, f.refused, c->taken_back);
}

void health_log_stopping(const struct pool *pool)
{
        if (pool->settings->accept)
                journal_event(MESSAGE_STOPPING,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_OPEN", pool->slots.n_used)),
                        "Stopping, with %" PRIu32 " open connections.", pool->slots.n_used);
        else
                journal_event(MESSAGE_STOPPING, NULL, "Stopping.");
}

/* --- Timers --- */

static int on_watchdog(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
        struct health *h = userdata;
        int r;

        notify_watchdog();
        r = sd_event_source_set_time(source, usec_add(usec_now(), h->watchdog / 2));
        if (r < 0)
                return log_error_errno(r, "Cannot set a timer: %m");

        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct health *h = userdata;

        h->status_is_due = false;
        send_status(h);
        if (journal_report())
                health_touch(h);
        if (h->pool->stopping || !h->is_ready)
                arm(h, usec_add(usec_now(), EXTEND_INTERVAL_USEC));

        return 0;
}

/* Not sd_event_set_watchdog(), which has no message when there is no descriptor: notify.c. */
static int add_watchdog(struct health *h, struct loop *loop)
{
        int r;

        r = sd_watchdog_enabled(false, &h->watchdog);
        if (r <= 0)
                return r;
        r = loop_add_timer(loop, &h->watchdog_timer, on_watchdog, h);
        if (r < 0)
                return r;
        r = sd_event_source_set_time(h->watchdog_timer, 0);
        if (r < 0)
                return r;

        return sd_event_source_set_priority(h->watchdog_timer, PRIORITY_STOP);
}

int health_set_up(struct health *h, struct loop *loop)
{
        int r;

        r = loop_add_timer(loop, &h->status_timer, on_timer, h);
        if (r < 0)
                return r;

        return add_watchdog(h, loop);
}

void health_deinit(struct health *h)
{
        h->status_timer = sd_event_source_disable_unref(h->status_timer);
        h->watchdog_timer = sd_event_source_disable_unref(h->watchdog_timer);
}
