/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Places where a test has the dispatcher die, between two steps that a crash may separate. They
 * exist in a build of the tests only (tests/process/acceptd-stop-points): elsewhere they are
 * nothing.
 *
 * ACCEPTD_STOP_POINT=NAME:N in the environment is SIGKILL at the Nth time that this process comes
 * by.
 */

#ifdef ACCEPTD_STOP_POINTS

#include <signal.h>

#include "base/base.h"

static inline void stop_point_pass(const char *name, unsigned long *passed)
{
        const char *wanted = getenv("ACCEPTD_STOP_POINT") ?: "";
        const char *count = startswith(wanted, name);

        if (count && *count == ':' && ++*passed == strtoul(count + 1, NULL, 10))
                (void)raise(SIGKILL);
}

#define STOP_POINT(name)                                                                           \
        do {                                                                                       \
                static unsigned long _passed;                                                      \
                stop_point_pass((name), &_passed);                                                 \
        } while (false)

#else
#define STOP_POINT(name) ((void)0)
#endif
