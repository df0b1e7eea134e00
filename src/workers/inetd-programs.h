/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"
#include "workers/program.h"

/*
 * The programs that run, one for each connection, and how long they may. Each is the head of a
 * process group.
 */

enum inetd_program_state {
        INETD_RUNNING,
        INETD_TERMINATED, /* was sent SIGTERM */
        INETD_KILLED,
};

struct inetd_program {
        uint64_t id; /* of its connection */
        enum inetd_program_state state;
        usec_t deadline; /* for the next signal */
};

struct inetd_programs {
        struct inetd_program *places;
        struct guard guard; /* groups[i] is the process in places[i] */
        unsigned n_touched; /* places that were ever used, the first ones */
        usec_t runtime_max, stop_timeout;
        usec_t next; /* no deadline is earlier */
};

/* For up to `capacity` at once. Starts the guard. Returns 0 or -errno. */
int inetd_programs_init(struct inetd_programs *programs, unsigned capacity, usec_t runtime_max,
        usec_t stop_timeout);

/* Those that still run are ended by the guard. */
void inetd_programs_done(struct inetd_programs *programs);

/* Returns a free place. There is one as long as there are fewer programs than the capacity. */
unsigned inetd_programs_get_free(struct inetd_programs *programs);

/* A program was started there. */
void inetd_programs_started(
        struct inetd_programs *programs, unsigned place, uint64_t id, pid_t pid, usec_t now);

/* Returns the place of the program that is this process, or -1. */
int inetd_programs_find(const struct inetd_programs *programs, pid_t pid);

/* Its process has ended and is not reaped yet: ends the rest of its group and frees the place. */
void inetd_programs_ended(struct inetd_programs *programs, unsigned place);

/* Sends SIGTERM to all, and SIGKILL later. Returns how many there are. */
unsigned inetd_programs_terminate(struct inetd_programs *programs, usec_t now);

/* Sends the signals that are due to those that have run for too long. */
void inetd_programs_enforce(struct inetd_programs *programs, usec_t now);
