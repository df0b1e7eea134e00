/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A hash table with chains through an array of slots, and a queue of the finished ones through the
 * same slots: what the dispatcher may hand over is bounded by what it has been told is done, so one
 * array of the announced capacity has room for both. It knows no channel.
 */

#include "libacceptd/held.h"

/* Fibonacci hashing: ids of one worker differ in few bits. */
static uint32_t *get_bucket(const struct held *held, uint64_t id)
{
        uint64_t hash = id * UINT64_C(0x9E3779B97F4A7C15);

        return &held->buckets[(hash >> 40) & (held->n_buckets - 1)];
}

static struct held_slot *get_slot(const struct held *held, uint32_t index)
{
        return &held->slots[index - 1];
}

static void link_slot(struct held *held, uint32_t index)
{
        struct held_slot *slot = get_slot(held, index);
        uint32_t *bucket = get_bucket(held, slot->id);

        slot->next = *bucket;
        *bucket = index;
}

int held_grow(struct held *held, uint32_t size)
{
        struct held_slot *slots;
        uint32_t *buckets, n_buckets = 1;

        if (size <= held->size)
                return 0;
        if (size > HELD_SIZE_MAX)
                return -ENOMEM;

        while (n_buckets < size)
                n_buckets *= 2;

        /* calloc, not realloc: it leaves the pages untouched */
        slots = calloc(size, sizeof(*slots));
        buckets = calloc(n_buckets, sizeof(*buckets));
        if (!slots || !buckets) {
                free(slots);
                free(buckets);
                return -ENOMEM;
        }

        if (held->n_touched > 0)
                memcpy(slots, held->slots, held->n_touched * sizeof(*slots));
        free(held->slots);
        free(held->buckets);
        held->slots = slots;
        held->buckets = buckets;
        held->size = size;
        held->n_buckets = n_buckets;

        for (uint32_t index = 1; index <= held->n_touched; index++)
                if (get_slot(held, index)->id != 0 && get_slot(held, index)->end == 0)
                        link_slot(held, index);

        return 0;
}

void held_done(struct held *held)
{
        free(held->slots);
        free(held->buckets);
        *held = (struct held)HELD_NULL;
}

/* Returns what points at the slot of a held connection, or NULL. */
static uint32_t *find(const struct held *held, uint64_t id)
{
        if (held->n_buckets == 0)
                return NULL;

        for (uint32_t *at = get_bucket(held, id); *at != 0; at = &get_slot(held, *at)->next)
                if (get_slot(held, *at)->id == id)
                        return at;

        return NULL;
}

int held_add(struct held *held, uint64_t id, uint32_t value)
{
        uint32_t index;

        if (find(held, id))
                return -EEXIST;

        if (held->first_free != 0) {
                index = held->first_free;
                held->first_free = get_slot(held, index)->next;
        } else if (held->n_touched < held->size)
                index = ++held->n_touched;
        else
                return -ENOSPC;

        *get_slot(held, index) = (struct held_slot){ .id = id, .value = value };
        link_slot(held, index);
        held->n_held++;
        return 0;
}

/* Returns the slot, or NULL. */
static struct held_slot *finish(struct held *held, uint64_t id, enum record_type end)
{
        uint32_t *at = find(held, id), index;
        struct held_slot *slot;

        if (!at)
                return NULL;

        index = *at;
        slot = get_slot(held, index);
        *at = slot->next;
        slot->next = 0;
        slot->end = (uint8_t)end;

        if (held->first_finished == 0)
                held->first_finished = index;
        else
                get_slot(held, held->last_finished)->next = index;
        held->last_finished = index;

        assert(held->n_held > 0);
        held->n_held--;
        held->n_idle -= slot->idle;
        held->n_finished++;
        return slot;
}

int held_finish(struct held *held, uint64_t id)
{
        return finish(held, id, RECORD_DONE) ? 0 : -ENOENT;
}

int held_fail(struct held *held, uint64_t id, uint32_t reason)
{
        struct held_slot *slot = finish(held, id, RECORD_FAILED);

        if (!slot)
                return -ENOENT;

        slot->value = reason;
        return 0;
}

int held_set_idle(struct held *held, uint64_t id, bool idle)
{
        uint32_t *at = find(held, id);
        struct held_slot *slot;

        if (!at)
                return -ENOENT;

        slot = get_slot(held, *at);
        held->n_idle = held->n_idle - slot->idle + idle;
        slot->idle = idle;
        return 0;
}

size_t held_get_finished(const struct held *held, struct record *records, size_t max)
{
        uint32_t index = held->first_finished;
        size_t n;

        for (n = 0; n < max && index != 0; n++) {
                const struct held_slot *slot = get_slot(held, index);

                records[n] = (struct record){
                        .version = RECORD_VERSION,
                        .type = slot->end,
                        .value = slot->value,
                        .id = slot->id,
                };
                index = slot->next;
        }

        return n;
}

void held_drop_finished(struct held *held, size_t n)
{
        assert(n <= held->n_finished);

        for (; n > 0; n--) {
                uint32_t index = held->first_finished;
                struct held_slot *slot = get_slot(held, index);

                held->first_finished = slot->next;
                held->n_finished--;
                *slot = (struct held_slot){ .next = held->first_free };
                held->first_free = index;
        }
}

size_t held_list(const struct held *held, uint32_t *place, struct record *records, size_t max)
{
        size_t n = 0;

        while (n < max && *place < held->n_touched) {
                const struct held_slot *slot = &held->slots[(*place)++];

                if (slot->id == 0 || slot->end != 0)
                        continue;

                records[n++] = (struct record){
                        .version = RECORD_VERSION,
                        .type = RECORD_HELD,
                        .id = slot->id,
                };
        }
        if (*place >= held->n_touched)
                *place = HELD_LIST_END;

        return n;
}
