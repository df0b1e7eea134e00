/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a file must be like to be a ledger, and where its parts lie. It was written by another
 * program, perhaps an older or a newer one, so each size in it is checked before it is used.
 */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/ledger-layout.h"

/* What the first program of this version had; no later one has less, and none is that large. */
#define HEADER_FIRST (offsetof(struct ledger_header, pool) + offsetof(struct pool_state, reserved))
#define ROW_FIRST    (offsetof(struct worker_row, unused) + sizeof(uint32_t))
#define SLOT_FIRST   (offsetof(struct slot, unused) + 2)
#define HEADER_MAX   (1U << 20)
#define ITEM_MAX     4096U

static size_t align(size_t offset)
{
        return (offset + 63) & ~(size_t)63;
}

void ledger_layout_place(struct ledger_layout *layout)
{
        layout->rows_at = align(layout->header_size);
        layout->slots_at = align(layout->rows_at + layout->n_rows * layout->row_size);
        layout->size = layout->slots_at + layout->n_slots * layout->slot_size;
}

static bool is_sane(uint32_t size, size_t first, uint32_t max)
{
        return size >= first && size <= max && size % 8 == 0;
}

/* Of this version. */
static const char *read_header(struct ledger_layout *layout, struct ledger_header *header, size_t n)
{
        if (n < HEADER_FIRST)
                return "it is too short";
        if (!is_sane(header->header_size, HEADER_FIRST, HEADER_MAX) ||
                !is_sane(header->row_size, ROW_FIRST, ITEM_MAX) ||
                !is_sane(header->slot_size, SLOT_FIRST, ITEM_MAX))
                return "its parts have impossible sizes";

        *layout = (struct ledger_layout){
                .version = LEDGER_VERSION,
                .header_size = header->header_size,
                .row_size = header->row_size,
                .slot_size = header->slot_size,
                .n_rows = header->n_rows,
                .n_slots = header->n_slots,
        };

        /* behind a smaller header are rows */
        if (header->header_size < sizeof(*header))
                memset((uint8_t *)header + header->header_size, 0,
                        sizeof(*header) - header->header_size);
        return NULL;
}

static const char *check(int fd, struct ledger_layout *layout, const struct ledger_header *header)
{
        struct stat st;

        if (layout->n_rows == 0 || layout->n_rows > LEDGER_ROWS_MAX || layout->n_slots == 0 ||
                layout->n_slots > SLOTS_MAX || fstat(fd, &st) < 0)
                return "its size is wrong";
        ledger_layout_place(layout);
        if ((size_t)st.st_size != layout->size)
                return "its size is wrong";

        if (header->n_names > LEDGER_NAMES_MAX)
                return "it has too many names";
        for (uint32_t i = 0; i < header->n_names; i++)
                if (!memchr(header->names[i], '\0', LEDGER_NAME_SIZE))
                        return "a name in it has no end";

        layout->n_touched = MIN(header->pool.slots.n_touched, layout->n_slots);
        return NULL;
}

const char *ledger_layout_read(int fd, struct ledger_layout *layout, struct ledger_header *header)
{
        int seals = fcntl(fd, F_GET_SEALS);
        const char *why = NULL;
        ssize_t n;

        *header = (struct ledger_header){};
        if (seals < 0 || (seals & LEDGER_SEALS) != LEDGER_SEALS)
                return "it is not sealed";
        n = pread(fd, header, sizeof(*header), 0);
        if (n < (ssize_t)offsetof(struct ledger_header, names))
                return "it is too short";
        if (memcmp(header->magic, LEDGER_MAGIC, sizeof(LEDGER_MAGIC)) != 0)
                return "it does not begin like one";

        if (header->version == LEDGER_V2)
                why = ledger_v2_read(fd, layout, header);
        else if (header->version == LEDGER_VERSION)
                why = read_header(layout, header, (size_t)n);
        else
                why = "it has another version";

        return why ?: check(fd, layout, header);
}

void ledger_layout_get_row(
        const struct ledger_layout *layout, const void *from, struct worker_row *to)
{
        *to = (struct worker_row){};
        if (layout->version == LEDGER_V2)
                ledger_v2_get_row(from, to);
        else
                memcpy(to, from, MIN(layout->row_size, sizeof(*to)));
}

void ledger_layout_get_slot(const struct ledger_layout *layout, const void *from, struct slot *to)
{
        *to = (struct slot){};
        if (layout->version == LEDGER_V2)
                ledger_v2_get_slot(from, to);
        else
                memcpy(to, from, MIN(layout->slot_size, sizeof(*to)));
}
