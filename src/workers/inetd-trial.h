/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

/*
 * Whether programs do anything with their connections, until the first has shown that they do. For
 * that a second descriptor of the connection is kept, for a second at the most: as long as it is
 * open, the client does not see that a program closes its own.
 */

struct inetd_trial {
        int *kept; /* by the program's place; -1: none */
        unsigned n;
        usec_t until; /* USEC_INFINITY: none is kept */
};

/* For up to `capacity` programs. Returns 0 or -errno. */
int inetd_trial_init(struct inetd_trial *trial, unsigned capacity);

/* A program was started there for this connection, which stays the caller's. Keeps it if it is TCP,
 * which alone tells later what was done with it, and if there is a descriptor for it. */
void inetd_trial_keep(struct inetd_trial *trial, unsigned place, int connection, usec_t now);

/* The program there has ended. Returns whether it has neither read nor written anything, while its
 * client waits; false where that is not known. */
bool inetd_trial_was_in_vain(struct inetd_trial *trial, unsigned place);

/* Closes what has been kept long enough; with USEC_INFINITY all. */
void inetd_trial_enforce(struct inetd_trial *trial, usec_t now);

void inetd_trial_done(struct inetd_trial *trial);
