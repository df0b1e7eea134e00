/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/* Looking at processes from outside, for tests: proc(5). */

struct procfs_stat {
        char name[64];
        char state; /* 'Z': dead, not waited for */
        pid_t parent, group, session;
        uint64_t cpu_ticks; /* user and system, of sysconf(_SC_CLK_TCK) a second */
};

/* Returns 0 or -errno: -ENOENT or -ESRCH where there is no such process. */
int procfs_stat(pid_t pid, struct procfs_stat *ret_stat);

/* How often the process was switched to another, voluntarily or not; a busy loop that blocks in
 * epoll_wait shows here, and one that does not shows in cpu_ticks. 0 where it cannot be read. */
uint64_t procfs_switches(pid_t pid);

/*
 * One line "NUMBER TARGET" for each open descriptor, in the order of numbers; the caller frees it.
 * NULL with errno where it cannot be read: another user's process, or one that made itself
 * undumpable, for all but root.
 */
char *procfs_descriptors(pid_t pid);

/* How many lines a text has. */
size_t procfs_lines(const char *text);

/* Writes up to `max` children of a process into `pids`, zombies too. Returns their number. */
size_t procfs_children(pid_t pid, pid_t *pids, size_t max);
