/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Slots and ids: src/policy/slots.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/slots.h"

#define N_SLOTS 8

static struct slot table[N_SLOTS];
static struct slots_head head;
static struct slots slots;

static int begin(void **state)
{
        (void)state;
        memset(table, 0, sizeof(table));
        memset(&head, 0, sizeof(head));
        return slots_init(&slots, &head, table, N_SLOTS);
}

static int end(void **state)
{
        (void)state;
        slots_done(&slots);
        return 0;
}

static void test_ids(void **state)
{
        (void)state;
        for (uint64_t i = 0; i < N_SLOTS; i++) {
                struct slot *slot = slots_reserve(&slots, (uint16_t)i, 1000 + i);

                assert_non_null(slot);
                assert_int_equal(slot->id, (i + 1) << SLOT_BITS | i);
                assert_int_equal(slot->listener, i);
                assert_int_equal(slot->accepted_at, 1000 + i);
                assert_true(slot->worker == SLOT_NO_WORKER);
                assert_int_equal(slot->state, SLOT_RESERVED);
                assert_ptr_equal(slots_get(&slots, slot->id), slot);
        }
        assert_null(slots_reserve(&slots, 0, 0));
        assert_int_equal(slots.n_used, N_SLOTS);
}

static void test_stale_ids(void **state)
{
        struct slot *slot = slots_reserve(&slots, 0, 0);
        uint64_t id = slot->id;

        (void)state;
        slots_release(&slots, slot);
        assert_null(slots_get(&slots, id));
        assert_ptr_equal(slots_reserve(&slots, 0, 0), slot); /* the same place, another serial */
        assert_null(slots_get(&slots, id));
        assert_non_null(slots_get(&slots, slot->id));
}

static void test_ids_that_were_never_given(void **state)
{
        const struct slot *slot = slots_reserve(&slots, 0, 0);
        const uint64_t never[] = { 0, 1, slot->id + 1, slot->id + SLOTS_MAX, SLOTS_MAX - 1, N_SLOTS,
                UINT64_MAX, slot->id | N_SLOTS };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(never); i++)
                assert_null(slots_get(&slots, never[i]));
}

/* Forty bits of serial go on after many years of connections. */
static void test_large_serials(void **state)
{
        struct slot *slot;

        (void)state;
        head.last_serial = (1ULL << 40) - 2;
        slot = slots_reserve(&slots, 0, 0);
        assert_int_equal(slot->id >> SLOT_BITS, (1ULL << 40) - 1);
        assert_ptr_equal(slots_get(&slots, slot->id), slot);
}

/* The instance went on with ids that were none, and its ledger was refused at half the way. */
static void test_serials_begin_again(void **state)
{
        uint64_t last, first;

        (void)state;
        head.last_serial = SERIAL_MAX - 1;
        last = slots_reserve(&slots, 0, 0)->id;
        first = slots_reserve(&slots, 0, 0)->id;
        assert_int_equal(last >> SLOT_BITS, SERIAL_MAX);
        assert_int_equal(first >> SLOT_BITS, 1);
        assert_true(slot_id_was_given(last, head.last_serial));
        assert_true(slot_id_was_given(first, head.last_serial));
        assert_false(slot_id_was_given(UINT64_C(2) << SLOT_BITS, head.last_serial));
        assert_false(slot_id_was_given(1, head.last_serial));

        slots_done(&slots);
        assert_int_equal(slots_init(&slots, &head, table, N_SLOTS), 0);
        assert_non_null(slots_get(&slots, last));
        assert_non_null(slots_get(&slots, first));
}

/* Whoever had the slot before, nothing of that is left. */
static void test_reserve_forgets(void **state)
{
        struct slot *slot = slots_reserve(&slots, 0, 0);

        (void)state;
        memset(slot->source, 1, sizeof(slot->source));
        slot->source_kind = slot->attempt = slot->listed = 1;
        slot->cookie = slot->handshake = 1;
        slots_release(&slots, slot);
        assert_ptr_equal(slots_reserve(&slots, 0, 0), slot);
        for (size_t i = 0; i < sizeof(slot->source); i++)
                assert_int_equal(slot->source[i], 0);
        assert_int_equal(slot->source_kind + slot->attempt + slot->listed, 0);
        assert_int_equal(slot->cookie + slot->handshake, 0);
}

