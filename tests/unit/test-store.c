/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names in the descriptor store: src/os/store.c. */

#include "leaks.h"
#include "os/store.h"

static void test_names(void **state)
{
        char text[STORE_NAME_MAX];

        (void)state;
        assert_string_equal(store_name(text, STORE_CHANNEL, 0), "%0");
        assert_string_equal(store_name(text, STORE_QUEUE, 35), "+z");
        assert_string_equal(store_name(text, STORE_PIDFD, 36), "=10");
        assert_string_equal(store_name(text, STORE_LEDGER, 1), "!l1");
        assert_string_equal(store_name(text, STORE_IN_HAND, UINT64_MAX), "!h3w5e11264sgsf");
        assert_string_equal(store_name_old(text, STORE_CHANNEL, 36), "acceptd-channel-36");
        assert_string_equal(store_name_old(text, STORE_LEDGER, 36), "acceptd-ledger");
}

static void test_each_is_read_again(void **state)
{
        static const uint64_t numbers[] = { 0, 1, 35, 36, 12294, UINT32_MAX, UINT64_MAX };
        char text[STORE_NAME_MAX];

        (void)state;
        for (enum store_kind kind = STORE_LEDGER; kind < STORE_KINDS; kind++)
                for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                        struct store_entry e = store_read_name(store_name(text, kind, numbers[i]));

                        assert_int_equal(e.kind, kind);
                        assert_int_equal(e.number, numbers[i]);
                        assert_false(e.is_old);
                        assert_non_null(strchr(STORE_RESERVED, text[0]));
                        e = store_read_name(store_name_old(text, kind, numbers[i]));
                        assert_int_equal(e.kind, kind);
                        assert_true(e.is_old);
                }
}

/* Whole names only: a unit may be called almost anything. */
static void test_no_names(void **state)
{
        static const char *const names[] = { "", "main", "acceptd-control", "acceptd-web",
                "acceptd-ledger.socket", "acceptd-ledger-1", "acceptd-channel-",
                "acceptd-channel-x", "acceptd-channel-01", "acceptd-channel--1", "acceptd-queue- 1",
                "%", "%Z", "% 1", "%01", "+-1", "=0x1", "!", "!l", "!x1", "!s1 ",
                "acceptd-caller-1" };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (store_read_name(names[i]).kind != STORE_NOTHING)
                        fail_msg("\"%s\"", names[i]);
}

/* Two generations of as many workers as settings allow. */
static void test_most_workers_fit_the_environment(void **state)
{
        (void)state;
        assert_true(store_count_bytes(2 * 4096 + 1, 2 * (3 * 4096 + 6)) < STORE_BYTES_MAX - 4096);
        assert_true(store_count_bytes(2 * 5000 + 1, 2 * (3 * 5000 + 6)) > STORE_BYTES_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_names),
                WITHOUT_LEAKS(test_each_is_read_again),
                WITHOUT_LEAKS(test_no_names),
                WITHOUT_LEAKS(test_most_workers_fit_the_environment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
