/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool.h"

/*
 * The ledger: a memfd with the counters, the listeners' names, the workers and the slots. It is
 * the state itself, not a copy of it.
 *
 * It is as large as the settings ask for, and its header says how large header, rows and slots are.
 * Within a version, fields are only ever added at their ends. So a program can read what an older
 * or a newer one left, and copies it into a ledger of its own where the sizes are others: what the
 * older one did not have is zero, what the newer one had besides is gone.
 */

#define LEDGER_VERSION   3
#define LEDGER_ROWS_MAX  (1U << 16)
#define LEDGER_NAMES_MAX 64
#define LEDGER_NAME_SIZE 256 /* FDNAME_MAX of systemd, and the final 0 */

struct ledger_header {
        char magic[8];
        uint32_t version;
        uint32_t header_size, row_size, slot_size;
        uint32_t n_rows;
        uint32_t n_slots;
        uint32_t n_names;
        uint32_t unused;
        char names[LEDGER_NAMES_MAX][LEDGER_NAME_SIZE]; /* the index is the one on the wire */
        struct pool_state pool;                         /* the last, since it may grow */
};

struct ledger {
        int fd;
        uint64_t number; /* of its name in the store; the caller's to set */
        size_t size;
        struct ledger_header *header;
        struct worker_row *rows;
        struct slot *slots;
};

#define LEDGER_NULL ((struct ledger){ .fd = -1 })

/* How large it has to be. */
struct ledger_needs {
        uint32_t n_rows; /* behind those in use: workers of earlier generations may be there */
        uint32_t n_slots;
};

/* Returns how many rows a new ledger gets where `used` of them are taken: more than are needed, so
 * that not each reload copies it. */
uint32_t ledger_count_rows(uint32_t used, const struct ledger_needs *needs);

/* Returns how many bytes an empty ledger takes. */
size_t ledger_get_size(const struct ledger_needs *needs);

/* Makes an empty ledger. Returns 0 or -errno: -EFBIG where RLIMIT_FSIZE does not allow it. */
int ledger_create(struct ledger *ledger, uint32_t n_rows, uint32_t n_slots);

/*
 * Takes over one that another process left. Returns 0; or 1 where it was copied into a new one,
 * since it was another program's or is too small, and the old one is as it was; or -errno; or
 * -EBADMSG where it is none that this version can use: *ret_why is a static string then, else it
 * is as it was.
 */
int ledger_adopt(struct ledger *ledger, int fd_consume, const struct ledger_needs *needs,
        const char **ret_why);
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
