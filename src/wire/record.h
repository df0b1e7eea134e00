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
        /* worker to dispatcher */
        RECORD_READY = 16,
        RECORD_DONE = 17,
        RECORD_PONG = 18,
        RECORD_HELD = 19,
        /* 20 and 21 are reserved */
        RECORD_NOT_STARTED = 22, /* before READY; value: errno */
};

/* In the machine's byte order: both ends run on one machine. */
struct record {
        uint8_t version;
        uint8_t type;
        uint16_t listener; /* index into $ACCEPTD_LISTENERS; 0 unless CONNECTION */
        uint32_t value;
        uint64_t id; /* connection id; 0 unless CONNECTION, DONE, HELD */
};

static_assert(sizeof(struct record) == 16, "a record is 16 bytes");

/*
 * Checks what came over a channel: version, a type that goes this way, and the fields that the type
 * fixes. Returns NULL for a sound record, else a static string that says what is wrong with it.
 */
const char *record_check_to_worker(const struct record *record);
const char *record_check_to_dispatcher(const struct record *record);
