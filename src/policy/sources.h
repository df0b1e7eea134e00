/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/source.h"
#include "base/time.h"

/*
 * How many connections each source has, and what else is remembered of it: a hash table of fixed
 * size. It has room for all that have a connection, and for SOURCES_SPARE that have none: of those,
 * the one that had its last the longest ago is forgotten first.
 *
 * It is private memory, and can be made again from the slots of the ledger, but for what it
 * remembers of who has no connection.
 */

#define SOURCES_SPARE 4096U
#define SOURCES_NONE  UINT32_MAX

/* What is known of one. */
struct source_row {
        struct source key; /* as source_shorten() makes it */
        uint32_t open;
        uint64_t refused;  /* connections, since it is known */
        uint64_t n_untold; /* those of them that the journal has not got */
        usec_t told_at;    /* 0: never */
        uint64_t debt;     /* of its bucket: pool-limit.c */
        usec_t paid_at;    /* ... so it was at this time */

        uint32_t next;         /* in its chain of the hash table */
        uint32_t older, newer; /* among those without a connection */
};

struct sources {
        struct source_prefixes prefixes;
        struct source_row *rows;
        uint32_t n_rows, n_touched; /* rows from n_touched on were never used */
        uint32_t n_open;            /* rows with a connection */
        uint32_t *chains;           /* a row plus 1, or 0; n_chains is a power of 2 */
        uint32_t n_chains;
        uint32_t oldest, newest; /* of those without a connection, or SOURCES_NONE */
        uint64_t seed;
};

/* `seed` is random, so that nobody can choose addresses that end in one chain. Costs no memory
 * while no source is counted. Returns 0 or -ENOMEM. */
int sources_init(
        struct sources *s, uint32_t n_slots, struct source_prefixes prefixes, uint64_t seed);
void sources_done(struct sources *s);

/* Forgets all of them. */
void sources_reset(struct sources *s, struct source_prefixes prefixes);

/* Returns what is known of this one, or NULL. Valid until one is added. */
struct source_row *sources_find(const struct sources *s, const struct source *source);

/* One of its connections came, or went. `source` is not SOURCE_UNKNOWN, and there are no more
 * connections than slots. sources_add() returns its row, valid until the next call. */
struct source_row *sources_add(struct sources *s, const struct source *source);
void sources_remove(struct sources *s, const struct source *source);
