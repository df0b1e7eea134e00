/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * connections: all that are open, as they come, some at a time.
 */

#include "acceptctl/ask.h"
#include "acceptctl/show.h"
#include "varlink/client.h"
#include "varlink/interfaces.h"

/* Adds what the replies have to `list`. Returns 0, -EREMOTEIO with `ret_reason` for
 * json_decref(), or -errno. */
static int collect(const struct arguments *a, const char *name, json_t *list, json_t **ret_reason)
{
        usec_t deadline = usec_add(usec_now(), ASK_TIMEOUT);
        struct varlink_stream stream = VARLINK_STREAM_NULL;
        bool more = true;
        int r;

        r = instance_open(
                &a->places, name, VARLINK_CONNECTIONS, ask_make_filter(a), true, deadline, &stream);
        while (r >= 0 && more) {
                json_auto_t *reply = NULL;
                const json_t *parameters = NULL;
                const char *error;

                r = instance_explain_end(varlink_receive_reply(&stream, deadline, &reply));
                if (r >= 0)
                        r = ask_parse(reply, &parameters, &error);
                if (r == -EREMOTEIO)
                        *ret_reason = json_incref(json_object_get(parameters, "reason"))
                                              ?: json_string(error);
                if (r >= 0 &&
                        json_array_extend(list, json_object_get(parameters, "connections")) < 0)
                        r = -EBADMSG;
                more = json_is_true(json_object_get(reply, "continues"));
        }

        varlink_stream_done(&stream);
        return r;
}

int command_connections(const struct arguments *a, char **names)
{
        json_auto_t *list = json_array(), *reason = NULL;
        int r;

        if (!list)
                return say_out_of_memory();

        r = collect(a, names[0], list, &reason);
        if (r == -EREMOTEIO) {
                say_error("Impossible", names[0], "Instance %s: %s", names[0],
                        json_string_value(reason) ?: "it cannot list connections");
                return EXIT_FAILURE;
        }
        if (r < 0)
                return say_why(&a->places, names[0], r);
        if (say.json)
                return say_print_json(list);

        return show_connections(list) < 0 ? say_out_of_memory() : 0;
}
