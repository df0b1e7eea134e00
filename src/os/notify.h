/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"
#include "os/loop.h"

/*
 * What the service manager is told: sd_notify(3). Without $NOTIFY_SOCKET nothing happens.
 *
 * Nothing here ever blocks but notify_flush(). What the service manager has no room for goes out
 * later: of the status line and the watchdog the latest, of all else everything, in its order.
 */

/* Whether the service manager started this very process: systemd.exec(5). */
bool notify_is_service(void);

/* Opens the way to the service manager; one that is not there is no error. Returns 0 or -errno. */
int notify_open(void);

/* Has the loop send what waits. `on_progress` (or NULL) is called after each try, until nothing
 * waits any more. Returns 0 or -errno. */
int notify_watch(struct loop *loop, void (*on_progress)(void *userdata), void *userdata);

/* The loop ends: forgets what waits, and with it the descriptors that it was lent. */
void notify_unwatch(void);

/* Sends what waits, for so long at most. Returns true where nothing is left that must arrive. */
bool notify_flush(usec_t timeout);

/* Something that must arrive waits, and for so long nothing was taken. */
bool notify_is_stuck(usec_t time);

void notify_ready(const char *status);
void notify_status(const char *status);

/* Not ready yet; more time is needed than TimeoutStartSec= may give. Repeat before `extend` is
 * over. */
void notify_starting(const char *status, usec_t extend);

/* To be followed by notify_ready(), whatever comes of it: the service manager waits for that. */
void notify_reloading(void);

/* Stopping; the same for TimeoutStopSec=. */
void notify_stopping(const char *status, usec_t extend);

void notify_watchdog(void);

/*
 * Puts a copy of `fd` into the service manager's descriptor store under `name`, or takes all of
 * that name out: systemd's FILE_DESCRIPTOR_STORE. The descriptor is lent until it is out, or
 * notify_unstore() is called; notify_give() keeps it for so long itself.
 *
 * Returns 0 where it is out, or a ticket that notify_is_out() takes.
 */
uint64_t notify_store(const char *name, int fd);
uint64_t notify_give(const char *name, int fd_consume);
void notify_unstore(const char *name);

/* True where the service manager has it, in its queue if it did not come to it yet. */
bool notify_is_out(uint64_t ticket);
