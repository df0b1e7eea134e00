/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of a worker. Every cell of the table is filled: an event is either a step, or of no
 * consequence (the state stays), or impossible.
 */

#include <assert.h>

#include "policy/worker-state.h"

/* clang-format off */
static const struct worker_state_info infos[WORKER_STATES] = {
        [WORKER_NONE]        = { "none",        false, TIMEOUT_NONE,  STEP_NONE },
        [WORKER_STARTING]    = { "starting",    true,  TIMEOUT_START, STEP_TERMINATE },
        [WORKER_READY]       = { "ready",       true,  TIMEOUT_NONE,  STEP_NONE },
        [WORKER_DRAINING]    = { "draining",    true,  TIMEOUT_DRAIN, STEP_TERMINATE },
        [WORKER_TERMINATING] = { "terminating", true,  TIMEOUT_STOP,  STEP_KILL },
        [WORKER_ABORTED]     = { "aborted",     true,  TIMEOUT_STOP,  STEP_KILL },
        [WORKER_KILLED]      = { "killed",      true,  TIMEOUT_NONE,  STEP_NONE },
        [WORKER_DEAD]        = { "dead",        false, TIMEOUT_NONE,  STEP_NONE },
};

#define NONE WORKER_NONE
#define STRT WORKER_STARTING
#define REDY WORKER_READY
#define DRAI WORKER_DRAINING
#define TERM WORKER_TERMINATING
#define ABRT WORKER_ABORTED
#define KILL WORKER_KILLED
#define DEAD WORKER_DEAD
#define ____ WORKER_STATES /* impossible */

static const enum worker_state table[WORKER_STATES][WORKER_EVENTS] = {
        /* event:         SAYS_READY EXITED SPAWNED DRAINED TERMINATED ABORTED KILLED EMPTIED */
        [WORKER_NONE]        = { ____, ____,  STRT,   ____,    ____,    ____,   ____,  ____ },
        [WORKER_STARTING]    = { REDY, DEAD,  ____,   DRAI,    TERM,    ABRT,   KILL,  ____ },
        [WORKER_READY]       = { REDY, DEAD,  ____,   DRAI,    TERM,    ABRT,   KILL,  ____ },
        [WORKER_DRAINING]    = { DRAI, DEAD,  ____,   DRAI,    TERM,    ABRT,   KILL,  ____ },
        [WORKER_TERMINATING] = { TERM, DEAD,  ____,   TERM,    TERM,    ABRT,   KILL,  ____ },
        [WORKER_ABORTED]     = { ABRT, DEAD,  ____,   ABRT,    ABRT,    ABRT,   KILL,  ____ },
        [WORKER_KILLED]      = { KILL, DEAD,  ____,   KILL,    KILL,    KILL,   KILL,  ____ },
        [WORKER_DEAD]        = { ____, ____,  ____,   ____,    ____,    ____,   ____,  NONE },
};
/* clang-format on */

const struct worker_state_info *worker_state_info(enum worker_state state)
{
        return &infos[state];
}

enum worker_state worker_state_next(enum worker_state state, enum worker_event event)
{
        enum worker_state next = table[state][event];

        assert(next != WORKER_STATES);
        return next;
}
