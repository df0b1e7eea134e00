/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

/*
 * What the service manager is told: sd_notify(3). Without $NOTIFY_SOCKET nothing happens.
 */

/* Whether the service manager started this very process: systemd.exec(5). */
bool notify_is_service(void);

/* Sets a descriptor aside, so that the messages go out when there are no others left. Returns 0 or
 * -errno. */
int notify_open(void);

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

/* Puts a copy of `fd` into the service manager's descriptor store under `name`, or takes all of
 * that name out: systemd's FILE_DESCRIPTOR_STORE. */
void notify_store(const char *name, int fd);
void notify_unstore(const char *name);
