/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "os/process.h"
#include "raw.h"

/* Processes that a test started with src/os/process.c. */

struct started {
        pid_t pid;
        int pidfd;
        int here; /* the test's end of the channel; the worker has the only copy of the other one */
};

/* Stops itself, and has been seen stopped. When posix_spawn() returns, a program is still being
 * loaded, and /proc has not all of it. */
extern char *const stay_argv[];

struct process_template make_template(char *const *argv);

/* Returns what process_spawn() does. */
int try_start(char *const *argv, uint64_t number, struct started *ret);

/* As worker 7. */
struct started start(char *const *argv);
struct started start_shell(char *script);

void wait_until_readable(int fd);
void wait_until_stopped(int pidfd);

/* Waits for its death; kills it before. */
struct process_end reap(struct started *s);
struct process_end end_it(struct started *s);
