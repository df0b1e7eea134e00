/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/*
 * Worker processes: the one place that starts any.
 */

/* The channel is this descriptor in every worker. */
#define PROCESS_CHANNEL_FD 3

struct process_template {
        char **argv; /* lent */
        char **environment;
        size_t worker_at; /* place of ACCEPTD_WORKER= in the environment */
};

/*
 * Prepares for starting `argv` (which must outlive the template). The environment of the workers is
 * this process' own, less what belongs to the service, plus the ACCEPTD_ variables; `listeners` are
 * the names, colon-separated. Returns 0 or -ENOMEM.
 */
int process_template_init(struct process_template *template, char **argv, const char *instance,
        const char *listeners);
void process_template_done(struct process_template *template);

/*
 * Starts a worker with `channel_fd` as its channel. Returns 0 or -errno, also where the program
 * cannot be executed. *ret_pidfd is the caller's.
 */
int process_spawn(const struct process_template *template, uint32_t number, int channel_fd,
        pid_t *ret_pid, int *ret_pidfd);

/* Sends a signal to a process. One that is already gone is no error. */
void process_signal(int pidfd, int signal);

/*
 * Ends what is left of the process group of a process that is dead, reaps it and tells how it
 * ended, in words. `text` has room for PROCESS_END_MAX. Returns true where that was exit status 0.
 */
#define PROCESS_END_MAX 96
bool process_reap(pid_t pid, int pidfd, char *text);
