/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wire/record.h"

/*
 * The connections that a worker holds, and those that it has finished and not yet reported. Each
 * has one slot from its receipt until its end is told; slots never move, so that a listing can be
 * interrupted.
 */

struct held_slot {
        uint64_t id;    /* 0: free */
        uint32_t value; /* of the record that says its end */
        uint32_t next;  /* in its bucket, among the finished or among the free */
        uint8_t end;    /* type of that record; 0: it is held */
        bool idle;      /* while it is held: the worker has nothing to do for it */
};

/* Indices are 1 more than the place, so that zeroed memory is an empty table and pages that were
 * never used cost nothing. */
struct held {
        struct held_slot *slots;
        uint32_t *buckets;
        uint32_t size;
        uint32_t n_buckets; /* a power of 2 */
        uint32_t n_touched; /* slots beyond were never used */
        uint32_t first_free;
        uint32_t first_finished, last_finished;
        uint32_t n_held, n_finished;
        uint32_t n_idle; /* of those held */
};

#define HELD_NULL                                                                                  \
        {                                                                                          \
                0                                                                                  \
        }
#define HELD_SIZE_MAX (UINT32_C(1) << 24) /* as many bits as the hash has */

/* A place in a listing. */
#define HELD_LIST_BEGIN 0U
#define HELD_LIST_END   UINT32_MAX

/* Grows the table to `size` slots, at most HELD_SIZE_MAX. Never shrinks. Returns 0 or -ENOMEM. */
int held_grow(struct held *held, uint32_t size);

void held_done(struct held *held);

/* Returns 0, -ENOSPC (no free slot) or -EEXIST. */
int held_add(struct held *held, uint64_t id, uint32_t value);

/* Moves a held connection to the end of the finished ones, to be told as DONE, or as FAILED for a
 * reason. Returns 0 or -ENOENT. */
int held_finish(struct held *held, uint64_t id);
int held_fail(struct held *held, uint64_t id, uint32_t reason);

/* Returns 0 or -ENOENT. */
int held_set_idle(struct held *held, uint64_t id, bool idle);

/* Writes the records for the first finished ones, at most `max`. Returns how many. */
size_t held_get_finished(const struct held *held, struct record *records, size_t max);

/* Frees the slots of the first `n` finished ones. */
void held_drop_finished(struct held *held, size_t n);

/* Writes HELD records from *place on, at most `max`, and moves *place, in the end to HELD_LIST_END.
 * Returns how many. */
size_t held_list(const struct held *held, uint32_t *place, struct record *records, size_t max);
