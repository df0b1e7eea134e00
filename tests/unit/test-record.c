/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which records are sound: src/wire/record.c. Every type in each direction. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/record.h"

enum direction {
        TO_WORKER,
        TO_DISPATCHER,
};

static const char *check(enum direction direction, struct record record)
{
        return direction == TO_WORKER ? record_check_to_worker(&record)
                                      : record_check_to_dispatcher(&record);
}

static void test_layout(void **state)
{
        (void)state;
        assert_int_equal(offsetof(struct record, version), 0);
        assert_int_equal(offsetof(struct record, type), 1);
        assert_int_equal(offsetof(struct record, listener), 2);
        assert_int_equal(offsetof(struct record, value), 4);
        assert_int_equal(offsetof(struct record, id), 8);
}

static void test_sound(void **state)
{
        static const struct {
                enum direction direction;
                struct record record;
        } sound[] = {
                { TO_WORKER, { 1, RECORD_CONNECTION, 0, 0, 1 } },
                { TO_WORKER, { 1, RECORD_CONNECTION, UINT16_MAX, UINT32_MAX, UINT64_MAX } },
                { TO_WORKER, { 1, RECORD_PING, 0, 0, 0 } },
                { TO_WORKER, { 1, RECORD_LIST, 0, UINT32_MAX, 0 } },
                { TO_WORKER, { 1, RECORD_DRAIN, 0, RECORD_DRAIN_STOP, 0 } },
                { TO_WORKER, { 1, RECORD_DRAIN, 0, UINT32_MAX, UINT64_MAX } },
                { TO_DISPATCHER, { 1, RECORD_READY, 0, 1, 0 } },
                { TO_DISPATCHER, { 1, RECORD_READY, 0, 1, UINT64_MAX } },
                { TO_DISPATCHER, { 1, RECORD_READY, 0, 0, RECORD_FEATURE_PAUSE } },
                { TO_DISPATCHER, { 1, RECORD_READY, 0, UINT32_MAX, 0 } },
                { TO_DISPATCHER, { 1, RECORD_DONE, 0, 0, 1 } },
                { TO_DISPATCHER, { 1, RECORD_DONE, 0, 1000, UINT64_MAX } },
                { TO_DISPATCHER, { 1, RECORD_PONG, 0, 0, 0 } },
                { TO_DISPATCHER, { 1, RECORD_HELD, 0, 0, 1 } },
                { TO_DISPATCHER, { 1, RECORD_NOT_STARTED, 0, 1, 0 } },
                { TO_DISPATCHER, { 1, RECORD_NOT_STARTED, 0, RECORD_ERRNO_MAX, 0 } },
                { TO_DISPATCHER, { 1, RECORD_FAILED, 0, 0, 1 } },
                { TO_DISPATCHER, { 1, RECORD_FAILED, 0, UINT32_MAX, UINT64_MAX } },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(sound); i++)
                assert_null(check(sound[i].direction, sound[i].record));
}

static void test_unsound(void **state)
{
        static const struct {
                enum direction direction;
                struct record record;
                const char *expected;
        } unsound[] = {
                { TO_WORKER, { 0, RECORD_PING, 0, 0, 0 }, "unknown version (allowed: 1)" },
                { TO_WORKER, { 2, RECORD_PING, 0, 0, 0 }, "unknown version (allowed: 1)" },
                { TO_WORKER, { 1, RECORD_CONNECTION, 0, 0, 0 }, "connection id is 0" },
                { TO_WORKER, { 1, RECORD_PING, 0, 0, 1 }, "connection id is not 0" },
                { TO_WORKER, { 1, RECORD_LIST, 1, 0, 0 }, "listener is not 0" },
                { TO_WORKER, { 1, RECORD_DRAIN, 1, 1, 0 }, "listener is not 0" },
                { TO_WORKER, { 1, RECORD_DRAIN, 0, 0, 0 },
                        "DRAIN for the reason 0 (allowed: 1 or more)" },
                { TO_DISPATCHER, { 0, RECORD_PONG, 0, 0, 0 }, "unknown version (allowed: 1)" },
                { TO_DISPATCHER, { 255, RECORD_PONG, 0, 0, 0 }, "unknown version (allowed: 1)" },
                { TO_DISPATCHER, { 1, RECORD_READY, 0, 0, 0 },
                        "READY with capacity 0 (allowed: 1 or more)" },
                { TO_DISPATCHER, { 1, RECORD_READY, 0, 0, ~(uint64_t)RECORD_FEATURE_PAUSE },
                        "READY with capacity 0 (allowed: 1 or more)" },
                { TO_DISPATCHER, { 1, RECORD_READY, 1, 1, 0 }, "listener is not 0" },
                { TO_DISPATCHER, { 1, RECORD_DONE, 0, 0, 0 }, "connection id is 0" },
                { TO_DISPATCHER, { 1, RECORD_DONE, 1, 0, 1 }, "listener is not 0" },
                { TO_DISPATCHER, { 1, RECORD_HELD, 0, 0, 0 }, "connection id is 0" },
                { TO_DISPATCHER, { 1, RECORD_FAILED, 0, 1, 0 }, "connection id is 0" },
                { TO_DISPATCHER, { 1, RECORD_FAILED, 1, 1, 1 }, "listener is not 0" },
                { TO_DISPATCHER, { 1, RECORD_PONG, 0, 0, 1 }, "connection id is not 0" },
                { TO_DISPATCHER, { 1, RECORD_NOT_STARTED, 0, 0, 0 },
                        "NOT_STARTED without an errno (allowed: 1 to 4095)" },
                { TO_DISPATCHER, { 1, RECORD_NOT_STARTED, 0, RECORD_ERRNO_MAX + 1, 0 },
                        "NOT_STARTED without an errno (allowed: 1 to 4095)" },
                { TO_DISPATCHER, { 1, RECORD_NOT_STARTED, 0, 2, 1 }, "connection id is not 0" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(unsound); i++)
                assert_string_equal(
                        check(unsound[i].direction, unsound[i].record), unsound[i].expected);
}

/* What a direction does not know is unknown there, whatever the other one knows. */
static void test_types(void **state)
{
        (void)state;
        for (unsigned type = 0; type <= UINT8_MAX; type++) {
                struct record with_id = { 1, (uint8_t)type, 0, 1, 1 };
                struct record without = { 1, (uint8_t)type, 0, 1, 0 };
                bool to_worker = !check(TO_WORKER, with_id) || !check(TO_WORKER, without);
                bool to_dispatcher =
                        !check(TO_DISPATCHER, with_id) || !check(TO_DISPATCHER, without);

                assert_int_equal(to_worker, (type >= RECORD_CONNECTION && type <= RECORD_DRAIN) ||
                                                    type == RECORD_FINISHED);
                assert_int_equal(to_dispatcher, (type >= RECORD_READY && type <= RECORD_FAILED) ||
                                                        type == RECORD_NOT_STARTED);
                if (!to_worker)
                        assert_string_equal(check(TO_WORKER, without),
                                "unknown record type (allowed: CONNECTION, PING, LIST, DRAIN, FINISHED)");
                if (!to_dispatcher)
                        assert_string_equal(check(TO_DISPATCHER, without),
                                "unknown record type (allowed: READY, DONE, PONG, HELD, FAILED)");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_layout),
                cmocka_unit_test(test_sound),
                cmocka_unit_test(test_unsound),
                cmocka_unit_test(test_types),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
