/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The open connections, as JSON, some at a time: there may be many, and the dispatcher serves in
 * between. It changes nothing.
 */

#include <inttypes.h>

#include "control/control-methods.h"
#include "dispatcher/dispatcher.h"

/* So many slots are looked at for one reply, and so many connections are in it. */
#define LOOK_MAX  4096
#define REPLY_MAX 100

#define INTEGER(number) ((json_int_t)(number))

/* The slot may be from a dispatcher before this one. */
static const char *name_listener(const struct dispatcher *d, uint16_t listener)
{
        const struct ledger_header *h = d->ledger.header;

        return listener < h->n_names ? h->names[listener] : "";
}

static bool is_wanted(const struct dispatcher *d, const struct slot *slot,
        const struct worker_row *row, const struct control_filter *filter)
{
        if (slot->state == SLOT_FREE)
                return false;
        if (filter->worker != 0 && (!row || INTEGER(row->number) != filter->worker))
                return false;

        return !filter->listener || streq(filter->listener, name_listener(d, slot->listener));
}

static json_t *make_source(const struct slot *slot)
{
        struct source source = slot_get_source(slot);
        char text[SOURCE_FORMAT_SIZE];

        if (source.kind == SOURCE_UNKNOWN || source.kind >= SOURCE_KINDS)
                return NULL;

        return json_string(source_format_short(&source, SOURCE_WHOLE, text));
}

/* An id has 64 bits, and a number of JSON is sure to have 53. */
static json_t *make_connection(
        const struct dispatcher *d, const struct slot *slot, const struct worker_row *row)
{
        char id[24];

        (void)snprintf(id, sizeof(id), "%" PRIu64, slot->id);
        return json_pack("{s:s, s:o, s:s, s:o?, s:o?, s:I, s:I, s:o?}", "id", id, "listener",
                varlink_make_text(name_listener(d, slot->listener)), "state",
                row ? "assigned" : "waiting", "worker",
                row ? json_integer(INTEGER(row->number)) : NULL, "workerPID",
                row ? json_integer(row->pid) : NULL, "acceptedAt", INTEGER(slot->accepted_at),
                "attempt", INTEGER(slot->attempt), "source", make_source(slot));
}

json_t *control_make_connections(
        const struct dispatcher *d, const struct control_filter *filter, uint64_t *position)
{
        const struct slots *slots = &d->pool.slots;
        json_t *list = json_array();
        uint64_t i = *position, end = MIN(i + LOOK_MAX, (uint64_t)slots->head->n_touched);

        for (; list && i < end && json_array_size(list) < REPLY_MAX; i++) {
                const struct slot *slot = &slots->table[i];
                const struct worker_row *row = slot->worker == SLOT_NO_WORKER
                                                       ? NULL
                                                       : d->pool.workers[slot->worker].record;

                if (is_wanted(d, slot, row, filter))
                        (void)json_array_append_new(list, make_connection(d, slot, row));
        }

        *position = i < slots->head->n_touched ? i : 0;
        return list;
}
