/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/process-end.h"

/*
 * Worker processes: the one place that starts any.
 */

/* The channel is this descriptor in every worker. */
#define PROCESS_CHANNEL_FD 3

/* So is the first listening socket where they are lent. */
#define PROCESS_LISTEN_FD (PROCESS_CHANNEL_FD + 1)

struct process_template {
        char **argv;   /* lent */
        char *confine; /* lent: the program that executes it, or NULL */
        char **environment;
        size_t worker_at; /* place of ACCEPTD_WORKER= in the environment */
        int *listeners;   /* lent to each worker, beyond their places there */
        size_t n_listeners;
        bool leave_batch; /* SCHED_OTHER, where this process is SCHED_BATCH and may set it */
};

/*
 * Prepares for starting `argv` (which must outlive the template). The environment of the workers is
 * this process' own, less what belongs to the service, plus the ACCEPTD_ variables; `listeners` are
 * the names, colon-separated, `features` what the protocol offers. Returns 0 or -ENOMEM.
 */
int process_template_init(struct process_template *template, char **argv, const char *instance,
        const char *listeners, uint32_t features);

/* Has each worker get these listening sockets, as descriptors PROCESS_LISTEN_FD and up, and their
 * `names`, colon-separated. Returns 0 or -errno. */
int process_template_lend(
        struct process_template *template, const int *fds, size_t n, const char *names);
void process_template_done(struct process_template *template);

/*
 * Starts a worker with `channel_fd` as its channel. Returns 0 or -errno, also where the program
 * cannot be executed; behind `confine` that comes over the channel: RECORD_NOT_STARTED.
 * *ret_pidfd is the caller's.
 */
int process_spawn(const struct process_template *template, uint64_t number, int channel_fd,
        pid_t *ret_pid, int *ret_pidfd);

/*
 * Starts a program that checks something, with the workers' environment: its findings go to stdout,
 * what is wrong to stderr, and `ledger` is the descriptor whose number is in $ACCEPTD_CHECK_LEDGER.
 * Returns as process_spawn() does; behind `confine`, a program that cannot be executed tells that
 * on stderr.
 */
#define PROCESS_CHECK_LEDGER "ACCEPTD_CHECK_LEDGER"
struct process_check_fds {
        int out, err, ledger;
};
int process_spawn_check(const struct process_template *template, char **argv,
        const struct process_check_fds *fds, pid_t *ret_pid, int *ret_pidfd);

/*
 * Makes this process SCHED_BATCH (sched(7)), and with it all that it starts or executes. A
 * SCHED_BATCH process that wakes up does not preempt the running one. On busy CPUs it then wakes
 * less often and finds several connections each time. Nothing happens where the unit chose another
 * policy than the default, or its system call filter does not allow it.
 */
void process_set_batch(void);

/* Returns the number of a pidfd's process, or 0 where it is gone and reaped, or not known. */
pid_t process_get_pid(int pidfd);

/* Sends a signal to a process. One that is already gone is no error. */
void process_signal(int pidfd, int signal);

/* Ends what is left of the process group of a process that is dead, and reaps it. A process that
 * another image's crash has left to the service manager is not reaped here: its end, and its group,
 * are what the kernel tells and takes by the pidfd. */
struct process_end process_reap(pid_t pid, int pidfd);

/* One that was killed and had not ended yet is reaped here later. Every start does this, too. */
void process_reap_left(void);
