/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Calls, and what comes back. It prints nothing.
 */

#include <time.h>

#include "acceptctl/ask.h"
#include "varlink/interfaces.h"
#include "varlink/message.h"

/* A status is asked for so often, where it is hung up on. */
#define HANG_UPS_MAX 5

int ask_parse(const json_t *reply, const json_t **ret_parameters, const char **ret_error)
{
        *ret_error = NULL;
        if (!varlink_reply_parse(reply, ret_error, ret_parameters))
                return -EBADMSG;
        if (!*ret_error)
                return 0;

        return streq(*ret_error, VARLINK_PERMISSION_DENIED) ? -EACCES : -EREMOTEIO;
}

int ask_call(const struct arguments *a, const char *name, const char *method,
        json_t *parameters_consume, usec_t timeout, json_t **ret_reply,
        const json_t **ret_parameters, const char **ret_error)
{
        int r;

        *ret_error = NULL;
        r = instance_call(&a->places, name, method, parameters_consume, timeout, ret_reply);
        return r < 0 ? r : ask_parse(*ret_reply, ret_parameters, ret_error);
}

json_t *ask_make_filter(const struct arguments *a)
{
        json_t *filter = json_object();

        if (filter && a->worker > 0)
                (void)json_object_set_new(filter, "worker", json_integer((json_int_t)a->worker));
        if (filter && a->listener)
                (void)json_object_set_new(filter, "listener", varlink_make_text(a->listener));

        return filter;
}

int ask_status(const struct arguments *a, const char *name, json_t **ret_status)
{
        static const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
        json_auto_t *reply = NULL;
        const json_t *parameters;
        const char *error;
        usec_t now = usec_now(), left = a->deadline - MIN(a->deadline, now);
        json_t *status;
        int r;

        /* An instance that has just ended hangs up before its socket goes; one that crashed will
         * be there again. */
        for (int i = 0; i < HANG_UPS_MAX; i++) {
                r = ask_call(a, name, VARLINK_GET_STATUS, ask_make_filter(a), MAX(left, ASK_MOMENT),
                        &reply, &parameters, &error);
                if (r != -ECONNRESET)
                        break;
                (void)nanosleep(&pause, NULL);
        }
        if (r < 0)
                return r == -EREMOTEIO ? -EBADMSG : r;

        status = json_object_get(parameters, "status");
        if (!json_is_object(status))
                return -EBADMSG;

        *ret_status = json_incref(status);
        return 0;
}

const char *ask_name_state(const json_t *status)
{
        const char *state = json_string_value(json_object_get(status, "state")) ?: "-";

        return json_is_true(json_object_get(status, "paused")) && streq(state, "ready") ? "paused"
                                                                                        : state;
}
