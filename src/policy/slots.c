/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Slots of the ledger: which are in use, and under which ids. Knows nothing of workers but their
 * row numbers.
 */

#include <assert.h>

#include "policy/slots.h"

const char *refusal_name(enum refusal refusal)
{
        static const char *const names[REFUSALS] = {
                [REFUSED_STOPPING] = "stopping",
                [REFUSED_STRANDED] = "stranded",
                [REFUSED_SOURCE] = "source",
                [REFUSED_RATE] = "rate",
        };

        return names[refusal];
}

static bool is_sound(const struct slots *slots, uint32_t index)
{
        const struct slot *slot = &slots->table[index];

        return slot->state <= SLOT_SENT && (slot->id & (SLOTS_MAX - 1)) == index &&
               slot_id_was_given(slot->id, slots->head->last_serial);
}

int slots_init(struct slots *slots, struct slots_head *head, struct slot *table, uint32_t n_table)
{
        assert(n_table > 0 && n_table <= SLOTS_MAX);

        *slots = (struct slots){ .head = head, .table = table, .n_table = n_table };
        if (head->n_touched > n_table || head->last_serial > SERIAL_MAX)
                return -EBADMSG;

        slots->free_list = malloc(n_table * sizeof(uint32_t));
        if (!slots->free_list)
                return -ENOMEM;

        for (uint32_t i = 0; i < head->n_touched; i++) {
                if (table[i].state == SLOT_FREE)
                        slots->free_list[slots->n_free++] = i;
                else if (is_sound(slots, i))
                        slots->n_used++;
                else {
                        slots_done(slots);
                        return -EBADMSG;
                }
        }

        return 0;
}

void slots_done(struct slots *slots)
{
        free(TAKE_PTR(slots->free_list));
}

/* At 30,000 connections a second, the bits last for 424 days. 0 is in no id. */
static uint64_t next_serial(uint64_t last)
{
        return last < SERIAL_MAX ? last + 1 : 1;
}

struct slot *slots_reserve(struct slots *slots, uint16_t listener, usec_t accepted_at)
{
        uint32_t index;
        struct slot *slot;

        if (slots->n_free > 0)
                index = slots->free_list[--slots->n_free];
        else if (slots->head->n_touched < slots->n_table)
                index = slots->head->n_touched++;
        else
                return NULL;

        /* Nothing is said of its state: what lies behind n_touched in a damaged ledger may be
         * anything. */
        slot = &slots->table[index];

        slots->head->last_serial = next_serial(slots->head->last_serial);
        slot->id = slots->head->last_serial << SLOT_BITS | index;
        slot->accepted_at = accepted_at;
        memset(slot->source, 0, sizeof(slot->source));
        slot->cookie = 0;
        slot->worker = SLOT_NO_WORKER;
        slot->handshake = 0;
        slot->listener = listener;
        slot->attempt = 0;
        slot->listed = false;
        slot->source_kind = 0;
        slot_set_state(slot, SLOT_RESERVED);
        slots->n_used++;

        return slot;
}

struct slot *slots_get(const struct slots *slots, uint64_t id)
{
        uint32_t index = (uint32_t)(id & (SLOTS_MAX - 1));
        struct slot *slot;

        if (index >= slots->head->n_touched)
                return NULL;

        slot = &slots->table[index];
        return slot->state != SLOT_FREE && slot->id == id ? slot : NULL;
}

void slots_release(struct slots *slots, struct slot *slot)
{
        assert(slot->state != SLOT_FREE);
        assert(slots->n_used > 0);

        slot_set_state(slot, SLOT_FREE);
        slots->free_list[slots->n_free++] = (uint32_t)(slot - slots->table);
        slots->n_used--;
}
