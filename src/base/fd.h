/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * Descriptors. A variable that owns one starts at -1 under _cleanup_(fd_closep) and leaves only
 * through TAKE_FD.
 */

/* Closes `fd` unless it is negative, keeps errno, returns -1. */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
        fd_close(*fd);
}

/* Sets or clears FD_CLOEXEC. Returns 0 or -errno. */
int fd_set_cloexec(int fd, bool on);

/* Sets O_NONBLOCK on the open file description behind `fd`, unless it is set. Returns 0 or -errno.
 */
int fd_set_nonblock(int fd);

/* Opens /dev/null for each of 0, 1 and 2 that is closed, so that no later descriptor becomes one
 * of them by accident. Returns 0 or -errno. */
int fd_open_standard(void);

/* Returns how many descriptors this process has open, or -errno where /proc cannot be read. */
int fd_count(void);
