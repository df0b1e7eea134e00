/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an adapter says about its programs. It must not know why.
 */

#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "workers/inetd-report.h"

#define LINES_MAX 5
#define TIME_USEC (10 * USEC_PER_SEC)

static const struct {
        char level; /* of syslog(3) */
        const char *rest;
} kinds[_INETD_KIND_MAX] = {
        [INETD_START] = { '3', "could not be started" },
        [INETD_STATUS] = { '5', "exited with another status than 0" },
        [INETD_SIGNAL] = { '4', "was ended by a signal" },
        [INETD_TIME] = { '4', "was ended after it had run for too long" },
        [INETD_STOP] = { '5', "was ended with this worker" },
};

/* JOURNAL_STREAM is none of a worker's variables; the socket itself tells. */
static bool leads_to_journal(int fd)
{
        struct sockaddr_un address = {};
        socklen_t length = sizeof(address);

        return getpeername(fd, (struct sockaddr *)&address, &length) == 0 &&
               address.sun_family == AF_UNIX &&
               strncmp(address.sun_path, "/run/systemd/journal/stdout", sizeof(address.sun_path)) ==
                       0;
}

void inetd_report_init(struct inetd_report *report, const char *name)
{
        *report = (struct inetd_report){
                .name = name,
                .journal = leads_to_journal(STDERR_FILENO),
        };
}

/* With room for one line, a write of one does not block: poll(2), pipe(7). */
static void write_line(const char *line, size_t size)
{
        struct pollfd stderr_fd = { .fd = STDERR_FILENO, .events = POLLOUT };

        if (poll(&stderr_fd, 1, 0) == 1 && stderr_fd.revents == POLLOUT)
                (void)!write(STDERR_FILENO, line, size);
}

static _printf_(3, 4) void write_words(
        const struct inetd_report *report, enum inetd_kind kind, const char *format, ...)
{
        char line[512], level[] = { '<', kinds[kind].level, '>', '\0' };
        va_list arguments;
        int n, m;

        n = snprintf(line, sizeof(line), "%sacceptd-inetd: %.256s ", report->journal ? level : "",
                report->name);
        va_start(arguments, format);
        m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, arguments);
        va_end(arguments);

        n = MIN(n + m, (int)sizeof(line) - 2);
        line[n++] = '\n';
        write_line(line, (size_t)n);
}

/* Ends the time of a kind. */
static void end_time(struct inetd_report *report, enum inetd_kind kind)
{
        unsigned n = report->kinds[kind].n_saved;

        if (n > 0)
                write_words(
                        report, kind, "%s %u more time%s", kinds[kind].rest, n, n == 1 ? "" : "s");
        report->kinds[kind].n = report->kinds[kind].n_saved = 0;
}

void inetd_report_line(
        struct inetd_report *report, enum inetd_kind kind, usec_t now, const char *format, ...)
{
        char text[256];
        va_list arguments;

        if (report->kinds[kind].until <= now) {
                end_time(report, kind);
                report->kinds[kind].until = usec_add(now, TIME_USEC);
        }
        if (report->kinds[kind].n++ >= LINES_MAX) {
                report->kinds[kind].n_saved++;
                return;
        }

        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        write_words(report, kind, "%s", text);
}

usec_t inetd_report_flush(struct inetd_report *report, usec_t now)
{
        usec_t next = USEC_INFINITY;

        for (enum inetd_kind kind = 0; kind < _INETD_KIND_MAX; kind++) {
                if (report->kinds[kind].n_saved == 0)
                        continue;
                if (report->kinds[kind].until <= now)
                        end_time(report, kind);
                else
                        next = MIN(next, report->kinds[kind].until);
        }

        return next;
}
