/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Messages to the service manager. Called by dispatcher.c and acceptd.c.
 */

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "dispatcher/notify.h"

/* A message that cannot be sent is no reason to stop serving, hence the void results. */

void notify_ready(const char *status)
{
        (void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void notify_status(const char *status)
{
        (void)sd_notifyf(0, "STATUS=%s", status);
}

void notify_stopping(const char *status, usec_t extend)
{
        (void)sd_notifyf(
                0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=%s", extend, status);
}
