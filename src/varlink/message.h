/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "base/base.h"

/*
 * What stands in Varlink messages: calls, replies and errors.
 */

struct varlink_call {
        const char *method; /* lent by the message */
        json_t *parameters; /* lent too; an object, or NULL where it has none */
        bool oneway;        /* no answer is wanted */
        bool more;          /* more replies than one are welcome */
};

/* Reads a call that came in. Members that this version does not know change nothing. Returns true,
 * or false and in `ret_wrong` the member that is wrong (lent by the message); `oneway` is set all
 * the same. */
bool varlink_call_parse(
        const json_t *message, struct varlink_call *ret_call, const char **ret_wrong);

/* Returns the first parameter that is not in the NULL-terminated list, or NULL. */
const char *varlink_call_unknown_parameter(
        const struct varlink_call *call, const char *const *known);

/* --- Making messages. Parameters belong to the callee. NULL, there and back: no memory. --- */

json_t *varlink_make_call(const char *method, json_t *parameters_consume);
json_t *varlink_make_reply(json_t *parameters_consume);

/* One behind which others come. */
json_t *varlink_make_continued(json_t *parameters_consume);

json_t *varlink_make_error(const char *error, json_t *parameters_consume);

/* A text that may be anything: what is not UTF-8, as all of JSON is, comes with escapes. */
json_t *varlink_make_text(const char *text);

/* Errors that every service has, each with one parameter: what was asked for. */

#define VARLINK_INTERFACE_NOT_FOUND "org.varlink.service.InterfaceNotFound" /* interface */
#define VARLINK_METHOD_NOT_FOUND    "org.varlink.service.MethodNotFound"    /* method */
#define VARLINK_INVALID_PARAMETER   "org.varlink.service.InvalidParameter"  /* parameter */

/* And two without any. */

#define VARLINK_PERMISSION_DENIED "org.varlink.service.PermissionDenied"
#define VARLINK_EXPECTED_MORE     "org.varlink.service.ExpectedMore"

json_t *varlink_make_simple_error(const char *error, const char *parameter);

/* Reads a reply that came in. Returns false where it is none. `ret_error` is NULL when the call
 * succeeded; both are lent by the message. `ret_parameters` is an object, or NULL. */
bool varlink_reply_parse(
        const json_t *message, const char **ret_error, const json_t **ret_parameters);
