/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

/*
 * Lines on standard error about programs: some of each kind, then only how many there were, so that
 * a flood of failures is no flood of lines.
 */

enum inetd_kind {
        INETD_START,  /* could not be started */
        INETD_STATUS, /* exited with another status than 0 */
        INETD_SIGNAL, /* was ended by a signal */
        INETD_TIME,   /* was ended after it had run for too long */
        INETD_STOP,   /* is ended with the worker */
        _INETD_KIND_MAX,
};

struct inetd_report {
        const char *name; /* of the program */
        bool journal;     /* stderr leads to the journal, which reads levels: sd-daemon(3) */
        struct {
                usec_t until;        /* the end of a time in which lines are counted */
                unsigned n, n_saved; /* in this time; and not written */
        } kinds[_INETD_KIND_MAX];
};

void inetd_report_init(struct inetd_report *report, const char *name);

/* Writes "NAME <text>", or counts it. Never blocks: where nobody reads, lines are dropped. */
_printf_(4, 5) void inetd_report_line(
        struct inetd_report *report, enum inetd_kind kind, usec_t now, const char *format, ...);

/* Says how many were not written in times that are over (`now`: or all, with USEC_INFINITY).
 * Returns when it is to be called next, or USEC_INFINITY. */
usec_t inetd_report_flush(struct inetd_report *report, usec_t now);