/* As many as there are, in any order, over and over; compared with a plain list. */
static void test_any_order(void **state)
{
        uint64_t ids[N_SLOTS], last_id = 0;
        uint32_t n = 0, random = 1;

        (void)state;
        for (int i = 0; i < 100000; i++) {
                random = random * 1664525 + 1013904223;
                if (n < N_SLOTS && (n == 0 || random >> 31)) {
                        struct slot *slot = slots_reserve(&slots, 0, 0);

                        assert_true(slot->id >> SLOT_BITS > last_id >> SLOT_BITS);
                        ids[n++] = last_id = slot->id;
                } else {
                        uint32_t k = (random >> 8) % n;

                        slots_release(&slots, slots_get(&slots, ids[k]));
                        assert_null(slots_get(&slots, ids[k]));
                        ids[k] = ids[--n];
                }
                assert_int_equal(slots.n_used, n);
                for (uint32_t k = 0; k < n; k++)
                        assert_int_equal(slots_get(&slots, ids[k])->id, ids[k]);
        }
}

/* --- Found as another one left it --- */

/* Three in use and one that was. */
static void leave(uint64_t ids[static 3])
{
        struct slot *gone = slots_reserve(&slots, 0, 0);

        for (int i = 0; i < 3; i++)
                ids[i] = slots_reserve(&slots, 0, 0)->id;
        slots_release(&slots, gone);
        slots_done(&slots);
}

static void test_found_again(void **state)
{
        uint64_t ids[3];
        struct slot *next;

        (void)state;
        leave(ids);
        assert_int_equal(slots_init(&slots, &head, table, N_SLOTS), 0);
        assert_int_equal(slots.n_used, 3);
        for (int i = 0; i < 3; i++)
                assert_int_equal(slots_get(&slots, ids[i])->id, ids[i]);
        next = slots_reserve(&slots, 0, 0);
        assert_ptr_equal(next, &table[0]); /* the one that was free */
        assert_int_equal(next->id >> SLOT_BITS, 5);
        for (int i = 4; i < N_SLOTS; i++)
                assert_non_null(slots_reserve(&slots, 0, 0));
        assert_null(slots_reserve(&slots, 0, 0));
}

static void test_found_broken(void **state)
{
        static const uint64_t bad_ids[] = { 0, 1, 2, 1ULL << SLOT_BITS, 5ULL << SLOT_BITS | 1,
                UINT64_MAX };
        uint64_t ids[3];

        (void)state;
        leave(ids);
        for (size_t i = 0; i < ELEMENTSOF(bad_ids); i++) {
                table[1].id = bad_ids[i];
                assert_int_equal(slots_init(&slots, &head, table, N_SLOTS), -EBADMSG);
                slots_done(&slots);
        }
        table[1].id = ids[0];
        table[1].state = SLOT_SENT + 1;
        assert_int_equal(slots_init(&slots, &head, table, N_SLOTS), -EBADMSG);
        slots_done(&slots);
        table[1].state = SLOT_SENT;
        head.n_touched = N_SLOTS + 1;
        assert_int_equal(slots_init(&slots, &head, table, N_SLOTS), -EBADMSG);
}

#define WITH_SLOTS(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_SLOTS(test_ids),
                WITH_SLOTS(test_stale_ids),
                WITH_SLOTS(test_ids_that_were_never_given),
                WITH_SLOTS(test_large_serials),
                WITH_SLOTS(test_serials_begin_again),
                WITH_SLOTS(test_reserve_forgets),
                WITH_SLOTS(test_any_order),
                WITH_SLOTS(test_found_again),
                WITH_SLOTS(test_found_broken),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
