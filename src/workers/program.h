/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/*
 * Programs that an adapter starts: the one place of the workers that starts any.
 */

/* Room for NAME=PID in the environment of a program that wants to read its own number there. */
#define PROGRAM_OWN_PID_MAX 40

struct program {
        char *const *argv; /* argv[0] is a path, or a name to be looked for in $PATH */
        char **environment;
        /* Strings of the environment such as LISTEN_PID= that get the program's process number
         * behind them, each in a buffer of PROGRAM_OWN_PID_MAX; NULL-terminated. */
        char *const *own_pid;
        int input_fd;   /* becomes descriptor 0; -1: it stays */
        const int *fds; /* become 3 and up; each is above its new place */
        size_t n_fds;
};

/*
 * Starts it in the process group of the caller, with default signal handlers and an empty mask, and
 * no other descriptor than 0, 1, 2 and those given. It gets SIGKILL when the caller ends, however
 * that comes. Returns 0, or -errno where it cannot be executed.
 */
int program_start(const struct program *program, pid_t *ret_pid);
