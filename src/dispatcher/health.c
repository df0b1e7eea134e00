/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The status line and its timer. Called by dispatcher.c; changes nothing but the status fields of
 * the dispatcher.
 */

#include <inttypes.h>

#include "dispatcher/health.h"
#include "os/journal.h"
#include "os/notify.h"

#define STATUS_INTERVAL_USEC USEC_PER_SEC

/* While starting and stopping, more time is asked for this often, for this long: how long workers
 * may take is for their own timeouts to say. */
#define EXTEND_INTERVAL_USEC (2 * USEC_PER_SEC)
#define EXTEND_USEC          (15 * USEC_PER_SEC)

bool health_is_degraded(const struct dispatcher *d, const struct pool_figures *figures)
{
        return d->trouble[0] && figures->workers_ready < d->settings->workers;
}

/* Appends what is wrong, in words. */
static void format_trouble(const struct dispatcher *d, const struct pool_figures *f, char *text)
{
        const char *trouble = "";

        if (health_is_degraded(d, f)) {
                (void)snprintf(text, STATUS_MAX / 2, "; workers fail: %s", d->trouble);
                return;
        }

        if (d->exhausted)
                trouble = "; out of descriptors or memory, new connections wait";
        else if (f->open >= d->settings->max_connections)
                trouble = "; MaxConnections= reached, new connections wait";
        else if (f->workers_ready > 0 && d->pool.n_heap == 0)
                trouble = "; all workers are full, new connections wait";
        (void)snprintf(text, STATUS_MAX / 2, "%s", trouble);
}

void health_format(const struct dispatcher *d, char *text)
{
        const struct counters *c = d->pool.counters;
        char trouble[STATUS_MAX / 2] = "";
        struct pool_figures f;

        pool_get_figures(&d->pool, &f);
        if (!d->pool.stopping)
                format_trouble(d, &f, trouble);
        (void)snprintf(text, STATUS_MAX,
                "%s%" PRIu32 "/%" PRIu32 " workers ready; connections: %" PRIu32 " open, %" PRIu64
                " done, %" PRIu64 " failed, %" PRIu64 " lost%s",
                d->pool.stopping ? "Stopping: " : "", f.workers_ready,
                MAX(f.workers, d->settings->workers), f.open, c->done, c->failed, c->lost, trouble);
}

void health_log_counters(const struct dispatcher *d, enum message message)
{
        const struct counters *c = d->pool.counters;
        struct pool_figures f;

        pool_get_figures(&d->pool, &f);
        journal_event(message,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_ACCEPTED", c->accepted),
                        JOURNAL_NUMBER("ACCEPTD_OPEN", f.open),
                        JOURNAL_NUMBER("ACCEPTD_DONE", c->done),
                        JOURNAL_NUMBER("ACCEPTD_FAILED", c->failed),
                        JOURNAL_NUMBER("ACCEPTD_LOST", c->lost),
                        JOURNAL_NUMBER("ACCEPTD_REFUSED", f.refused),
                        JOURNAL_NUMBER("ACCEPTD_TAKEN_BACK", c->taken_back)),
                "%scounters: accepted=%" PRIu64 " open=%" PRIu32 " done=%" PRIu64 " failed=%" PRIu64
                " lost=%" PRIu64 " refused=%" PRIu64 " taken-back=%" PRIu64,
                message == MESSAGE_STOPPED ? "Stopped; " : "", c->accepted, f.open, c->done,
                c->failed, c->lost, f.refused, c->taken_back);
}

static void send_status(struct dispatcher *d)
{
        char text[STATUS_MAX];

        health_format(d, text);
        if (d->pool.stopping)
                notify_stopping(text, EXTEND_USEC);
        else if (!d->is_ready)
                notify_starting(text, EXTEND_USEC);
        else if (!streq(text, d->status))
                notify_status(text);
        memcpy(d->status, text, sizeof(text));
        d->status_sent_at = usec_now();
}

static void send_ready(struct dispatcher *d)
{
        char text[STATUS_MAX];

        health_format(d, text);
        notify_ready(text);
        d->status_sent_at = usec_now();
}

void health_ready(struct dispatcher *d)
{
        if (d->is_ready || d->pool.stopping)
                return;

        d->is_ready = true;
        send_ready(d);
}

void health_reloading(const struct dispatcher *d)
{
        if (d->is_ready)
                notify_reloading();
}

void health_reloaded(struct dispatcher *d)
{
        if (d->is_ready)
                send_ready(d);
}

static void arm(struct dispatcher *d, usec_t at)
{
        /* Without a timer the line is late, and nothing worse. */
        (void)sd_event_source_set_time(d->status_timer, at);
        (void)sd_event_source_set_enabled(d->status_timer, SD_EVENT_ONESHOT);
}

void health_stopping(struct dispatcher *d)
{
        send_status(d);
        arm(d, usec_add(usec_now(), EXTEND_INTERVAL_USEC));
}

int health_on_watchdog(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
        struct dispatcher *d = userdata;
        int r;

        notify_watchdog();
        r = sd_event_source_set_time(source, usec_add(usec_now(), d->watchdog / 2));
        if (r < 0)
                return log_error_errno(r, "Cannot set a timer: %m");

        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void health_touch(struct dispatcher *d)
{
        if (d->status_is_due)
                return;

        d->status_is_due = true;
        arm(d, usec_add(d->status_sent_at, STATUS_INTERVAL_USEC));
}

int health_on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct dispatcher *d = userdata;

        d->status_is_due = false;
        send_status(d);
        if (journal_report())
                health_touch(d);
        if (d->pool.stopping || !d->is_ready)
                arm(d, usec_add(usec_now(), EXTEND_INTERVAL_USEC));

        return 0;
}
