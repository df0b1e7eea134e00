/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/ledger.h"

/*
 * How a ledger lies in its file, whichever program made it.
 */

#define LEDGER_MAGIC "acceptd"
#define LEDGER_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct ledger_layout {
        uint32_t version;
        size_t header_size, row_size, slot_size;
        uint32_t n_rows, n_slots;
        uint32_t n_touched; /* slots that were ever in use */
        size_t rows_at, slots_at, size;
};

/* Fills in where the parts lie, from their sizes and numbers. */
void ledger_layout_place(struct ledger_layout *layout);

/* Reads a header, as this version has it, and the layout. Returns what is wrong with a file as a
 * ledger, or NULL. What the pool keeps in it is checked by pool_init(). */
const char *ledger_layout_read(int fd, struct ledger_layout *layout, struct ledger_header *header);

/* Translates one row or slot, which lies at `from`. */
void ledger_layout_get_row(
        const struct ledger_layout *layout, const void *from, struct worker_row *to);
void ledger_layout_get_slot(const struct ledger_layout *layout, const void *from, struct slot *to);

/* --- Version 2, which had no sizes in it: ledger-v2.c --- */

#define LEDGER_V2 2

/* Returns the same as ledger_layout_read(), or NULL. */
const char *ledger_v2_read(int fd, struct ledger_layout *layout, struct ledger_header *header);
void ledger_v2_get_row(const void *from, struct worker_row *to);
void ledger_v2_get_slot(const void *from, struct slot *to);
