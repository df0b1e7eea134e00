/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits for sources: src/policy/pool-limit.c. That the counts are right whatever happens is
 * compared in each random world: world-sources.c.
 */

#include "policy/pool-limit.h"
#include "world-steps.h"

static const struct source one = { { 10, 0, 0, 1 }, SOURCE_IPV4 };
static const struct source another = { { 10, 0, 0, 2 }, SOURCE_IPV4 };

/* A pool with a room for all. */
static void begin_limited(uint32_t max, uint32_t n, usec_t time)
{
        world_default_settings(w, 1, UINT32_MAX);
        w->settings.max_per_source = max;
        w->settings.rate_per_source = (struct settings_rate){ n, time };
        world_init(w, 0);
        world_ready(w, 0, WORLD_SLOTS_MAX);
}

#define SERVED REFUSALS

/* Returns what becomes of a connection of `source` at `now`: SERVED, and then it ends at once, or
 * why it is refused. */
static enum refusal come(const struct source *source, usec_t now)
{
        struct slot *slot = pool_accepted(&w->pool, 0, now);
        enum refusal reason = SERVED;

        if (!pool_admit(&w->pool, slot, source, &reason)) {
                pool_refused(&w->pool, slot, reason);
                return reason;
        }

        pool_assign(&w->pool, slot, 0);
        pool_sent(&w->pool, slot);
        assert_int_equal(pool_done(&w->pool, 0, slot->id), 0);
        return SERVED;
}

static uint32_t come_often(const struct source *source, usec_t now, uint32_t n)
{
        uint32_t served = 0;

        while (n-- > 0)
                served += come(source, now) == SERVED;

        return served;
}

static void test_rate(void **state _unused_)
{
        usec_t now;

        begin_limited(0, 3, 3000);
        now = w->now;
        assert_int_equal(come_often(&one, now, 10), 3);
        assert_int_equal(come(&one, now), REFUSED_RATE);
        assert_int_equal(come_often(&another, now, 10), 3);
        assert_int_equal(come_often(&one, now + 999, 5), 0);
        assert_int_equal(come_often(&one, now + 1000, 5), 1);
        assert_int_equal(come_often(&one, now + 2000, 5), 1);
        assert_int_equal(come_often(&one, now + 4500, 5), 2);
        assert_int_equal(come_often(&one, now + 5000, 5), 1); /* a half was left over */
        assert_int_equal(come_often(&one, now + USEC_PER_DAY, 10), 3);
}

/* 7 in 10 s is one in 1.428571... s: in a long time none is too many, and none too few. */
static void test_rate_that_does_not_divide(void **state _unused_)
{
        uint32_t served = 0;
        usec_t begin;

        begin_limited(0, 7, 10 * USEC_PER_SEC);
        begin = w->now;
        for (uint32_t i = 0; i <= 100000; i++)
                served += come(&one, begin + i * 10 * USEC_PER_MSEC) == SERVED;
        assert_int_equal(served, 7 + 700);
}

/* The largest numbers do not overflow. */
static void test_largest_rate(void **state _unused_)
{
        begin_limited(0, 100000, USEC_PER_DAY);
        assert_int_equal(come_often(&one, w->now, 100001), 100000);
        assert_int_equal(come_often(&one, w->now + USEC_PER_DAY / 2, 100001), 50000);
}

static void test_rate_changes(void **state _unused_)
{
        usec_t now;

        begin_limited(0, 10, USEC_PER_DAY);
        now = w->now;
        assert_int_equal(come_often(&one, now, 20), 10);
        w->settings.rate_per_source = (struct settings_rate){ 2, USEC_PER_SEC };
        pool_settings_changed(&w->pool);
        assert_int_equal(come_often(&one, now, 20), 0);
        /* what it owed by the old one is forgotten when the new bucket is full */
        assert_int_equal(come_often(&one, now + USEC_PER_SEC, 20), 2);
        w->settings.rate_per_source = (struct settings_rate){};
        pool_settings_changed(&w->pool);
        assert_false(w->pool.asks_source);
}

/* Who is refused for another reason has not used anything up. */
static void test_both_limits(void **state _unused_)
{
        struct slot *slots[2];
        enum refusal reason;

        begin_limited(2, 5, USEC_PER_DAY);
        for (size_t i = 0; i < 2; i++) {
                slots[i] = pool_accepted(&w->pool, 0, w->now);
                assert_true(pool_admit(&w->pool, slots[i], &one, &reason));
                pool_assign(&w->pool, slots[i], 0);
                pool_sent(&w->pool, slots[i]);
        }
        for (int i = 0; i < 20; i++)
                assert_int_equal(come(&one, w->now), REFUSED_SOURCE);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(pool_done(&w->pool, 0, slots[i]->id), 0);
        assert_int_equal(come_often(&one, w->now, 20), 3);
        assert_int_equal(come(&one, w->now), REFUSED_RATE);
        assert_int_equal(w->state.counters.refused[REFUSED_SOURCE], 20);
        assert_int_equal(w->state.counters.refused[REFUSED_RATE], 18);
}

static void test_told_once_in_ten_seconds(void **state _unused_)
{
        usec_t now;

        begin_limited(0, 1, USEC_PER_DAY);
        now = w->now;
        assert_int_equal(come(&one, now), SERVED);
        assert_int_equal(pool_take_untold(&w->pool, &one, now), 0);
        assert_int_equal(pool_take_untold(&w->pool, &another, now), 0);
        (void)come_often(&one, now, 4);
        now += 11 * USEC_PER_SEC;
        assert_int_equal(pool_take_untold(&w->pool, &one, now), 4);
        (void)come_often(&one, now, 7);
        assert_int_equal(pool_take_untold(&w->pool, &one, now + 10 * USEC_PER_SEC - 1), 0);
        (void)come_often(&another, now, 3);
        assert_int_equal(pool_take_untold(&w->pool, &another, now), 2);
        assert_int_equal(pool_take_untold(&w->pool, &one, now + 10 * USEC_PER_SEC), 7);
        assert_int_equal(sources_find(&w->pool.sources, &one)->refused, 11);
}

/* A kind that only a later version knows counts for nobody. */
static void test_unknown_kind_in_the_ledger(void **state _unused_)
{
        struct slot *slot;

        begin_limited(1, 0, 0);
        slot = pool_accepted(&w->pool, 0, w->now);
        slot->source_kind = SOURCE_KINDS;
        pool_deinit(&w->pool);
        const struct pool_memory memory = {
                .state = &w->state,
                .rows = w->rows,
                .n_rows = pool_rows_needed(&w->settings),
                .slots = w->slots,
                .n_slots = w->settings.max_connections,
        };
        assert_int_equal(pool_init(&w->pool, &w->settings, &memory), 0);
        assert_int_equal(slot->source_kind, SOURCE_UNKNOWN);
        pool_lost(&w->pool, slot);
        assert_int_equal(w->pool.sources.n_open, 0);
}

#define LIMIT(test) cmocka_unit_test_setup_teardown(test, NULL, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                LIMIT(test_rate),
                LIMIT(test_rate_that_does_not_divide),
                LIMIT(test_largest_rate),
                LIMIT(test_rate_changes),
                LIMIT(test_both_limits),
                LIMIT(test_told_once_in_ten_seconds),
                LIMIT(test_unknown_kind_in_the_ledger),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
