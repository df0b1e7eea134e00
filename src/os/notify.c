/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What passes between this process and the service manager: sd_notify(3). It must not know what is
 * ready or stored.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/notify.h"

static int spare_fd = -1;

bool notify_is_service(void)
{
        const char *pid = getenv("SYSTEMD_EXEC_PID");

        return pid && strtol(pid, NULL, 10) == getpid();
}

int notify_open(void)
{
        fd_close(spare_fd);
        spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        return spare_fd < 0 ? -errno : 0;
}

/* A message that cannot be sent is no reason to stop serving, hence no result. But the watchdog
 * would be: sd_notify() opens a socket for each message, and at the descriptor limit that is where
 * the spare one goes. */
static void notify_text(const char *text, const int *fd)
{
        int r = sd_pid_notify_with_fds(0, false, text, fd, fd ? 1 : 0);

        if (r == -EMFILE || r == -ENFILE) {
                spare_fd = fd_close(spare_fd);
                (void)sd_pid_notify_with_fds(0, false, text, fd, fd ? 1 : 0);
                (void)notify_open();
        }
}

static void notify(const int *fd, const char *format, ...) _printf_(2, 3);
static void notify(const int *fd, const char *format, ...)
{
        _cleanup_(freep) char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        if (text)
                notify_text(text, fd);
}

void notify_ready(const char *status)
{
        notify(NULL, "READY=1\nSTATUS=%s", status);
}

void notify_status(const char *status)
{
        notify(NULL, "STATUS=%s", status);
}

void notify_starting(const char *status, usec_t extend)
{
        notify(NULL, "EXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=%s", extend, status);
}

void notify_reloading(void)
{
        notify(NULL, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, usec_now());
}

void notify_stopping(const char *status, usec_t extend)
{
        notify(NULL, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=%s", extend, status);
}

void notify_watchdog(void)
{
        notify(NULL, "WATCHDOG=1");
}

void notify_store(const char *name, int fd)
{
        /* Without FDPOLL=0 what hangs up is dropped, and that is when it is needed. */
        notify(&fd, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
}

void notify_unstore(const char *name)
{
        notify(NULL, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}
