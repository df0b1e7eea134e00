/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool.h"

/*
 * The ledger: a memfd with the counters, the listeners' names, the workers and the slots. It is
 * the state itself, not a copy of it.
 */

#define LEDGER_VERSION   3
#define LEDGER_ROWS      12294     /* pool_rows_needed() of the most workers that settings allow */
#define LEDGER_SLOTS     SLOTS_MAX /* what was never in use costs no memory */
#define LEDGER_NAMES_MAX 64
#define LEDGER_NAME_SIZE 256 /* FDNAME_MAX of systemd, and the final 0 */

struct ledger_header {
        char magic[8];
        uint32_t version;
        uint32_t n_rows;
        uint32_t n_slots;
        uint32_t n_names;
        struct pool_state pool;
        char names[LEDGER_NAMES_MAX][LEDGER_NAME_SIZE]; /* the index is the one on the wire */
};

struct ledger {
        int fd;
        size_t size;
        struct ledger_header *header;
        struct worker_row *rows;
        struct slot *slots;
};

#define LEDGER_NULL ((struct ledger){ .fd = -1 })

/* Makes an empty ledger. Returns 0 or -errno. */
int ledger_create(struct ledger *ledger, uint32_t n_rows, uint32_t n_slots);

/* Takes over one that another process left. Returns 0, -errno, or -EBADMSG where it is none that
 * this version can use: *ret_why is a static string then, else it is as it was. */
int ledger_adopt(struct ledger *ledger, int fd_consume, const char **ret_why);
void ledger_done(struct ledger *ledger);

/* Returns the generation in force according to a ledger that another process left, or 0 where it
 * cannot be used. */
uint32_t ledger_read_generation(int fd);

/* Returns the index of `name`, which is added if it is new, or -ENOSPC. */
int ledger_add_name(struct ledger *ledger, const char *name);

/* Returns all names, separated by colons, for the caller to free, or NULL without memory. */
char *ledger_join_names(const struct ledger *ledger);

/* The memory for pool_init(), with `n_rows` rows behind those that are in use: workers of any
 * number of generations before may still have connections. */
struct pool_memory ledger_get_memory(struct ledger *ledger, uint32_t n_rows);
