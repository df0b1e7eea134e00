/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/dispatcher.h"
#include "os/journal.h"

/*
 * How the instance is, in a line for `systemctl status` and for the log.
 */

/* Workers do not start, and those that run are fewer than they should be. */
bool health_is_degraded(const struct dispatcher *d, const struct pool_figures *figures);

/* Writes the line, into `text` with room for STATUS_MAX. */
void health_format(const struct dispatcher *d, char *text);

/* The first worker is ready, or the first start failed: tells the service manager, once. */
void health_ready(struct dispatcher *d);

/* It reloads, and has done so: tells the service manager, where that knows it as ready. */
void health_reloading(const struct dispatcher *d);
void health_reloaded(struct dispatcher *d);

/* It was told to stop: tells the service manager, and goes on asking for time. */
void health_stopping(struct dispatcher *d);

int health_on_watchdog(sd_event_source *source, uint64_t usec, void *userdata);

/* Something changed: the status line follows soon, at most once a second. */
void health_touch(struct dispatcher *d);
int health_on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* Logs all counters, as `key=value` and as fields of `message`. */
void health_log_counters(const struct dispatcher *d, enum message message);
