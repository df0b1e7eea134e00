/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "dispatcher/ledger.h"
#include "dispatcher/worker.h"
#include "os/inheritance.h"
#include "os/listener.h"

/*
 * The dispatcher: listeners, workers and the pool between them, on one event loop.
 */

/* What goes first when much happens at once: last words before the death, credits before new
 * connections. */
enum priority {
        PRIORITY_STOP = SD_EVENT_PRIORITY_IMPORTANT,
        PRIORITY_CHANNEL,
        PRIORITY_EXIT,
        PRIORITY_TIMER,
        PRIORITY_LISTENER, /* and upwards, the more the later it was served */
};

#define STATUS_MAX             512
#define DISPATCHER_TROUBLE_MAX (STATUS_MAX / 4)

struct dispatcher {
        const struct settings *settings;
        uint32_t rows_needed; /* in the table of workers */
        uint32_t slots_needed;
        sd_event *event;
        struct listener *listeners;
        size_t n_listeners;
        int64_t listener_turn; /* counts bursts */
        struct ledger ledger;
        struct pool pool;
        struct worker *workers; /* by row */
        struct process_template process;

        struct wire_batch batch; /* what a worker said, while it is heard */

        /* Connections that are with no worker: just accepted or taken back. The first n_in_hand of
         * the pool are in use. */
        struct {
                int fd;
                struct slot *slot;
        } hand[POOL_HAND_MAX];

        struct reload *reload; /* lent; NULL: there can be none */

        sd_event_source *timer; /* of pool_decide() */
        sd_event_source *status_timer;
        sd_event_source *watchdog_timer;
        usec_t watchdog; /* WatchdogSec= of the unit; 0: none */
        usec_t status_sent_at;
        char status[STATUS_MAX]; /* as it was sent last */
        bool status_is_due;
        bool is_ready;                        /* the service manager knows */
        bool listening;                       /* the listeners are in the loop */
        bool exhausted;                       /* no descriptor or memory for accepting */
        char trouble[DISPATCHER_TROUBLE_MAX]; /* why workers do not start */
        uint64_t n_failed;                    /* starts, since they fail */
        uint32_t n_refused;                   /* and not told yet */
};

/*
 * Makes a dispatcher for `listeners` (lent, with their index to be set) that runs `argv` as its
 * workers (lent too). What a dispatcher before it left is taken out of `inheritance`. `settings`
 * are resolved and checked; it may have to go back to `old`, unless that is NULL. SIGTERM, SIGINT,
 * SIGHUP and SIGUSR1 are blocked by the caller. Returns 0 or -errno, after a log line.
 */
int dispatcher_init(struct dispatcher *d, const struct settings *settings,
        const struct settings *old, struct listener *listeners, size_t n_listeners, char **argv,
        const char *instance, struct inheritance *inheritance);
void dispatcher_deinit(struct dispatcher *d);

/* Serves until it is told to stop and all workers have ended. Returns 0 or -errno. */
int dispatcher_run(struct dispatcher *d);

/* --- For setup.c: what happens --- */

int dispatcher_on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata);
int dispatcher_on_timer(sd_event_source *source, uint64_t usec, void *userdata);
int dispatcher_on_signal(
        sd_event_source *source, const struct signalfd_siginfo *info, void *userdata);

/* --- For worker.c --- */

/* Carries out what the pool decides, if anything changed. To be called at the end of each event.
 * Returns 0 or -errno. */
int dispatcher_settle(struct dispatcher *d);

int dispatcher_add_io(sd_event *event, sd_event_source **ret, int fd,
        sd_event_io_handler_t callback, void *userdata, enum priority priority);

/* A worker ended before it had served, or could not be started. The words say how. */
void dispatcher_start_failed(struct dispatcher *d, bool on_trial, const char *format, ...)
        _printf_(3, 4);
