/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Command lines: src/base/words.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/words.h"

#define ESCAPE "unknown escape (allowed: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\' \\s \\xHH \\NNN)"

static void splits_as_systemd_does(void **state)
{
        static const struct {
                const char *text;
                const char *expected[8];
        } good[] = {
                { "", { NULL } },
                { "  \t ", { NULL } },
                { "/bin/a", { "/bin/a" } },
                { " /bin/a \t b  c ", { "/bin/a", "b", "c" } },
                { "a \"b c\" d", { "a", "b c", "d" } },
                { "a 'b c' d", { "a", "b c", "d" } },
                { "\"/bin/a b\"", { "/bin/a b" } },
                { "'a' 'b'", { "a", "b" } },
                { "a \"\" ''", { "a", "", "" } },
                { "'say \"x\"' \"it's\"", { "say \"x\"", "it's" } },
                { "--name=\"b c\"d", { "--name=b cd" } },
                { "a\\tb \\\"q\\\" \\'q\\' c\\sd \\\\", { "a\tb", "\"q\"", "'q'", "c d", "\\" } },
                { "\"a\\tb\\\"\" 'a\\tb\\''", { "a\tb\"", "a\tb'" } },
                { "\\a\\b\\f\\n\\r\\v", { "\a\b\f\n\r\v" } },
                { "\\x41\\x4a\\x4A\\xff \\101\\0411", { "AJJ\xff", "A!1" } },
                { "a # b ; c", { "a", "#", "b", ";", "c" } },
                { "%i %% $HOME ${X} *", { "%i", "%%", "$HOME", "${X}", "*" } },
                { "k=v a:b ~ | > &", { "k=v", "a:b", "~", "|", ">", "&" } },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_(words_freep) char **words = NULL;
                const char *problem = NULL;
                size_t n = 0;

                if (words_split(good[i].text, &words, &problem) != 0)
                        fail_msg("%s: %s", good[i].text, problem);
                for (; good[i].expected[n]; n++)
                        assert_string_equal(words[n], good[i].expected[n]);
                assert_null(words[n]);
        }
}

static void refuses_open_quotes_and_unknown_escapes(void **state)
{
        static const struct {
                const char *text;
                const char *problem;
        } bad[] = {
                { "a \"b", "a quote is not closed" },
                { "a 'b\"", "a quote is not closed" },
                { "a\"b c", "a quote is not closed" },
                { "a \"b\\\"", "a quote is not closed" },
                { "a\\", ESCAPE },
                { "a\\q", ESCAPE },
                { "a\\ b", ESCAPE },
                { "\\x4", ESCAPE },
                { "\\x", ESCAPE },
                { "\\xg1", ESCAPE },
                { "\\x00", ESCAPE },
                { "\\000", ESCAPE },
                { "\\400", ESCAPE },
                { "\\08", ESCAPE },
                { "\\081", ESCAPE },
                { "\\u00e9", ESCAPE },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                const char *problem = NULL;
                char **words = NULL;

                if (words_split(bad[i].text, &words, &problem) != -EINVAL)
                        fail_msg("%s", bad[i].text);
                assert_null(words);
                assert_string_equal(problem, bad[i].problem);
        }
}

static void printed_words_split_into_the_same(void **state)
{
        static char all[256];
        static const char *const list[] = { "/bin/a b", "", "x", "it's", "\"", "back\\", "\n\t",
                "#", ";", "%i", "$X", "\xc3\xa4", all, NULL };
        _cleanup_(words_freep) char **copy = NULL, **words = NULL;
        _cleanup_(freep) char *text = NULL;
        const char *problem = NULL;
        size_t size = 0, i;
        FILE *f;

        (void)state;
        for (i = 0; i < 255; i++)
                all[i] = (char)(i + 1);

        copy = words_copy((char *const *)(uintptr_t)list);
        assert_non_null(copy);
        f = open_memstream(&text, &size);
        assert_non_null(f);
        words_print(copy, f);
        assert_int_equal(fclose(f), 0);

        assert_null(strpbrk(text, "\n\r"));
        assert_int_equal(words_split(text, &words, &problem), 0);
        for (i = 0; list[i]; i++)
                assert_string_equal(words[i], list[i]);
        assert_null(words[i]);
}

static void messages_stay_one_short_line(void **state)
{
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *f;

        (void)state;
        f = open_memstream(&text, &size);
        assert_non_null(f);
        words_print_safely("abc", 3, f);
        fputc('|', f);
        words_print_safely("abcd", 3, f);
        fputc('|', f);
        words_print_safely("a\n\x1b\x7f\xc3", 9, f);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(text, "abc|abc...|a\\x0a\\x1b\\x7f\\xc3");
}

static void test_numbers(void **state _unused_)
{
        static const char *const wrong[] = { "", " 1", "+1", "-1", "1 ", "1x", "0x1", "11", "0",
                "99999999999999999999999" };
        uint64_t n = 7;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_false(words_parse_number(wrong[i], 1, 10, &n));
        assert_int_equal(n, 7);
        assert_true(words_parse_number("10", 1, 10, &n));
        assert_int_equal(n, 10);
        assert_true(words_parse_number("18446744073709551615", 0, UINT64_MAX, &n));
        assert_true(n == UINT64_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(splits_as_systemd_does),
                cmocka_unit_test(refuses_open_quotes_and_unknown_escapes),
                cmocka_unit_test(printed_words_split_into_the_same),
                cmocka_unit_test(messages_stay_one_short_line),
                cmocka_unit_test(test_numbers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
