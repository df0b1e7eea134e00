/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Commands that change something: reload, drain, pause, resume.
 */

#include <inttypes.h>

#include "acceptctl/ask.h"
#include "acceptctl/show.h"
#include "base/words.h"
#include "varlink/interfaces.h"

#define RELOAD_TIMEOUT (90 * USEC_PER_SEC) /* as long as systemctl reload waits by default */

/* Does the same with each. Returns the worst exit status. */
static int do_all(const struct arguments *a, char **names,
        int (*one)(const struct arguments *a, const char *name))
{
        int status = 0;

        for (size_t i = 0; names[i]; i++)
                status = MAX(status, one(a, names[i]));

        return status;
}

/* --- reload --- */

static int cancel_reload(const struct arguments *a, const char *name)
{
        const json_t *parameters;
        json_auto_t *reply = NULL;
        const char *error;
        int r = ask_call(a, name, VARLINK_CANCEL_RELOAD, json_object(), ASK_TIMEOUT, &reply,
                &parameters, &error);

        if (r >= 0)
                return say.json ? say_print_json(parameters) : 0;
        if (r != -EREMOTEIO)
                return say_why_not(&a->places, name, r);

        error = streq(error, VARLINK_NO_RELOAD) ? "no reload is under way" : error;
        say_error("NoReload", name, "Instance %s: %s", name, error);
        return EXIT_FAILURE;
}

static int reload_one(const struct arguments *a, const char *name)
{
        const char *error;
        const json_t *parameters = NULL;
        json_auto_t *reply = NULL;
        int r;

        if (a->cancel)
                return cancel_reload(a, name);

        r = ask_call(a, name, VARLINK_RELOAD, json_object(), RELOAD_TIMEOUT, &reply, &parameters,
                &error);
        if (r == -EREMOTEIO) {
                say_error("ReloadFailed", name, "Instance %s did not reload: %s", name,
                        json_string_value(json_object_get(parameters, "reason")) ?: error);
                return EXIT_FAILURE;
        }
        if (r < 0)
                return say_why_not(&a->places, name, r);
        if (say.json)
                return say_print_json(parameters);
        printf("Generation %" JSON_INTEGER_FORMAT " of the workers is starting.\n",
                json_integer_value(json_object_get(parameters, "generation")));
        show_keys("Settings that changed:", json_object_get(parameters, "changed"));
        return 0;
}

int command_reload(const struct arguments *a, char **names)
{
        return do_all(a, names, reload_one);
}

/* --- drain, pause, resume --- */

static int explain_error(const char *name, const char *error, const json_t *parameters)
{
        if (streq(error, VARLINK_NO_WORKER))
                say_error("NoSuchWorker", name, "Instance %s has no such worker.", name);
        else
                say_error("Impossible", name, "Instance %s: %s", name,
                        json_string_value(json_object_get(parameters, "reason")) ?: error);

        return EXIT_FAILURE;
}

/* Calls a method that has nothing to tell. */
static int call_simply(
        const struct arguments *a, const char *name, const char *method, json_t *parameters_consume)
{
        const json_t *parameters = NULL;
        json_auto_t *reply = NULL;
        const char *error;
        int r;

        r = ask_call(a, name, method, parameters_consume, ASK_TIMEOUT, &reply, &parameters, &error);
        if (r == -EREMOTEIO)
                return explain_error(name, error, parameters);
        if (r < 0)
                return say_why_not(&a->places, name, r);

        return say.json ? say_print_json(parameters) : 0;
}

static int drain_one(const struct arguments *a, const char *name)
{
        return call_simply(a, name, VARLINK_DRAIN, ask_make_filter(a));
}

int command_drain(const struct arguments *a, char **names)
{
        return do_all(a, names, drain_one);
}

static int pause_one(const struct arguments *a, const char *name)
{
        return call_simply(a, name, VARLINK_PAUSE, json_object());
}

int command_pause(const struct arguments *a, char **names)
{
        return do_all(a, names, pause_one);
}

static int resume_one(const struct arguments *a, const char *name)
{
        return call_simply(a, name, VARLINK_RESUME, json_object());
}

int command_resume(const struct arguments *a, char **names)
{
        return do_all(a, names, resume_one);
}
