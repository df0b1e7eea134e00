/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Messages to the service manager. Called by health.c and acceptd.c.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "dispatcher/notify.h"

static int spare_fd = -1;

int notify_open(void)
{
        fd_close(spare_fd);
        spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        return spare_fd < 0 ? -errno : 0;
}

/* A message that cannot be sent is no reason to stop serving, hence no result. But the watchdog
 * would be: sd_notify() opens a socket for each message, and at the descriptor limit that is where
 * the spare one goes. */
static void notify(const char *format, ...) _printf_(1, 2);
static void notify(const char *format, ...)
{
        _cleanup_(freep) char *text = NULL;
        va_list args;
        int r;

        va_start(args, format);
        r = vasprintf(&text, format, args);
        va_end(args);
        if (r < 0) {
                text = NULL;
                return;
        }

        r = sd_notify(0, text);
        if (r == -EMFILE || r == -ENFILE) {
                spare_fd = fd_close(spare_fd);
                (void)sd_notify(0, text);
                (void)notify_open();
        }
}

void notify_ready(const char *status)
{
        notify("READY=1\nSTATUS=%s", status);
}

void notify_status(const char *status)
{
        notify("STATUS=%s", status);
}

void notify_reloading(void)
{
        notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, usec_now());
}

void notify_stopping(const char *status, usec_t extend)
{
        notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=%s", extend, status);
}

void notify_watchdog(void)
{
        notify("WATCHDOG=1");
}
