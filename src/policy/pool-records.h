/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <assert.h>

#include "policy/slots.h"

/*
 * What the pool keeps in the ledger, beside the slots: rows of workers, and what there is once.
 */

/* Bits of worker_row.flags */
enum row_flag {
        ROW_PAUSED = 1 << 0,     /* it said READY 0, and gets nothing until it says READY again */
        ROW_DRAIN_TOLD = 1 << 1, /* a DRAIN record was sent to it, the last one in its channel */
};

/* The ledger's part of a worker. Its layout may change with LEDGER_VERSION only. */
struct worker_row {
        uint64_t number;      /* counts up from 1 for the life of the instance */
        uint64_t handed_over; /* connections */
        usec_t started_at;    /* CLOCK_MONOTONIC */
        usec_t deadline;      /* of its state, or USEC_INFINITY */
        int32_t pid;
        uint32_t generation;
        uint32_t capacity;   /* as it said last, bounded by ConnectionsPerWorker=; 0: nothing yet */
        uint32_t state;      /* enum worker_state */
        uint32_t offered;    /* features, as it was started */
        uint32_t features;   /* those of them that its READY took */
        uint32_t flags;      /* enum row_flag */
        uint32_t vanished;   /* connections that dispatchers took out of its queue and died */
        uint32_t in_transit; /* while one is taken out: `vanished`, if it crashes now; else 0 */
        uint32_t unused;
#ifdef LEDGER_TEST_GROWN /* what a later program may have: tests/process/test-upgrade.c */
        uint64_t grown[3];
#endif
};

#ifndef LEDGER_TEST_GROWN
static_assert(sizeof(struct worker_row) == 72, "no holes");
#endif

/* What lies in the ledger beside rows and slots. Its layout may change with LEDGER_VERSION only. */
struct pool_state {
        struct counters counters;
        struct slots_head slots;
        uint64_t last_number;     /* of a worker */
        uint32_t generation;      /* in force; 0: there were no workers yet */
        uint32_t trial;           /* the generation that is being tried; 0: none */
        uint32_t last_generation; /* numbers are used once, also those of trials that failed */
        uint32_t before_reload;   /* workers that were ready when this generation came into force */
        uint32_t ending;          /* enum outcome of the slot that is being released */
        uint32_t stopping;        /* bool; then nobody is to take over from here */
        uint32_t last_question;   /* its value: no two are equal, whoever asks */
        uint32_t noted;           /* bool: what follows is */
        uint64_t nonblocking;     /* listeners that workers have left so, by their index */
        uint64_t lost_idle;       /* of those lost: the worker said that they were idle */
        uint64_t reserved[5];     /* zeros, for later versions */
        uint64_t is_held;         /* bool: pool_hold() */
#ifdef LEDGER_TEST_GROWN
        uint64_t grown[5];
#endif
};
