/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Puts a dispatcher together and takes it apart: event loop, listeners, ledger, pool. Called by
 * start.c; what happens in between is dispatcher.c's.
 */

#include "dispatcher/dispatcher.h"
#include "os/journal.h"
#include "os/store.h"
#include "takeover/adoption.h"

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

                r = loop_add_io(
                        &d->loop, &l->source, l->fd, dispatcher_on_listener, l, PRIORITY_LISTENER);
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

        r = loop_init(&d->loop, d->n_listeners > 1);
        if (r < 0)
                return r;
        r = loop_add_timer(&d->loop, &d->timer, dispatcher_on_timer, d);
        if (r < 0)
                return r;
        r = health_set_up(&d->health, &d->loop);
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
        r = process_template_init(&d->context.process, argv, instance, names);
        if (r < 0)
                return r;

        d->workers = calloc(d->pool.n_rows, sizeof(*d->workers));
        if (!d->workers)
                return -ENOMEM;
        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                worker_init(&d->workers[i], &d->context, i);

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
                .context = {
                        .pool = &d->pool,
                        .loop = &d->loop,
                        .on_channel = dispatcher_on_channel,
                        .on_exit = dispatcher_on_exit,
                        .userdata = d,
                },
                .n_listeners = n_listeners,
                .ledger = LEDGER_NULL,
                .health.pool = &d->pool,
                .connection_log = { .pool = &d->pool, .ledger = &d->ledger },
                .health.is_ready = inheritance->from_reload, /* reload.c says so at the gate */
        };

        r = adoption_open_pool(d, inheritance);
        if (r >= 0) {
                connection_log_set(&d->connection_log);
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
        health_deinit(&d->health);
        loop_deinit(&d->loop);
        for (uint32_t i = 0; i < d->pool.n_in_hand; i++)
                fd_close(d->hand[i].fd);
        pool_deinit(&d->pool);
        process_template_done(&d->context.process);
        ledger_done(&d->ledger);
}

int dispatcher_run(struct dispatcher *d)
{
        struct pool_figures figures;
        int r;

        pool_get_figures(&d->pool, &figures);
        if (figures.workers > 0) /* adopted; not before the control socket is there, too */
                health_ready(&d->health);
        r = dispatcher_carry_out(d);
        if (r >= 0)
                r = sd_event_loop(d->loop.event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");

        /* A start after this one is a fresh one. */
        adoption_forget_settings(d->pool.state->generation);
        store_remove(STORE_LEDGER);
        journal_flush();
        health_log_counters(&d->pool, MESSAGE_STOPPED);
        return 0;
}
