/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/worker.h"
#include "raw.h"

/*
 * A pool in this process' memory, its workers and a loop that is driven by hand: what
 * src/dispatcher needs below the dispatcher itself.
 */

#define SMALL_POOL_ROWS  9 /* what one worker needs: pool_rows_needed() */
#define SMALL_POOL_SLOTS 8

struct small_pool {
        struct settings settings;
        struct pool_state state;
        struct worker_row rows[SMALL_POOL_ROWS];
        struct slot slots[SMALL_POOL_SLOTS];
        struct pool pool;
        struct loop loop;
        struct worker_context context;
        struct worker workers[SMALL_POOL_ROWS];
};

void small_pool_init(struct small_pool *p);
void small_pool_done(struct small_pool *p);

/* Has the worker in this row a channel, without a process, and ready for `capacity` connections. */
struct worker *small_pool_add_worker(struct small_pool *p, uint32_t row, uint32_t capacity);

/* Says a record as the worker does. */
void small_pool_say(struct worker *w, uint8_t type, uint32_t value, uint64_t id);

/* Receives what was sent to the worker. Returns the inode of the connection that came along, or 0;
 * *ret_id is the record's. */
uint64_t small_pool_receive(struct worker *w, uint64_t *ret_id);

enum worker_state small_pool_state(const struct worker *w);

/* Until nothing more happens. Returns 0 or -errno. */
int small_pool_run(struct small_pool *p);
