/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <assert.h>

#include "base/base.h"

/*
 * The records of the worker protocol, version 1: acceptd-protocol(7). Both ends use this file; it
 * knows neither of them.
 */

#define RECORD_VERSION 1

/* To the dispatcher, one datagram carries 1 to RECORD_BATCH_MAX records; to a worker, one. */
#define RECORD_BATCH_MAX 64

#define RECORD_ERRNO_MAX 4095 /* the kernel's own bound */

enum record_type {
        /* dispatcher to worker */
        RECORD_CONNECTION = 1, /* with one descriptor */
        RECORD_PING = 2,
        RECORD_LIST = 3,
        RECORD_DRAIN = 4, /* RECORD_FEATURE_DRAIN */
        /* 5 is reserved for RESUME: RECORD_FEATURE_PARK */
        RECORD_FINISHED = 6, /* RECORD_FEATURE_FINISHED; with one descriptor: wire/finished.h */

        /* worker to dispatcher */
        RECORD_READY = 16,
        RECORD_DONE = 17,
        RECORD_PONG = 18,
        RECORD_HELD = 19,
        RECORD_FAILED = 20, /* RECORD_FEATURE_FAILED */
        /* 21 is reserved for PARK: RECORD_FEATURE_PARK */
        RECORD_NOT_STARTED = 22, /* before READY; value: errno */
};

/*
 * What the dispatcher offers in $ACCEPTD_FEATURES, and the worker takes by naming it in the id of
 * READY. Nothing of it is sent or accepted on a channel whose worker did not take it.
 */
enum record_feature {
        RECORD_FEATURE_FAILED = 1 << 0,   /* the record FAILED */
        RECORD_FEATURE_PAUSE = 1 << 1,    /* READY with 0, but not as the first */
        RECORD_FEATURE_DRAIN = 1 << 2,    /* the record DRAIN before the end of file */
        RECORD_FEATURE_TAIL = 1 << 3,     /* reserved: (type, length, value) behind a record */
        RECORD_FEATURE_PARK = 1 << 4,     /* reserved: PARK and RESUME, with a descriptor */
        RECORD_FEATURE_FINISHED = 1 << 5, /* the record FINISHED after READY, or an adoption */
};

/* All that this version has. */
#define RECORD_FEATURES                                                                            \
        (RECORD_FEATURE_FAILED | RECORD_FEATURE_PAUSE | RECORD_FEATURE_DRAIN |                     \
                RECORD_FEATURE_FINISHED)

/* Why a connection FAILED. A reason that the dispatcher does not know is one, too. */
enum record_failure {
        RECORD_FAILURE_OTHER = 0,
        RECORD_FAILURE_START = 1,      /* what was to serve it could not be started */
        RECORD_FAILURE_SIGNAL = 2,     /* what served it was ended by a signal */
        RECORD_FAILURE_DESCRIPTOR = 3, /* it came without its descriptor: RLIMIT_NOFILE */
        RECORD_FAILURE_REFUSED = 4,    /* the worker would not serve it */
};

/* Why a worker is drained. */
enum record_drain {
        RECORD_DRAIN_STOP = 1, /* the instance stops */
        RECORD_DRAIN_RELOAD = 2,
        RECORD_DRAIN_RECYCLE = 3, /* it had its share, or its time */
        RECORD_DRAIN_RETIRE = 4,  /* it was idle, and the pool is larger than it has to be */
};

/* In the machine's byte order: both ends run on one machine. */
struct record {
        uint8_t version;
        uint8_t type;
        uint16_t listener; /* index into $ACCEPTD_LISTENERS; 0 unless CONNECTION */
        uint32_t value;
        /* CONNECTION, DONE, HELD, FAILED: of the connection; READY: features; DRAIN: deadline, in
         * microseconds of CLOCK_MONOTONIC, or 0 for none; else 0 */
        uint64_t id;
};

static_assert(sizeof(struct record) == 16, "a record is 16 bytes");

/*
 * Checks what came over a channel: version, a type that goes this way, and the fields that the type
 * fixes. Returns NULL for a sound record, else a static string that says what is wrong with it.
 */
const char *record_check_to_worker(const struct record *record);
const char *record_check_to_dispatcher(const struct record *record);
