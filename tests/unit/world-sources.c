/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whom the clients of a made-up world are: the world writes it down for itself, and counts by
 * looking through all of it.
 */

#include "policy/pool-limit.h"
#include "world-check.h"

/* The settings' list of who is exempt; some clients are. */
static struct source_range exempt[3];

static struct source pick_source(struct world *w)
{
        uint8_t ipv6[SOURCE_SIZE] = { 0x20, 1, 0x0d, 0xb8 };

        switch (world_random(w, 8)) {
        case 0:
                return (struct source){};
        case 1:
                return source_make(SOURCE_UID, world_random(w, 3));
        case 2:
                return source_make(SOURCE_CID, world_random(w, 3));
        case 3:
        case 4:
                ipv6[7] = (uint8_t)world_random(w, 4);
                ipv6[15] = (uint8_t)world_random(w, 2);
                return source_make_ipv6(ipv6);
        default:
                return source_make(SOURCE_IPV4, 0x0a000000 + world_random(w, 4) * 0x101);
        }
}

static struct source shorten(const struct world *w, const struct source *source)
{
        return source_shorten(source, w->settings.source_prefixes);
}

/* Open connections that count together with this one. */
static uint32_t count_together(const struct world *w, const struct source *source)
{
        struct source key = shorten(w, source);
        uint32_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(w->slots); i++) {
                struct source other = shorten(w, &w->sources[i]);

                n += w->slots[i].state != SLOT_FREE && source_equal(&key, &other);
        }

        return n;
}

static bool is_exempt(const struct world *w, const struct source *source)
{
        for (const struct source_range *r = w->settings.source_exempt;
                r && r->first.kind != SOURCE_UNKNOWN; r++)
                if (source_is_in(source, r))
                        return true;

        return false;
}

void world_change_limits(struct world *w)
{
        static const struct source_prefixes prefixes[] = { { 32, 64 }, { 24, 56 }, { 32, 128 } };
        struct settings *s = &w->settings;

        exempt[0] = (struct source_range){ source_make(SOURCE_IPV4, 0x0a000202), 32 };
        exempt[1] = (struct source_range){ source_make(SOURCE_UID, 0), 32 };
        s->max_per_source = world_chance(w, 128) ? 0 : 1 + world_random(w, 4);
        s->rate_per_source = world_chance(w, 128)
                                     ? (struct settings_rate){}
                                     : (struct settings_rate){ 1 + world_random(w, 6), 100000 };
        s->source_prefixes = prefixes[world_random(w, ELEMENTSOF(prefixes))];
        s->source_exempt = world_chance(w, 128) ? exempt : NULL;
}

bool world_admit(struct world *w, struct slot *slot)
{
        struct source *source = &w->sources[slot - w->slots];
        enum refusal reason = REFUSALS;
        uint32_t max = w->settings.max_per_source;
        bool over, admitted, paced = w->settings.rate_per_source.n > 0;

        *source = (struct source){};
        world_expect(w, w->pool.asks_source == (max > 0 || paced));
        if (!w->pool.asks_source)
                return true;

        *source = pick_source(w);
        over = max > 0 && source->kind != SOURCE_UNKNOWN && count_together(w, source) > max;
        admitted = pool_admit(&w->pool, slot, source, &reason);
        world_expect(w, admitted || (!is_exempt(w, source) && source->kind != SOURCE_UNKNOWN));
        if (over)
                world_expect(w, is_exempt(w, source) || reason == REFUSED_SOURCE);
        else if (!admitted)
                world_expect(w, paced && reason == REFUSED_RATE);
        if (!admitted)
                world_refuse_last(w, reason);

        return admitted;
}

/* The counts are what a recount finds, whatever has happened. */
void world_check_sources(struct world *w)
{
        uint32_t n_open = 0;

        for (uint32_t i = 0; i < ELEMENTSOF(w->slots); i++) {
                const struct source *source = &w->sources[i];
                const struct source_row *row;

                if (w->slots[i].state == SLOT_FREE)
                        continue;
                world_expect(w, w->slots[i].source_kind == source->kind);
                world_expect(w, memcmp(w->slots[i].source, source->bytes, SOURCE_SIZE) == 0);
                if (source->kind == SOURCE_UNKNOWN)
                        continue;
                row = sources_find(&w->pool.sources, source);
                world_expect(w, row && row->open == count_together(w, source));
        }

        for (uint32_t i = 0; i < w->pool.sources.n_touched; i++) {
                const struct source_row *row = &w->pool.sources.rows[i];

                world_expect(w, row->open == count_together(w, &row->key));
                n_open += row->open > 0;
        }
        world_expect(w, n_open == w->pool.sources.n_open);
}
