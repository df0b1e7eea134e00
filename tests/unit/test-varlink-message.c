/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is in Varlink messages: src/varlink/message.c, and the texts of interfaces.c. */

#include "leaks.h"
#include "varlink/interfaces.h"
#include "varlink/message.h"

static json_t *load(const char *text)
{
        json_t *json = json_loads(text, 0, NULL);

        assert_non_null(json);
        return json;
}

static void test_good_calls(void **state _unused_)
{
        static const struct {
                const char *text;
                bool parameters, oneway;
        } cases[] = {
                { "{\"method\":\"a.b.C\"}", false, false },
                { "{\"method\":\"a.b.C\",\"parameters\":null}", false, false },
                { "{\"method\":\"a.b.C\",\"parameters\":{}}", true, false },
                { "{\"method\":\"a.b.C\",\"more\":true}", false, false },
                { "{\"method\":\"a.b.C\",\"upgrade\":false}", false, false },
                { "{\"method\":\"a.b.C\",\"oneway\":true}", false, true },
                { "{\"method\":\"a.b.C\",\"other\":{}}", false, false }, /* of a later version */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_auto_t *message = load(cases[i].text);
                struct varlink_call call;
                const char *wrong;

                if (!varlink_call_parse(message, &call, &wrong))
                        fail_msg("%s in %s", wrong, cases[i].text);
                assert_string_equal(call.method, "a.b.C");
                assert_int_equal(!!call.parameters, cases[i].parameters);
                assert_int_equal(call.oneway, cases[i].oneway);
                assert_int_equal(call.more, strstr(cases[i].text, "more") != NULL);
        }
}

static void test_bad_calls(void **state _unused_)
{
        static const struct {
                const char *text, *wrong;
        } cases[] = {
                { "{}", "method" },
                { "{\"method\":1}", "method" },
                { "{\"method\":\"nodot\"}", "method" },
                { "{\"method\":\"a.B\",\"parameters\":[]}", "parameters" },
                { "{\"method\":\"a.B\",\"parameters\":\"x\"}", "parameters" },
                { "{\"method\":\"a.B\",\"more\":1}", "more" },
                { "{\"method\":\"a.B\",\"oneway\":\"yes\"}", "oneway" },
                { "{\"method\":\"a.B\",\"upgrade\":true}", "upgrade" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_auto_t *message = load(cases[i].text);
                struct varlink_call call;
                const char *wrong;

                if (varlink_call_parse(message, &call, &wrong))
                        fail_msg("accepted: %s", cases[i].text);
                assert_string_equal(wrong, cases[i].wrong);
        }
}

static void test_unknown_parameters(void **state _unused_)
{
        json_auto_t *parameters = load("{\"a\":1,\"b\":2}");
        struct varlink_call call = { .parameters = parameters };

        assert_null(varlink_call_unknown_parameter(&call, (const char *[]){ "b", "a", NULL }));
        assert_string_equal(
                varlink_call_unknown_parameter(&call, (const char *[]){ "a", NULL }), "b");
        call.parameters = NULL;
        assert_null(varlink_call_unknown_parameter(&call, (const char *[]){ NULL }));
}

static void test_replies(void **state _unused_)
{
        json_auto_t *good = varlink_make_reply(json_pack("{s:i}", "n", 1));
        json_auto_t *bad = varlink_make_simple_error(VARLINK_METHOD_NOT_FOUND, "a.B");
        json_auto_t *odd = load("{\"error\":1}"), *odder = load("{\"parameters\":1}");
        const json_t *parameters;
        const char *error;

        assert_true(varlink_reply_parse(good, &error, &parameters));
        assert_null(error);
        assert_int_equal(json_integer_value(json_object_get(parameters, "n")), 1);

        assert_true(varlink_reply_parse(bad, &error, &parameters));
        assert_string_equal(error, "org.varlink.service.MethodNotFound");
        assert_string_equal(json_string_value(json_object_get(parameters, "method")), "a.B");

        assert_false(varlink_reply_parse(odd, &error, &parameters));
        assert_false(varlink_reply_parse(odder, &error, &parameters));

        /* without memory for the parameters there is no message */
        assert_null(varlink_make_reply(NULL));
        assert_null(varlink_make_error("a.E", NULL));
        assert_null(varlink_make_call("a.B", NULL));
}

static void test_text_that_is_no_utf8(void **state _unused_)
{
        json_auto_t *good = varlink_make_text("gr\xc3\xbc\xc3\x9f"),
                    *bad = varlink_make_text("a\xff");

        assert_string_equal(json_string_value(good), "gr\xc3\xbc\xc3\x9f");
        assert_string_equal(json_string_value(bad), "a\\xff");
}

static void test_interfaces(void **state _unused_)
{
        assert_non_null(
                strstr(varlink_interface_text(VARLINK_POOL), "\ninterface io.acceptd.Pool\n"));
        assert_non_null(strstr(
                varlink_interface_text(VARLINK_SERVICE), "\ninterface org.varlink.service\n"));
        assert_null(varlink_interface_text("io.acceptd"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_calls),
                cmocka_unit_test(test_bad_calls),
                cmocka_unit_test(test_unknown_parameters),
                cmocka_unit_test(test_replies),
                cmocka_unit_test(test_text_that_is_no_utf8),
                cmocka_unit_test(test_interfaces),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
