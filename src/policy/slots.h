/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <assert.h>

#include "base/source.h"
#include "base/time.h"

/*
 * The ledger's arithmetic: one slot for each open connection, ids, and the counters. The table lies
 * where the caller put it (the dispatcher: in a memfd that outlives it), the rest is private and
 * can be made again from the table.
 *
 * An id is 24 bits of slot and, above them, 40 bits of serial: looking one up is an index, and an
 * id that is stale is recognised. Serials begin again at 1 when the bits are used up.
 */

#define SLOT_BITS      24
#define SERIAL_MAX     (UINT64_MAX >> SLOT_BITS)
#define SLOTS_MAX      (1U << SLOT_BITS)
#define SLOT_NO_WORKER UINT32_MAX

enum slot_state {
        SLOT_FREE,
        SLOT_RESERVED, /* accepted, and perhaps sent */
        SLOT_SENT,     /* sent for certain */
};

/* Lies in the ledger: its layout may change with LEDGER_VERSION only. There are many of them, so
 * there is no hole in it. */
struct slot {
        uint64_t id;
        usec_t accepted_at;
        uint8_t source[SOURCE_SIZE]; /* who it comes from, by source_kind; zeros: unknown */
        uint64_t cookie;             /* SO_COOKIE of the socket; 0: unknown */
        uint32_t worker;             /* row of the worker that it was given to, or SLOT_NO_WORKER */
        uint32_t handshake; /* microseconds from the TCP handshake to accept, at most; 0: unknown */
        uint16_t listener;
        uint8_t attempt;     /* how often it was given to a worker before */
        uint8_t state;       /* enum slot_state */
        uint8_t listed;      /* bool: an adopted worker says that it holds this connection */
        uint8_t source_kind; /* enum source_kind */
        uint8_t unused[2];
#ifdef LEDGER_TEST_GROWN
        uint64_t grown[2];
#endif
};

#ifndef LEDGER_TEST_GROWN
static_assert(sizeof(struct slot) == 56, "65,536 of them stay below 4 MB");
#endif

/* Why the dispatcher closed connections unserved. */
enum refusal {
        REFUSED_STOPPING, /* no worker was left to take it when the instance stopped */
        REFUSED_STRANDED, /* workers died so fast that no row is left for one that could take it */
        REFUSED_SOURCE,   /* its source has MaxConnectionsPerSource= of them */
        REFUSED_RATE,     /* its source has used up RateLimitPerSource= */
        REFUSALS,
};

/* Returns its name in a status. */
const char *refusal_name(enum refusal refusal);

/* Reasons that a later version may add have their place in the ledger already. */
#define REFUSALS_MAX 16

/* accepted = open + done + failed + lost + the sum of refused, always. `taken_back` counts
 * moves. */
struct counters {
        uint64_t accepted;
        uint64_t done;
        uint64_t failed;
        uint64_t lost;
        uint64_t refused[REFUSALS_MAX];
        uint64_t taken_back;
};

static inline uint64_t counters_sum_refused(const struct counters *counters)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < REFUSALS_MAX; i++)
                sum += counters->refused[i];

        return sum;
}

/* What becomes of a connection in the end. */
enum outcome {
        OUTCOME_DONE,   /* the worker served it */
        OUTCOME_FAILED, /* the worker said that it could not */
        OUTCOME_LOST,
        OUTCOME_REFUSED, /* and upwards: plus enum refusal */
        OUTCOMES = OUTCOME_REFUSED + REFUSALS,
};

/* Returns the counter of an outcome. */
static inline uint64_t *counters_get(struct counters *counters, enum outcome outcome)
{
        switch (outcome) {
        case OUTCOME_DONE:
                return &counters->done;
        case OUTCOME_FAILED:
                return &counters->failed;
        case OUTCOME_LOST:
                return &counters->lost;
        case OUTCOME_REFUSED:
        case OUTCOMES:
        default:
                return &counters->refused[outcome - OUTCOME_REFUSED];
        }
}

/* Returns true where an id may have been given by the time that `last_serial` was: its serial is
 * nearer behind that one than before it. */
static inline bool slot_id_was_given(uint64_t id, uint64_t last_serial)
{
        uint64_t serial = id >> SLOT_BITS;

        return serial > 0 && ((last_serial - serial) & SERIAL_MAX) <= SERIAL_MAX / 2;
}

/* What lies in the ledger beside the table. All zeros: nothing was ever in use. */
struct slots_head {
        uint64_t last_serial;
        uint32_t n_touched; /* slots from here on were never in use */
        uint32_t unused;
};

struct slots {
        struct slots_head *head;
        struct slot *table;
        uint32_t n_table;
        uint32_t n_used;
        uint32_t *free_list; /* freed slots below n_touched, last freed first */
        uint32_t n_free;
};

/* `head` and the `table` of `n_table` slots stay the caller's; they are as another one left them,
 * or all zeros. Returns 0, -ENOMEM, or -EBADMSG where they cannot be right. */
int slots_init(struct slots *slots, struct slots_head *head, struct slot *table, uint32_t n_table);
void slots_done(struct slots *slots);

/* Takes a free slot into use, as RESERVED without a worker. Returns NULL where none is free. */
struct slot *slots_reserve(struct slots *slots, uint16_t listener, usec_t accepted_at);

/* Returns the slot in use under this id, or NULL where the id is stale or was never given. */
struct slot *slots_get(const struct slots *slots, uint64_t id);

void slots_release(struct slots *slots, struct slot *slot);

static inline struct source slot_get_source(const struct slot *slot)
{
        struct source source = { .kind = slot->source_kind };

        memcpy(source.bytes, slot->source, sizeof(source.bytes));
        return source;
}

/* The state is what a later reader of the table goes by, so it is written after all else. */
static inline void slot_set_state(struct slot *slot, enum slot_state state)
{
        __atomic_store_n(&slot->state, (uint8_t)state, __ATOMIC_RELEASE);
}
