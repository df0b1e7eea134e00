/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Calls, replies and errors as JSON, for both ends. Does no input or output.
 */

#include "varlink/message.h"
#include "base/words.h"

bool varlink_call_parse(
        const json_t *message, struct varlink_call *ret_call, const char **ret_wrong)
{
        const char *wrong = NULL, *name;
        json_t *value;

        *ret_call = (struct varlink_call){};

        json_object_foreach ((json_t *)(uintptr_t)message, name, value) {
                bool good;

                if (streq(name, "method")) {
                        ret_call->method = json_string_value(value);
                        good = ret_call->method && strchr(ret_call->method, '.');
                } else if (streq(name, "parameters")) {
                        ret_call->parameters = json_is_object(value) ? value : NULL;
                        good = json_is_object(value) || json_is_null(value);
                } else if (streq(name, "oneway")) {
                        ret_call->oneway = json_is_true(value);
                        good = json_is_boolean(value);
                } else if (streq(name, "more")) {
                        ret_call->more = json_is_true(value);
                        good = json_is_boolean(value);
                } else {
                        /* To upgrade is to go on with another protocol: there is none. */
                        good = !streq(name, "upgrade") || json_is_false(value);
                }

                if (!good && !wrong)
                        wrong = name;
        }

        if (!wrong && !ret_call->method)
                wrong = "method";
        *ret_wrong = wrong;
        return !wrong;
}

const char *varlink_call_unknown_parameter(
        const struct varlink_call *call, const char *const *known)
{
        const char *name;
        json_t *value;

        json_object_foreach (call->parameters, name, value) {
                size_t i = 0;

                while (known[i] && !streq(known[i], name))
                        i++;
                if (!known[i])
                        return name;
        }

        return NULL;
}

static json_t *make(const char *key, const char *name, json_t *parameters_consume)
{
        return json_pack("{s:s, s:o}", key, name, "parameters", parameters_consume);
}

json_t *varlink_make_call(const char *method, json_t *parameters_consume)
{
        return make("method", method, parameters_consume);
}

json_t *varlink_make_error(const char *error, json_t *parameters_consume)
{
        return make("error", error, parameters_consume);
}

json_t *varlink_make_reply(json_t *parameters_consume)
{
        return json_pack("{s:o}", "parameters", parameters_consume);
}

json_t *varlink_make_continued(json_t *parameters_consume)
{
        return json_pack("{s:o, s:b}", "parameters", parameters_consume, "continues", true);
}

json_t *varlink_make_text(const char *text)
{
        _cleanup_(freep) char *safe = NULL;
        json_t *json = json_string(text);
        size_t size;
        FILE *f;

        if (json)
                return json;

        f = open_memstream(&safe, &size);
        if (!f)
                return NULL;
        words_print_safely(text, SIZE_MAX, f);

        return fclose(f) == 0 ? json_string(safe) : NULL;
}

json_t *varlink_make_simple_error(const char *error, const char *parameter)
{
        const char *key = streq(error, VARLINK_INTERFACE_NOT_FOUND) ? "interface"
                          : streq(error, VARLINK_METHOD_NOT_FOUND)  ? "method"
                                                                    : "parameter";

        return varlink_make_error(error, json_pack("{s:s}", key, parameter));
}

bool varlink_reply_parse(
        const json_t *message, const char **ret_error, const json_t **ret_parameters)
{
        const json_t *error = json_object_get(message, "error");
        const json_t *parameters = json_object_get(message, "parameters");

        if (error && !json_is_string(error))
                return false;
        if (parameters && !json_is_object(parameters) && !json_is_null(parameters))
                return false;

        *ret_error = json_string_value(error);
        *ret_parameters = json_is_object(parameters) ? parameters : NULL;
        return true;
}
