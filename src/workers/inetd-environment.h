/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "workers/program.h"

/*
 * The environment of a program that serves one connection: this process' own, less what belongs to
 * a worker or speaks of another connection, and what systemd.exec(5), sd_listen_fds(3) and UCSPI
 * say of this one.
 */

#define INETD_VARIABLES_MAX 12

struct inetd_environment {
        char **list;   /* all of it, for execve(2); ends with NULL */
        size_t n_kept; /* of this process' own: the first ones */
        size_t n_text; /* used of it */
        char listen_pid[PROGRAM_OWN_PID_MAX];
        char text[2048]; /* of the variables of a connection */
};

/* Returns 0 or -ENOMEM. What is kept stays in `environ`. */
int inetd_environment_init(struct inetd_environment *environment);
void inetd_environment_done(struct inetd_environment *environment);

/* Says who is at the two ends of `fd`, instead of what was said before. */
void inetd_environment_set(struct inetd_environment *environment, int fd);
