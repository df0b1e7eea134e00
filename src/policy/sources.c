/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sources and their connections. Knows nothing of limits, slots or the pool; time is told.
 */

#include <assert.h>

#include "policy/sources.h"

int sources_init(
        struct sources *s, uint32_t n_slots, struct source_prefixes prefixes, uint64_t seed)
{
        *s = (struct sources){
                .prefixes = prefixes,
                .n_rows = n_slots + SOURCES_SPARE,
                .n_chains = SOURCES_SPARE,
                .oldest = SOURCES_NONE,
                .newest = SOURCES_NONE,
                .seed = seed,
        };
        while (s->n_chains < s->n_rows)
                s->n_chains *= 2;

        /* What the kernel gives is no memory before it is touched, zeros included. */
        s->rows = malloc(s->n_rows * sizeof(*s->rows));
        s->chains = calloc(s->n_chains, sizeof(*s->chains));
        if (!s->rows || !s->chains) {
                sources_done(s);
                return -ENOMEM;
        }

        return 0;
}

void sources_done(struct sources *s)
{
        free(TAKE_PTR(s->rows));
        free(TAKE_PTR(s->chains));
}

void sources_reset(struct sources *s, struct source_prefixes prefixes)
{
        if (s->n_touched > 0)
                memset(s->chains, 0, s->n_chains * sizeof(*s->chains));
        s->prefixes = prefixes;
        s->n_touched = s->n_open = 0;
        s->oldest = s->newest = SOURCES_NONE;
}

/* --- The hash table --- */

/* splitmix64: each bit of the input changes half of those of the output. */
static uint64_t mix(uint64_t x)
{
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x = (x ^ x >> 27) * 0x94d049bb133111eb;
        return x ^ x >> 31;
}

static uint32_t *chain_of(const struct sources *s, const struct source *key)
{
        uint64_t halves[2], hash;

        memcpy(halves, key->bytes, sizeof(halves));
        hash = mix(s->seed ^ halves[0]);
        hash = mix(hash ^ halves[1]);
        hash = mix(hash ^ key->kind);

        return &s->chains[hash & (s->n_chains - 1)];
}

static uint32_t index_of(const struct sources *s, const struct source_row *row)
{
        return (uint32_t)(row - s->rows);
}

static struct source_row *find(const struct sources *s, const struct source *key)
{
        for (uint32_t i = *chain_of(s, key); i != 0; i = s->rows[i - 1].next)
                if (source_equal(&s->rows[i - 1].key, key))
                        return &s->rows[i - 1];

        return NULL;
}

static void take_out_of_chain(struct sources *s, const struct source_row *row)
{
        uint32_t *at = chain_of(s, &row->key);

        while (*at != index_of(s, row) + 1)
                at = &s->rows[*at - 1].next;
        *at = row->next;
}

/* --- Those without a connection --- */

static void begin_to_forget(struct sources *s, struct source_row *row)
{
        uint32_t index = index_of(s, row);

        row->older = s->newest;
        row->newer = SOURCES_NONE;
        if (s->newest != SOURCES_NONE)
                s->rows[s->newest].newer = index;
        else
                s->oldest = index;
        s->newest = index;
}

static void remember(struct sources *s, const struct source_row *row)
{
        if (row->older != SOURCES_NONE)
                s->rows[row->older].newer = row->newer;
        else
                s->oldest = row->newer;
        if (row->newer != SOURCES_NONE)
                s->rows[row->newer].older = row->older;
        else
                s->newest = row->older;
}

static struct source_row *take_free_row(struct sources *s)
{
        struct source_row *row;

        if (s->n_touched < s->n_rows)
                return &s->rows[s->n_touched++];

        assert(s->oldest != SOURCES_NONE); /* there are more rows than connections */
        row = &s->rows[s->oldest];
        remember(s, row);
        take_out_of_chain(s, row);
        return row;
}

/* --- Counting --- */

struct source_row *sources_find(const struct sources *s, const struct source *source)
{
        struct source key = source_shorten(source, s->prefixes);

        return find(s, &key);
}

struct source_row *sources_add(struct sources *s, const struct source *source)
{
        struct source key = source_shorten(source, s->prefixes);
        struct source_row *row = find(s, &key);

        if (!row) {
                uint32_t *chain = chain_of(s, &key);

                row = take_free_row(s);
                *row = (struct source_row){ .key = key, .next = *chain };
                *chain = index_of(s, row) + 1;
                s->n_open++;
        } else if (row->open == 0) {
                remember(s, row);
                s->n_open++;
        }

        row->open++;
        return row;
}

void sources_remove(struct sources *s, const struct source *source)
{
        struct source_row *row = sources_find(s, source);

        assert(row && row->open > 0);

        if (--row->open == 0) {
                s->n_open--;
                begin_to_forget(s, row);
        }
}
