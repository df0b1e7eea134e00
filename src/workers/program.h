/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/*
 * Programs that an adapter starts: the one place of the workers that starts any.
 */

/* --- The start --- */

/* Room for NAME=PID in the environment of a program that wants to read its own number there. */
#define PROGRAM_OWN_PID_MAX 40

struct program {
        const char *path;
        char *const *argv, *const *environment;
        /* Strings of the environment, such as "LISTEN_PID=", that get the program's process number
         * behind them, each in a buffer of PROGRAM_OWN_PID_MAX. The list ends with NULL; it may be
         * NULL. */
        char *const *own_pid;
        /* fds[i] becomes descriptor i; -1: that stays as it is. None is below its place. The
         * program has no others. */
        const int *fds;
        size_t n_fds;
        bool own_group; /* a process group of its own, or that of the caller */
        pid_t *note;    /* gets the number before the program runs, for a guard; may be NULL */
};

/*
 * Starts it with default signal handlers and an empty mask. It gets SIGKILL when the caller ends,
 * however that comes, unless it changes its user: the guard is for that. Returns 0, or -errno where
 * it cannot be executed; then nothing is left of it.
 */
int program_start(const struct program *program, pid_t *ret_pid);

/* --- The guard --- */

/*
 * A process beside the adapter that outlives it for a moment and ends the process groups of its
 * programs, so that none goes on unseen after the adapter was killed. PR_SET_PDEATHSIG does not do
 * that: it reaches neither what a program has started nor a program that has changed its user.
 */
struct guard {
        pid_t *groups; /* shared with the guard: those to be ended; 0: none */
        size_t n;
        pid_t pid; /* 0: none */
};

/* Starts one for up to `n` groups. Returns 0 or -errno. */
int guard_init(struct guard *guard, size_t n);

/* Starts the next one when this one was reaped. Returns 0 or -errno. */
int guard_restart(struct guard *guard);

/* Ends it, and no group. */
void guard_done(struct guard *guard);
