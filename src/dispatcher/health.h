/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "os/journal.h"
#include "os/loop.h"
#include "policy/pool.h"

/*
 * How the instance is, for the service manager: its status line, that it is ready, reloads or
 * stops, and that it is alive.
 */

#define STATUS_MAX         512
#define HEALTH_TROUBLE_MAX (STATUS_MAX / 4)

struct health {
        const struct pool *pool;
        sd_event_source *status_timer;
        sd_event_source *watchdog_timer;
        usec_t watchdog; /* WatchdogSec= of the unit; 0: none */
        usec_t status_sent_at;
        char status[STATUS_MAX]; /* as it was sent last */
        bool status_is_due;
        bool is_ready;                     /* the service manager knows */
        bool is_exhausted;                 /* no descriptor or memory for a connection */
        bool is_forbidden;                 /* to accept any */
        char trouble[HEALTH_TROUBLE_MAX];  /* why workers do not start; "": they do */
        uint64_t n_failed;                 /* starts, since they fail */
        bool is_silent;                    /* those that failed last never said READY */
        char sockets[STATUS_MAX / 2 - 56]; /* what is wrong with the sockets; "": nothing */
};

/* Adds the timers; `pool` is set, and all else zero or as it shall be. Returns 0 or -errno. */
int health_set_up(struct health *h, struct loop *loop);
void health_deinit(struct health *h);

/* Workers do not start, and those that run are fewer than they should be; or there are none, and
 * none is starting. */
bool health_is_degraded(const struct health *h, const struct pool_figures *figures);

/* Writes the line, into `text` with room for STATUS_MAX. */
void health_format(const struct health *h, char *text);

/* The first worker is ready, or the first start failed: tells the service manager, once. */
void health_ready(struct health *h);

/* A start failed because of `trouble`. What is known already is not said again. `is_silent`: the
 * program never said READY, so it may be none that can. */
#define HEALTH_HINT                                                                                \
        "; if it speaks no acceptd-protocol(7), write Command=acceptd-inetd PROGRAM, or "          \
        "acceptd-listen"
void health_failing(struct health *h, const char *trouble, bool is_silent);

/* Workers start and serve. Does nothing where they always did. */
void health_recovered(struct health *h);

/* It reloads, and has done so: tells the service manager, where that knows it as ready. */
void health_reloading(const struct health *h);
void health_reloaded(struct health *h);

/* It was told to stop: tells the service manager, and goes on asking for time. */
void health_stopping(struct health *h);

/* Something changed: the status line follows soon, at most once a second. */
void health_touch(struct health *h);

/* Logs all counters, as `key=value` and as fields of `message`. */
void health_log_counters(const struct pool *pool, enum message message);

/* Logs that it stops. */
void health_log_stopping(const struct pool *pool);
