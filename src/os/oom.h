/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/* Whether the kernel killed a process of this control group for its memory. */

/* Remembers the count so far. `events` is a memory.events file: cgroups(7), or NULL for that of
 * this process' own control group. Where there is none, nothing is known. */
void oom_open(const char *events);

/* Returns true where the kernel has done so since oom_open() or the last call. */
bool oom_has_killed(void);
