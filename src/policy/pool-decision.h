/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

/*
 * What pool_decide() says: the actions, in their order. pool-deeds.h has one call for each.
 */

enum pool_question {
        QUESTION_NONE,
        QUESTION_LIST, /* what an adopted worker holds */
        QUESTION_PING, /* whether it reads */
};

/* Why a worker drains. These are the values on the wire. */
enum pool_drain {
        POOL_DRAIN_STOP = 1,    /* the instance ends */
        POOL_DRAIN_RELOAD = 2,  /* the next generation takes its place */
        POOL_DRAIN_RECYCLE = 3, /* it has served for long enough, its successor is ready */
        POOL_DRAIN_RETIRE = 4,  /* it has been idle, and the pool is larger than it has to be */
};

enum pool_action_type {
        POOL_SPAWN,
        POOL_DRAIN,
        POOL_PASS, /* it is on trial, and has proved itself without connections: Accept=no */
        POOL_TERMINATE,
        POOL_ABORT, /* it hangs */
        POOL_KILL,
        POOL_TAKE_BACK, /* one connection from the queue of a worker that will not read it */
        POOL_ASK,
        POOL_SAMPLE,    /* how much is queued, for each worker with pool_is_in_doubt() */
        POOL_WEIGH,     /* how large workers are: pool_next_to_weigh() */
        POOL_HAND_OVER, /* what is in hand: there is a credit again */
        POOL_REFUSE,    /* what is in hand: nobody will ever take it */
        POOL_REST,      /* there was nobody for ExitIdleTimeSec= */
};

struct pool_action {
        enum pool_action_type type;
        uint32_t row;                /* where it is about a worker */
        bool on_trial;               /* of the generation that is tried, with POOL_SPAWN */
        enum pool_drain drain;       /* why, with POOL_DRAIN */
        enum pool_question question; /* with POOL_ASK */
};

/* What does not fit is decided next time. */
#define POOL_ACTIONS_MAX 32

struct pool_decision {
        struct pool_action actions[POOL_ACTIONS_MAX];
        size_t n_actions;
        usec_t wake_at; /* decide again at the latest then */
        bool finished;  /* stopped or at rest, and nothing is left */
};
