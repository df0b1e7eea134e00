/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/process-end.h"

/*
 * What newer kernels tell of a process by its pidfd, also to whoever is not its parent.
 */

/* Returns the number of its parent; or -errno, as before Linux 6.13. */
pid_t pidfd_info_get_parent(int pidfd);

/* How a process ended that somebody else has reaped: all zero where that is not known, as before
 * Linux 6.15, or while nobody reaps it. That is waited for, a few milliseconds in ten seconds. */
struct process_end pidfd_info_get_end(int pidfd);

/* Sends a signal to what is left of its process group, also when it has been reaped itself: while
 * it has members, a group's number is nobody else's. Before Linux 6.9 nothing is sent. */
void pidfd_info_signal_group(int pidfd, int signal);
