/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * list, status and settings.
 */

#include "acceptctl/ask.h"
#include "acceptctl/journal-lines.h"
#include "acceptctl/show.h"
#include "base/words.h"
#include "varlink/interfaces.h"
#include "varlink/message.h"

/* Returns an exit status. */
static int find_all(const struct arguments *a, char ***ret_names)
{
        int r = instance_list(&a->places, ret_names);

        if (r >= 0)
                return 0;

        complain("Cannot look for instances: %s", strerror(-r));
        return EXIT_FAILURE;
}

/* --- list --- */

static int print_lines_as_json(const struct show_line *lines, size_t n)
{
        json_auto_t *list = json_array();

        for (size_t i = 0; list && i < n; i++) {
                const struct show_line *l = &lines[i];
                const char *state = l->status ? ask_name_state(l->status) : l->state;

                (void)json_array_append_new(list,
                        json_pack("{s:o, s:s, s:b, s:O?}", "name", varlink_make_text(l->name),
                                "state", state, "configured", l->configured, "status", l->status));
        }

        return say_print_json(list);
}

static int print_lines(const struct show_line *lines, size_t n)
{
        if (say.json)
                return print_lines_as_json(lines, n);
        if (show_list(lines, n) < 0)
                return say_out_of_memory();
        for (size_t i = 0; i < n; i++)
                if (streq(lines[i].state, "running")) {
                        complain("Only root can see more.");
                        break;
                }

        return 0;
}

int command_list(const struct arguments *a, char **names)
{
        _cleanup_(words_freep) char **found = NULL;
        bool seen = instance_can_be_seen(&a->places);
        char **all = names;
        struct show_line *lines;
        size_t n = 0;
        int r;

        if (!names[0]) {
                r = find_all(a, &found);
                if (r != 0)
                        return r;
                all = found;
        }

        while (all[n])
                n++;
        lines = calloc(n + 1, sizeof(*lines));
        if (!lines)
                return say_out_of_memory();
        for (size_t i = 0; i < n; i++) {
                json_t *status = NULL;

                r = ask_status(a, all[i], &status);
                lines[i] = (struct show_line){
                        .name = all[i],
                        .state =
                                r == INSTANCE_STOPPED && !seen ? "unknown" : instance_name_error(r),
                        .status = status,
                        .configured = instance_is_configured(&a->places, all[i]),
                };
        }

        r = print_lines(lines, n);
        if (!seen)
                say_no_root(&a->places);
        for (size_t i = 0; i < n; i++)
                json_decref((json_t *)(uintptr_t)lines[i].status);
        free(lines);
        return r;
}

/* --- status --- */

/* Shows one; with JSON, adds it to `list`. Returns an exit status. */
static int show_one(const struct arguments *a, const char *name, bool only_running, json_t *list)
{
        json_auto_t *status = NULL;
        int r = ask_status(a, name, &status);

        if (r == INSTANCE_STOPPED && only_running)
                return EXIT_NOT_RUNNING;
        if (r < 0)
                return say_why(&a->places, name, r);

        if (json_array_append(list, status) < 0)
                return say_out_of_memory();
        if (say.json)
                return 0;

        if (json_array_size(list) > 1)
                fputc('\n', stdout);
        if (show_status(&a->places, name, status) < 0)
                return say_out_of_memory();
        if (a->places.root[0] == '\0' && a->lines > 0)
                journal_lines_show(name, a->lines);

        return 0;
}

/* All that run. */
static int show_all(const struct arguments *a)
{
        json_auto_t *list = json_array();
        _cleanup_(words_freep) char **all = NULL;
        int r, status = EXIT_NOT_RUNNING;

        r = find_all(a, &all);
        if (r != 0)
                return r;

        for (size_t i = 0; all[i]; i++) {
                r = show_one(a, all[i], true, list);
                if (r != EXIT_NOT_RUNNING)
                        status = status == EXIT_NOT_RUNNING ? r : MAX(status, r);
        }

        if (say.json)
                (void)say_print_json(list);
        if (status == EXIT_NOT_RUNNING && !instance_can_be_seen(&a->places)) {
                say_no_root(&a->places);
                return EXIT_UNKNOWN;
        }
        if (!say.json && status == EXIT_NOT_RUNNING)
                say_error("NotRunning", NULL, "No instance is running. See: acceptctl list");
        return status;
}

int command_status(const struct arguments *a, char **names)
{
        json_auto_t *list = json_array();
        bool one = names[0] && !names[1];
        int status = 0;

        if (!names[0])
                return show_all(a);

        for (size_t i = 0; names[i]; i++)
                status = MAX(status, show_one(a, names[i], false, list));
        /* One that was asked for by its name is not put into a list. */
        if (say.json && (!one || status == 0) &&
                say_print_json(one ? json_array_get(list, 0) : list) != 0)
                return EXIT_FAILURE;

        return status;
}

/* --- settings --- */

/* The lines are what they are in a file, also to a terminal: escapes would make others of them. */
static void print_lines_safely(const char *text)
{
        for (; *text; text++)
                fputc(*text == '\n' || (*text >= ' ' && *text < 0x7f) ? *text : '?', stdout);
}

int command_settings(const struct arguments *a, char **names)
{
        const json_t *parameters = NULL;
        json_auto_t *reply = NULL;
        const char *error;
        int r = ask_call(a, names[0], VARLINK_SETTINGS, json_object(), ASK_TIMEOUT, &reply,
                &parameters, &error);

        if (r < 0)
                return say_why(&a->places, names[0], r == -EREMOTEIO ? -EBADMSG : r);
        if (say.json)
                return say_print_json(parameters);

        print_lines_safely(json_string_value(json_object_get(parameters, "text")) ?: "");
        return 0;
}
