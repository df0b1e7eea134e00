/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sources of connections, their prefixes and their texts: src/base/source.c */

#include <arpa/inet.h>

#include "base/source.h"
#include "leaks.h"

static struct source_range parse(const char *text)
{
        struct source_range range;

        if (!source_parse(text, &range))
                fail_msg("\"%s\" is not read", text);
        return range;
}

static void test_texts(void **state _unused_)
{
        static const char *const pairs[][2] = {
                { "192.0.2.7", "192.0.2.7" },
                { "192.0.2.7/32", "192.0.2.7" },
                { "192.0.2.7/31", "192.0.2.6/31" },
                { "192.0.2.255/9", "192.0.0.0/9" },
                { "0.0.0.0/0", "0.0.0.0/0" },
                { "2001:db8:0:0:0:0:0:1", "2001:db8::1" },
                { "2001:db8:ffff:ffff::/33", "2001:db8:8000::/33" },
                { "::/0", "::/0" },
                { "::1/128", "::1" },
                { "::ffff:192.0.2.7", "192.0.2.7" },
                { "::ffff:192.0.2.7/96", "0.0.0.0/0" },
                { "::ffff:192.0.2.7/127", "192.0.2.6/31" },
                { "uid:0", "uid:0" },
                { "uid:4294967295", "uid:4294967295" },
                { "cid:2", "cid:2" },
        };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                struct source_range range = parse(pairs[i][0]);
                char text[SOURCE_FORMAT_SIZE];

                assert_string_equal(source_format(&range, text), pairs[i][1]);
        }
}

static void test_what_is_no_source(void **state _unused_)
{
        static const char *const bad[] = { "", "/", "/8", "192.0.2", "192.0.2.7/33", "192.0.2.7/-1",
                "192.0.2.7/x", "192.0.2.7/", "192.0.2.7 ", "::1/129", "::ffff:192.0.2.7/24",
                "fe80::1%lo", "uid:", "uid:-1", "uid:4294967296", "uid:root", "cid:x", "gid:1",
                "2001:0db8:0000:0000:0000:0000:0000:0001:0000:0000:0000" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                struct source_range range;

                if (source_parse(bad[i], &range))
                        fail_msg("\"%s\" is read", bad[i]);
        }
}

static void check_in(const char *source, const char *range, bool expected)
{
        struct source s = parse(source).first;
        struct source_range r = parse(range);

        if (source_is_in(&s, &r) != expected)
                fail_msg("%s is %sin %s", source, expected ? "not " : "", range);
}

static void test_ranges(void **state _unused_)
{
        check_in("192.0.2.7", "192.0.2.0/24", true);
        check_in("192.0.3.7", "192.0.2.0/24", false);
        check_in("192.0.2.127", "192.0.2.0/25", true);
        check_in("192.0.2.128", "192.0.2.0/25", false);
        check_in("255.255.255.255", "0.0.0.0/0", true);
        check_in("::1", "0.0.0.0/0", false);
        check_in("::ffff:192.0.2.7", "192.0.2.0/24", true);
        check_in("192.0.2.7", "::/0", false);
        check_in("2001:db8::1", "2001:db8::/32", true);
        check_in("2001:db9::1", "2001:db8::/32", false);
        check_in("uid:7", "uid:7", true);
        check_in("uid:7", "cid:7", false);
        check_in("uid:8", "uid:7", false);
}

static void test_what_counts_together(void **state _unused_)
{
        static const struct {
                struct source_prefixes prefixes;
                const char *source, *text;
        } cases[] = {
                { { 32, 64 }, "192.0.2.7", "192.0.2.7" },
                { { 32, 64 }, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64" },
                { { 24, 56 }, "192.0.2.7", "192.0.2.0/24" },
                { { 24, 56 }, "2001:db8:1:2ff:3:4:5:6", "2001:db8:1:200::/56" },
                { { 1, 128 }, "192.0.2.7", "128.0.0.0/1" },
                { { 1, 128 }, "2001:db8::6", "2001:db8::6" },
                { { 1, 1 }, "uid:4294967295", "uid:4294967295" },
                { { 1, 1 }, "cid:3", "cid:3" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct source whole = parse(cases[i].source).first;
                struct source part = source_shorten(&whole, cases[i].prefixes);
                char text[SOURCE_FORMAT_SIZE];

                source_format_short(&whole, cases[i].prefixes, text);
                assert_string_equal(text, cases[i].text);
                source_format_short(&part, cases[i].prefixes, text);
                assert_string_equal(text, cases[i].text);
        }
}

static void test_mapped_addresses_are_ipv4(void **state _unused_)
{
        struct source v4 = source_make(SOURCE_IPV4, 0xc0000207), mapped, other;
        uint8_t bytes[SOURCE_SIZE];

        assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", bytes), 1);
        mapped = source_make_ipv6(bytes);
        assert_true(source_equal(&v4, &mapped));
        assert_int_equal(inet_pton(AF_INET6, "::fffe:192.0.2.7", bytes), 1);
        other = source_make_ipv6(bytes);
        assert_int_equal(other.kind, SOURCE_IPV6);
        assert_false(source_equal(&v4, &other));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_what_is_no_source),
                cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_what_counts_together),
                cmocka_unit_test(test_mapped_addresses_are_ipv4),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
