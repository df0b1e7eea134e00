/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sources: who has most connections, and who was refused most.
 */

#include "acceptctl/ask.h"
#include "acceptctl/table.h"
#include "varlink/interfaces.h"

static int show(const json_t *sources, const char *title)
{
        _cleanup_(table_done) struct table table;
        const json_t *source;
        size_t i;

        table_init(&table, (const char *const[]){ title, ">OPEN", ">REFUSED", NULL });
        json_array_foreach (sources, i, source) {
                table_add(&table, json_string_value(json_object_get(source, "source")) ?: "-");
                table_add_number(&table, json_integer_value(json_object_get(source, "open")));
                table_add_number(&table, json_integer_value(json_object_get(source, "refused")));
        }

        return table_print(&table, "");
}

int command_sources(const struct arguments *a, char **names)
{
        json_auto_t *reply = NULL;
        const json_t *parameters;
        const char *error;
        int r;

        r = ask_call(a, names[0], VARLINK_SOURCES, json_object(), ASK_TIMEOUT, &reply, &parameters,
                &error);
        if (r == -EREMOTEIO) {
                say_error("Impossible", names[0], "Instance %s: %s", names[0],
                        json_string_value(json_object_get(parameters, "reason")) ?: error);
                return EXIT_FAILURE;
        }
        if (r < 0)
                return say_why(&a->places, names[0], r);
        if (say.json)
                return say_print_json(parameters);

        r = show(json_object_get(parameters, "open"), "HAS MOST");
        if (r >= 0 && json_array_size(json_object_get(parameters, "refused")) > 0) {
                fputc('\n', stdout);
                r = show(json_object_get(parameters, "refused"), "REFUSED MOST");
        }

        return r < 0 ? say_out_of_memory() : 0;
}
