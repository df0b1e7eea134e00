/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits for whom connections come from. The address stands in the slot, whole; what of it counts
 * is a matter of the settings in force, and so are the counts, which are private and equal to what
 * pool_recount_sources() finds in the slots.
 *
 * Who is over a limit is refused and never made to wait: those behind it would wait, too.
 */

#include "policy/pool-limit.h"
#include "policy/pool-inside.h"

#define TELL_INTERVAL (10 * USEC_PER_SEC)

/* The kind is what a later reader of the ledger goes by. */
static void set_source(struct slot *slot, const struct source *source)
{
        memcpy(slot->source, source->bytes, sizeof(slot->source));
        __atomic_store_n(&slot->source_kind, source->kind, __ATOMIC_RELEASE);
}

static bool is_exempt(const struct pool *pool, const struct source *source)
{
        const struct source_range *range = pool->settings->source_exempt;

        for (; range && range->first.kind != SOURCE_UNKNOWN; range++)
                if (source_is_in(source, range))
                        return true;

        return false;
}

static bool has_too_many(const struct pool *pool, const struct source_row *row)
{
        uint32_t max = pool->settings->max_per_source;

        return max > 0 && row->open > max;
}

/* A bucket of n, which each connection costs one of, and which is full again after `time`. What is
 * missing in it is kept in parts of 1/time: so nothing is lost where n does not divide `time`. */
static bool is_too_fast(const struct pool *pool, struct source_row *row, usec_t now)
{
        const struct settings_rate *rate = &pool->settings->rate_per_source;
        uint64_t all = rate->n * rate->time, paid;

        if (rate->n == 0)
                return false;

        paid = MIN(now - row->paid_at, rate->time) * rate->n;
        row->paid_at = now;
        row->debt = MIN(row->debt, all); /* n or `time` may have been others */
        row->debt -= MIN(row->debt, paid);
        if (all - row->debt < rate->time)
                return true;

        row->debt += rate->time;
        return false;
}

bool pool_admit(
        struct pool *pool, struct slot *slot, const struct source *source, enum refusal *ret_reason)
{
        struct source_row *row;

        if (source->kind == SOURCE_UNKNOWN)
                return true;

        set_source(slot, source);
        row = sources_add(&pool->sources, source);
        if (has_too_many(pool, row))
                *ret_reason = REFUSED_SOURCE;
        else if (is_too_fast(pool, row, slot->accepted_at))
                *ret_reason = REFUSED_RATE;
        else
                return true;
        if (is_exempt(pool, source))
                return true;

        row->refused++;
        row->n_untold++;
        return false;
}

void pool_source_left(struct pool *pool, const struct slot *slot)
{
        struct source source = slot_get_source(slot);

        sources_remove(&pool->sources, &source);
}

uint64_t pool_take_untold(struct pool *pool, const struct source *source, usec_t now)
{
        struct source_row *row = sources_find(&pool->sources, source);

        if (!row || (row->told_at != 0 && now - row->told_at < TELL_INTERVAL))
                return 0;

        row->told_at = now;
        return TAKE(row->n_untold, 0U);
}

/* --- Counting anew --- */

/* What another version may have written as kind is nothing that can be counted. */
void pool_recount_sources(struct pool *pool)
{
        sources_reset(&pool->sources, pool->settings->source_prefixes);
        for (uint32_t i = 0; i < pool->slots.head->n_touched; i++) {
                struct slot *slot = &pool->slots.table[i];
                struct source source = slot_get_source(slot);

                if (slot->state == SLOT_FREE)
                        continue;
                if (source.kind >= SOURCE_KINDS)
                        slot->source_kind = SOURCE_UNKNOWN;
                else if (source.kind != SOURCE_UNKNOWN)
                        (void)sources_add(&pool->sources, &source);
        }
}

void pool_limits_changed(struct pool *pool)
{
        struct source_prefixes now = pool->settings->source_prefixes;
        struct source_prefixes before = pool->sources.prefixes;

        pool->asks_source =
                pool->settings->max_per_source > 0 || pool->settings->rate_per_source.n > 0;
        if (now.ipv4 != before.ipv4 || now.ipv6 != before.ipv6)
                pool_recount_sources(pool);
}
