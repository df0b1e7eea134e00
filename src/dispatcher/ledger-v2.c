/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ledger of version 2, as the first programs left it. The structs are frozen: they say what
 * lies in such a file, whatever becomes of those that they once were.
 */

#include <unistd.h>

#include "dispatcher/ledger-layout.h"

struct v2_counters {
        uint64_t accepted, done, lost;
        uint64_t refused[2];
        uint64_t taken_back;
};

struct v2_pool_state {
        struct v2_counters counters;
        uint64_t last_serial;
        uint32_t n_touched, unused;
        uint32_t last_number;
        uint32_t generation, trial, last_generation;
        uint32_t floor;
        uint32_t settling; /* 0 done, 1 lost, 2 and upwards refused */
        uint32_t stopping;
        uint32_t last_question;
        uint32_t processes;
};

struct v2_header {
        char magic[8];
        uint32_t version;
        uint32_t n_rows, n_slots, n_names;
        struct v2_pool_state pool;
        char names[LEDGER_NAMES_MAX][LEDGER_NAME_SIZE];
};

struct v2_row {
        uint32_t number;
        int32_t pid;
        uint32_t generation, capacity, state;
        uint32_t taking; /* lowest bit: one is in transit; above it, how many vanished */
        uint64_t handed_over, deadline;
};

struct v2_slot {
        uint64_t id, accepted_at;
        uint32_t worker;
        uint16_t listener;
        uint8_t state, listed;
};

static_assert(sizeof(struct v2_header) == 16512, "frozen");
static_assert(sizeof(struct v2_row) == 40 && sizeof(struct v2_slot) == 24, "frozen");

static uint32_t translate_outcome(uint32_t v2)
{
        return v2 == 0 ? OUTCOME_DONE : v2 == 1 ? OUTCOME_LOST : OUTCOME_REFUSED + v2 - 2;
}

static void translate_state(const struct v2_pool_state *from, struct pool_state *to)
{
        *to = (struct pool_state){
                .counters = {
                        .accepted = from->counters.accepted,
                        .done = from->counters.done,
                        .lost = from->counters.lost,
                        .refused = { from->counters.refused[0], from->counters.refused[1] },
                        .taken_back = from->counters.taken_back,
                },
                .slots = { .last_serial = from->last_serial, .n_touched = from->n_touched },
                .last_number = from->last_number,
                .generation = from->generation,
                .trial = from->trial,
                .last_generation = from->last_generation,
                .before_reload = from->floor,
                .ending = translate_outcome(MIN(from->settling, 99U)),
                .stopping = from->stopping,
                .last_question = from->last_question,
        };
}

const char *ledger_v2_read(int fd, struct ledger_layout *layout, struct ledger_header *header)
{
        struct v2_header old;

        if (pread(fd, &old, sizeof(old), 0) != sizeof(old))
                return "it is too short";

        *layout = (struct ledger_layout){
                .version = LEDGER_V2,
                .header_size = sizeof(struct v2_header),
                .row_size = sizeof(struct v2_row),
                .slot_size = sizeof(struct v2_slot),
                .n_rows = old.n_rows,
                .n_slots = old.n_slots,
        };
        *header = (struct ledger_header){ .n_names = old.n_names };
        memcpy(header->names, old.names, sizeof(old.names));
        translate_state(&old.pool, &header->pool);
        return NULL;
}

void ledger_v2_get_row(const void *from, struct worker_row *to)
{
        struct v2_row row;
        uint32_t vanished;

        memcpy(&row, from, sizeof(row));
        vanished = row.taking / 2;
        *to = (struct worker_row){
                .number = row.number,
                .handed_over = row.handed_over,
                .started_at = row.state == WORKER_NONE ? 0 : usec_now(), /* nobody wrote it down */
                .deadline = row.deadline,
                .pid = row.pid,
                .generation = row.generation,
                .capacity = row.capacity,
                .state = row.state,
                .vanished = vanished,
                .in_transit = row.taking % 2 ? vanished + 1 : 0,
        };
}

void ledger_v2_get_slot(const void *from, struct slot *to)
{
        struct v2_slot slot;

        memcpy(&slot, from, sizeof(slot));
        *to = (struct slot){
                .id = slot.id,
                .accepted_at = slot.accepted_at,
                .worker = slot.worker,
                .listener = slot.listener,
                .state = slot.state,
                .listed = slot.listed,
        };
}
