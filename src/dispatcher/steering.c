/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Deeds that nobody but an administrator decides. They go the same way as those that the pool
 * decides, so a crash in between is handled as there.
 */

#include <inttypes.h>

#include "dispatcher/steering.h"
#include "os/journal.h"

static struct worker *find_worker(struct dispatcher *d, uint64_t number)
{
        for (uint32_t i = 0; i < d->pool.n_rows; i++) {
                const struct worker_row *row = d->pool.workers[i].record;

                if (row->state != WORKER_NONE && row->number == number)
                        return &d->workers[i];
        }

        return NULL;
}

const char *steering_drain(struct dispatcher *d, uint64_t number)
{
        struct worker *w = find_worker(d, number);
        enum worker_state state;

        if (!w)
                return "";

        state = d->pool.workers[w->row].record->state;
        if (d->pool.stopping)
                return "the instance is stopping";
        if (state == WORKER_STARTING || pool_is_on_trial(&d->pool, w->row))
                return "that worker is starting";
        if (state != WORKER_READY)
                return "that worker is leaving already";

        journal_event(MESSAGE_WORKER_DRAINED,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_WORKER", w->number),
                        JOURNAL_NUMBER("ACCEPTD_WORKER_PID", w->pid),
                        JOURNAL_NUMBER("ACCEPTD_COUNT", d->pool.workers[w->row].open)),
                "Worker %" PRIu64 " (PID %d) is drained by acceptctl, with %" PRIu32
                " connection%s; another one takes its place.",
                w->number, w->pid, d->pool.workers[w->row].open,
                d->pool.workers[w->row].open == 1 ? "" : "s");
        /* To the worker it is as at a reload: its successor is another one. */
        worker_drain(w, POOL_DRAIN_RELOAD);
        dispatcher_wake(d);
        return NULL;
}

const char *steering_hold(struct dispatcher *d, bool on)
{
        if (!d->settings->accept)
                return "with Accept=no the workers accept by themselves";
        if (d->pool.stopping)
                return "the instance is stopping";

        if (pool_is_held(&d->pool) != on)
                journal_event(on ? MESSAGE_PAUSED : MESSAGE_RESUMED, NULL,
                        on ? "Accepting is paused by acceptctl: new connections wait in the kernel."
                           : "Connections are accepted again.");
        pool_hold(&d->pool, on);
        dispatcher_wake(d);
        return NULL;
}
