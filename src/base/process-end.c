/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The end of a process in words. It must not know what the process was.
 */

#include <signal.h>
#include <sysexits.h>

#include "base/process-end.h"

/* The names of sysexits.h, or NULL. */
static const char *name_exit_status(int status)
{
        static const char *const names[] = {
                "USAGE",
                "DATAERR",
                "NOINPUT",
                "NOUSER",
                "NOHOST",
                "UNAVAILABLE",
                "SOFTWARE",
                "OSERR",
                "OSFILE",
                "CANTCREAT",
                "IOERR",
                "TEMPFAIL",
                "PROTOCOL",
                "NOPERM",
                "CONFIG",
        };
        int i = status - EX__BASE;

        return i >= 0 && i < (int)ELEMENTSOF(names) ? names[i] : NULL;
}

void process_end_format(const struct process_end *end, char *text)
{
        const char *name = name_exit_status(end->status);

        switch (end->code) {
        case CLD_EXITED:
                (void)snprintf(text, PROCESS_END_MAX, "exited with status %d%s%s%s", end->status,
                        name ? " (EX_" : "", name ?: "", name ? ")" : "");
                break;
        case CLD_KILLED:
        case CLD_DUMPED:
                name = sigabbrev_np(end->status);
                (void)snprintf(text, PROCESS_END_MAX, "was ended by %s%s%s", name ? "SIG" : "",
                        name ?: "an unknown signal",
                        end->code == CLD_DUMPED ? ", and left a core" : "");
                break;
        default:
                (void)snprintf(text, PROCESS_END_MAX, "ended in an unknown way");
                break;
        }
}
