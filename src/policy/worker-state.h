/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * The life of a worker as two tables: (state, event) -> next state, and what each state means.
 */

enum worker_state {
        WORKER_NONE,        /* the row is free */
        WORKER_STARTING,    /* it runs, and has not said READY */
        WORKER_READY,       /* it serves */
        WORKER_DRAINING,    /* its channel is shut down: it finishes what it has */
        WORKER_TERMINATING, /* it was sent SIGTERM */
        WORKER_ABORTED,     /* it hung, and was sent SIGABRT */
        WORKER_KILLED,      /* it was sent SIGKILL */
        WORKER_DEAD,        /* the process is gone, its queue is not empty yet */
        WORKER_STATES,
};

enum worker_event {
        /* what it did */
        WORKER_SAYS_READY,
        WORKER_EXITED,
        /* what was done to it */
        WORKER_SPAWNED,
        WORKER_DRAINED,
        WORKER_TERMINATED,
        WORKER_GOT_ABORTED,
        WORKER_GOT_KILLED,
        WORKER_EMPTIED,
        WORKER_EVENTS,
};

enum worker_timeout {
        TIMEOUT_NONE,
        TIMEOUT_START,
        TIMEOUT_DRAIN,
        TIMEOUT_STOP,
};

enum worker_step {
        STEP_NONE,
        STEP_TERMINATE,
        STEP_KILL,
};

struct worker_state_info {
        const char *name;
        bool alive;                  /* there is a process */
        enum worker_timeout timeout; /* how long it may stay in this state */
        enum worker_step overdue;    /* what is done then */
};

const struct worker_state_info *worker_state_info(enum worker_state state);

/* Returns the next state. An event that cannot happen in `state`, whatever the worker does, is a
 * bug of this program: it asserts. */
enum worker_state worker_state_next(enum worker_state state, enum worker_event event);
