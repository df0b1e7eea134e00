/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Puts a dispatcher together and takes it apart: event loop, listeners, ledger, pool. Called by
 * start.c; what happens in between is dispatcher.c's.
 */

#include <signal.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>

#include "dispatcher/connection-log.h"
#include "dispatcher/health.h"
#include "os/journal.h"
#include "os/store.h"
#include "takeover/adoption.h"

int dispatcher_add_io(sd_event *event, sd_event_source **ret, int fd,
        sd_event_io_handler_t callback, void *userdata, enum priority priority)
{
        int r;

        r = sd_event_add_io(event, ret, fd, EPOLLIN, callback, userdata);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(*ret, priority);
        if (r < 0)
                return r;

        return sd_event_source_set_exit_on_failure(*ret, true);
}

static int add_timer(struct dispatcher *d, sd_event_source **ret, sd_event_time_handler_t callback)
{
        int r;

        r = sd_event_add_time(
                d->event, ret, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_MSEC, callback, d);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(*ret, PRIORITY_TIMER);
        if (r < 0)
                return r;

        return sd_event_source_set_exit_on_failure(*ret, true);
}

/* Not sd_event_set_watchdog(), which has no message when there is no descriptor: notify.c. */
static int add_watchdog(struct dispatcher *d)
{
        int r;

        r = sd_watchdog_enabled(false, &d->watchdog);
        if (r <= 0)
                return r;
        r = add_timer(d, &d->watchdog_timer, health_on_watchdog);
        if (r < 0)
                return r;
        r = sd_event_source_set_time(d->watchdog_timer, 0);
        if (r < 0)
                return r;

        return sd_event_source_set_priority(d->watchdog_timer, PRIORITY_STOP);
}

static int add_signals(struct dispatcher *d)
{
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                sd_event_source *source;
                int r;

                r = sd_event_add_signal(d->event, &source, signals[i], dispatcher_on_signal, d);
                if (r < 0)
                        return r;
                r = sd_event_source_set_priority(source, PRIORITY_STOP);
                if (r >= 0)
                        r = sd_event_source_set_exit_on_failure(source, true);
                if (r >= 0)
                        r = sd_event_source_set_floating(source, true);
                sd_event_source_unref(source);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int add_listeners(struct dispatcher *d)
{
        for (size_t i = 0; i < d->n_listeners; i++) {
                struct listener *l = &d->listeners[i];
                int r;

                r = ledger_add_name(&d->ledger, l->name);
                if (r < 0)
                        return r;
                l->index = (uint16_t)r;
                l->userdata = d;

                r = dispatcher_add_io(
                        d->event, &l->source, l->fd, dispatcher_on_listener, l, PRIORITY_LISTENER);
                if (r < 0)
                        return r;
                r = sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int set_up_loop(struct dispatcher *d)
{
        int r;

        r = sd_event_new(&d->event);
        if (r < 0)
                return r;
        r = add_signals(d);
        if (r < 0)
                return r;
        r = add_timer(d, &d->timer, dispatcher_on_timer);
        if (r < 0)
                return r;
        r = add_timer(d, &d->status_timer, health_on_timer);
        if (r < 0)
                return r;

        r = add_watchdog(d);
        if (r < 0)
                return r;

        return add_listeners(d);
}

static int set_up_workers(struct dispatcher *d, char **argv, const char *instance)
{
        _cleanup_(freep) char *names = ledger_join_names(&d->ledger);
        int r;

        if (!names)
                return -ENOMEM;
        r = process_template_init(&d->process, argv, instance, names, 0);
        if (r < 0)
                return r;

        d->workers = calloc(d->pool.n_rows, sizeof(*d->workers));
        if (!d->workers)
                return -ENOMEM;
        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                worker_init(&d->workers[i], d, i);

        return 0;
}

int dispatcher_init(struct dispatcher *d, const struct settings *settings,
        const struct settings *old, struct listener *listeners, size_t n_listeners, char **argv,
        const char *instance, struct inheritance *inheritance)
{
        uint32_t rows = pool_rows_needed(settings), old_rows = old ? pool_rows_needed(old) : 0;
        int r;

        *d = (struct dispatcher){
                .settings = settings,
                .rows_needed = MAX(rows, old_rows),
                .listeners = listeners,
                .n_listeners = n_listeners,
                .ledger = LEDGER_NULL,
                .is_ready = inheritance->from_reload, /* reload.c says so at the gate */
        };

        r = adoption_open_pool(d, inheritance);
        if (r >= 0) {
                connection_log_set(d);
                r = set_up_loop(d);
        }
        if (r >= 0)
                r = set_up_workers(d, argv, instance);
        if (r >= 0)
                r = adoption_restore(d, inheritance);
        if (r < 0) {
                dispatcher_deinit(d);
                return log_error_errno(r, "Cannot set up the dispatcher: %m");
        }

        return 0;
}

void dispatcher_deinit(struct dispatcher *d)
{
        for (uint32_t i = 0; d->workers && i < d->pool.n_rows; i++)
                worker_deinit(&d->workers[i]);
        free(TAKE_PTR(d->workers));
        for (size_t i = 0; i < d->n_listeners; i++)
                d->listeners[i].source = sd_event_source_disable_unref(d->listeners[i].source);
        d->timer = sd_event_source_disable_unref(d->timer);
        d->status_timer = sd_event_source_disable_unref(d->status_timer);
        d->watchdog_timer = sd_event_source_disable_unref(d->watchdog_timer);
        d->event = sd_event_unref(d->event);
        for (uint32_t i = 0; i < d->pool.n_in_hand; i++)
                fd_close(d->hand[i].fd);
        pool_deinit(&d->pool);
        process_template_done(&d->process);
        ledger_done(&d->ledger);
}

int dispatcher_run(struct dispatcher *d)
{
        struct pool_figures figures;
        int r;

        pool_get_figures(&d->pool, &figures);
        if (figures.workers > 0) /* adopted; not before the control socket is there, too */
                health_ready(d);
        r = dispatcher_settle(d);
        if (r >= 0)
                r = sd_event_loop(d->event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");

        /* A start after this one is a fresh one. */
        adoption_forget_settings(d->pool.state->generation);
        store_remove(STORE_LEDGER);
        journal_flush();
        health_log_counters(d, MESSAGE_STOPPED);
        return 0;
}
