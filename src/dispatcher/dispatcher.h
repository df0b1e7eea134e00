/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/connection-log.h"
#include "dispatcher/crowd.h"
#include "dispatcher/hand.h"
#include "dispatcher/health.h"
#include "dispatcher/ledger.h"
#include "dispatcher/rest.h"

/*
 * The dispatcher: listeners, workers and the pool between them, on one event loop.
 */

struct dispatcher {
        const struct settings *settings;
        uint32_t rows_needed; /* in the table of workers */
        uint32_t slots_needed;
        struct loop loop;
        struct listener *listeners;
        size_t n_listeners;
        struct ledger ledger;
        struct pool pool;
        struct connection_log connection_log;
        struct worker *workers;        /* by row */
        struct worker_context context; /* of all workers */

        struct hand hand;

        /* The trial of a generation is over; `trouble` is why it failed, or NULL. It says
         * pool_commit() or pool_abandon(). */
        void (*on_trial_end)(void *userdata, const char *trouble);
        void *userdata; /* of `on_trial_end` */

        sd_event_source *timer; /* of pool_decide() */
        struct health health;
        struct crowd crowd;
        struct rest rest;
        bool listening; /* the listeners are in the loop */
        bool closes;    /* after the stop, the sockets are closed: dispatcher_close() */
};

/*
 * In this order: dispatcher_init(), then adoption_open_pool() opens ledger and pool,
 * dispatcher_set_up(), adoption_restore() brings in what a dispatcher before this one left,
 * dispatcher_run(). dispatcher_deinit() is for what any of these has left.
 *
 * `settings` are resolved and checked; there is room for `old` as well, unless that is NULL. The
 * listeners get their index. All is lent, `argv` (of the workers' program), too.
 */
void dispatcher_init(struct dispatcher *d, const struct settings *settings,
        const struct settings *old, struct listener *listeners, size_t n_listeners);

/* Returns 0 or -errno. */
int dispatcher_set_up(struct dispatcher *d, char **argv, const char *instance);
void dispatcher_deinit(struct dispatcher *d);

/* Serves until it is told to stop and all workers have ended. Returns 0 or -errno. */
int dispatcher_run(struct dispatcher *d);

/* Tells it to stop. A second call waits for nobody. Returns 0 or -errno. */
int dispatcher_stop(struct dispatcher *d);

/* The sockets are to be closed as soon as the pool has stopped. So who comes while it stops is
 * refused at once, and does not wait for that in vain. */
static inline void dispatcher_close(struct dispatcher *d)
{
        d->closes = d->settings->accept; /* else it is the workers that accept */
}

/* Carries out what the pool decides, if anything changed: the end of each event. Returns 0 or
 * -errno. */
int dispatcher_carry_out(struct dispatcher *d);

/* Has it carry that out in the next turn of the loop, where the pool was changed by somebody else
 * than an event of the dispatcher's. */
void dispatcher_wake(struct dispatcher *d);
