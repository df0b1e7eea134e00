/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of sources: src/policy/sources.c, compared with one that is looked through. */

#include "leaks.h"
#include "policy/sources.h"

static const struct source_prefixes prefixes = { 32, 64 };

/* --- A random world --- */

#define SLOTS  300U
#define KNOWN  6000U /* different sources */
#define EVENTS 400000

static uint64_t random_state;

static uint32_t random_below(uint32_t below)
{
        random_state = random_state * 6364136223846793005 + 1442695040888963407;
        return (uint32_t)(random_state >> 33) % below;
}

/* Of all kinds. Some are others' numbers of another kind. */
static struct source make_source(uint32_t i)
{
        uint8_t ipv6[SOURCE_SIZE] = { 0x20, 1, 0x0d, 0xb8, (uint8_t)(i >> 8), (uint8_t)i };

        ipv6[15] = (uint8_t)random_below(256); /* of the same prefix */
        switch (i % 4) {
        case 0:
                return source_make(SOURCE_IPV4, i / 4);
        case 1:
                return source_make_ipv6(ipv6);
        case 2:
                return source_make(SOURCE_UID, i / 4);
        default:
                return source_make(SOURCE_CID, i / 4);
        }
}

static uint32_t count_chains(const struct sources *s)
{
        uint32_t n = 0;

        for (uint32_t i = 0; i < s->n_chains; i++)
                for (uint32_t j = s->chains[i]; j != 0; j = s->rows[j - 1].next)
                        n++;

        return n;
}

static uint32_t count_forgettable(const struct sources *s)
{
        uint32_t n = 0, before = SOURCES_NONE;

        for (uint32_t i = s->oldest; i != SOURCES_NONE; i = s->rows[i].newer) {
                assert_int_equal(s->rows[i].older, before);
                assert_int_equal(s->rows[i].open, 0);
                before = i;
                n++;
        }
        assert_int_equal(s->newest, before);

        return n;
}

static void check_whole(const struct sources *s, const uint32_t *open)
{
        uint32_t n_open = 0;

        for (uint32_t i = 0; i < KNOWN; i++) {
                struct source source = make_source(i);
                const struct source_row *row = sources_find(s, &source);

                n_open += open[i] > 0;
                if (open[i] > 0)
                        assert_non_null(row);
                if (row)
                        assert_int_equal(row->open, open[i]);
        }
        assert_int_equal(s->n_open, n_open);
        assert_int_equal(count_chains(s), s->n_touched);
        assert_int_equal(count_forgettable(s), s->n_touched - n_open);
}

static void storm(uint64_t seed)
{
        uint32_t open[KNOWN] = {}, slots[SLOTS], n_slots = 0, few = 0;
        struct sources s;

        random_state = seed;
        assert_int_equal(sources_init(&s, SLOTS, prefixes, seed), 0);
        for (int i = 0; i < EVENTS; i++) {
                if (i % 1000 == 0)
                        few = random_below(2) ? KNOWN : 1 + random_below(50);
                if (n_slots < SLOTS && random_below(2)) {
                        uint32_t who = random_below(few);
                        struct source source = make_source(who);

                        assert_int_equal(sources_add(&s, &source)->open, ++open[who]);
                        slots[n_slots++] = who;
                } else if (n_slots > 0) {
                        uint32_t k = random_below(n_slots), who = slots[k];
                        struct source source = make_source(who);

                        slots[k] = slots[--n_slots];
                        open[who]--;
                        sources_remove(&s, &source);
                }
                if (i % 20000 == 0)
                        check_whole(&s, open);
        }
        check_whole(&s, open);
        assert_int_equal(s.n_touched, SLOTS + SOURCES_SPARE); /* some were forgotten */
        sources_done(&s);
}

static void test_random(void **state _unused_)
{
        for (uint64_t seed = 1; seed <= 3; seed++)
                storm(seed);
}

/* --- Directed --- */

static void come_and_go(struct sources *s, uint32_t first, uint32_t n)
{
        for (uint32_t i = first; i < first + n; i++) {
                struct source source = source_make(SOURCE_IPV4, i);

                (void)sources_add(s, &source);
                sources_remove(s, &source);
        }
}

