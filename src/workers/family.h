/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/*
 * The processes below this one: its children, theirs, and those that have lost their parent. It
 * adopts these, so that nothing that a program started gets away.
 */

/* Has this process adopt them, from now on. Returns 0 or -errno. */
int family_adopt(void);

/* Is it this process' child, a child of one, and so on? One that is already gone is not. */
bool family_has(pid_t pid);

/* Ends all of them with SIGKILL and reaps them. Gives up after some seconds on processes that the
 * kernel cannot end now. */
void family_end(void);