static bool is_known(const struct sources *s, uint32_t i)
{
        struct source source = source_make(SOURCE_IPV4, i);

        return sources_find(s, &source) != NULL;
}

static void test_memory_is_bounded_and_the_oldest_is_forgotten(void **state _unused_)
{
        struct source holder = source_make(SOURCE_IPV4, 5);
        struct sources s;

        assert_int_equal(sources_init(&s, 1, prefixes, 1), 0);
        (void)sources_add(&s, &holder);
        come_and_go(&s, 10, SOURCES_SPARE);
        assert_true(is_known(&s, 10));
        come_and_go(&s, 10, 1); /* it is the newest now */
        come_and_go(&s, 1000000, 1);
        assert_true(is_known(&s, 10));
        assert_false(is_known(&s, 11));
        assert_true(is_known(&s, 12));
        come_and_go(&s, 2000000, 3 * SOURCES_SPARE);
        assert_true(is_known(&s, 5));
        assert_false(is_known(&s, 10));
        assert_int_equal(s.n_touched, SOURCES_SPARE + 1);
        sources_done(&s);
}

static void test_what_is_remembered_begins_anew_when_it_was_forgotten(void **state _unused_)
{
        struct source source = source_make(SOURCE_UID, 1);
        struct sources s;

        assert_int_equal(sources_init(&s, 1, prefixes, 1), 0);
        sources_add(&s, &source)->refused = 7;
        sources_remove(&s, &source);
        assert_int_equal(sources_find(&s, &source)->refused, 7);
        come_and_go(&s, 0, SOURCES_SPARE + 1);
        assert_null(sources_find(&s, &source));
        assert_int_equal(sources_add(&s, &source)->refused, 0);
        sources_done(&s);
}

static void test_reset_forgets_all(void **state _unused_)
{
        struct source source = source_make(SOURCE_IPV4, 0x0a000001);
        struct sources s;

        assert_int_equal(sources_init(&s, 4, prefixes, 1), 0);
        (void)sources_add(&s, &source);
        sources_reset(&s, (struct source_prefixes){ 8, 8 });
        assert_null(sources_find(&s, &source));
        assert_int_equal(s.n_open, 0);
        (void)sources_add(&s, &source);
        source = source_make(SOURCE_IPV4, 0x0affffff);
        assert_int_equal(sources_add(&s, &source)->open, 2);
        sources_done(&s);
}

/* Who chooses addresses does not choose chains: another seed, other chains. And none is long. */
static void test_chains_are_short_and_depend_on_the_seed(void **state _unused_)
{
        uint32_t longest[2] = {}, first_chain[2] = {};

        for (uint64_t seed = 0; seed < 2; seed++) {
                struct sources s;

                assert_int_equal(sources_init(&s, 65536, prefixes, 0x1234567 + seed), 0);
                for (uint32_t i = 0; i < 60000; i++) {
                        uint8_t ipv6[SOURCE_SIZE] = { 0x20, 1, 0, 0, (uint8_t)(i >> 16),
                                (uint8_t)(i >> 8), (uint8_t)i };
                        struct source source = source_make_ipv6(ipv6);

                        (void)sources_add(&s, &source);
                }
                for (uint32_t i = 0; i < s.n_chains; i++) {
                        uint32_t n = 0;

                        for (uint32_t j = s.chains[i]; j != 0; j = s.rows[j - 1].next) {
                                n++;
                                if (j == 1) /* that of the first source */
                                        first_chain[seed] = i;
                        }
                        longest[seed] = MAX(longest[seed], n);
                }
                sources_done(&s);
        }
        assert_in_range(longest[0], 2, 12);
        assert_in_range(longest[1], 2, 12);
        assert_int_not_equal(first_chain[0], first_chain[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random),
                cmocka_unit_test(test_memory_is_bounded_and_the_oldest_is_forgotten),
                cmocka_unit_test(test_what_is_remembered_begins_anew_when_it_was_forgotten),
                cmocka_unit_test(test_reset_forgets_all),
                cmocka_unit_test(test_chains_are_short_and_depend_on_the_seed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
