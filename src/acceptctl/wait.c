/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * is-ready and wait: for scripts. Waiting is asking again and again, so that it goes on through
 * restarts and reloads.
 */

#include <time.h>

#include "acceptctl/ask.h"

#define INTERVAL_NSEC (100L * 1000 * 1000)

static long long number_of(const json_t *object, const char *member)
{
        return json_integer_value(json_object_get(object, member));
}

/* --- is-ready --- */

static void print_state_as_json(const char *name, const char *state)
{
        json_auto_t *json = json_pack("{s:s, s:s}", "instance", name, "state", state);

        (void)say_print_json(json);
}

int command_is_ready(const struct arguments *a, char **names)
{
        int status = 0;

        for (size_t i = 0; names[i]; i++) {
                json_auto_t *json = NULL;
                int r = ask_status(a, names[i], &json), one = 0;

                if (r < 0) {
                        one = say_why(&a->places, names[i], r);
                } else {
                        const char *state = ask_name_state(json);

                        one = streq(state, "ready") ? 0 : EXIT_FAILURE;
                        if (say.json)
                                print_state_as_json(names[i], state);
                        else
                                printf("%s%s%s\n", say_colour(say_colour_of(state)), state,
                                        say_colour(SAY_NORMAL));
                }
                status = MAX(status, one);
        }

        return status;
}

/* --- wait --- */

/* No connection is open, and none waits where the kernel tells that. */
static bool is_idle(const json_t *status)
{
        const json_t *listener;
        size_t i;

        json_array_foreach (json_object_get(status, "listeners"), i, listener)
                if (number_of(listener, "backlog") > 0)
                        return false;

        return number_of(json_object_get(status, "counters"), "open") == 0;
}

static bool has_old(const json_t *status)
{
        const json_t *worker;
        size_t i;

        json_array_foreach (json_object_get(status, "workers"), i, worker)
                if (number_of(worker, "generation") < number_of(status, "generation"))
                        return true;

        return false;
}

/* Returns what is still waited for, or NULL. */
static const char *find_missing(const struct arguments *a, const json_t *status)
{
        if (a->generation > 0 && number_of(status, "generation") < (long long)a->generation)
                return "its generation is older";
        if (a->until_ready && !streq(ask_name_state(status), "ready"))
                return "it is not ready";
        if (a->until_no_old && has_old(status))
                return "workers of older generations have connections";
        if (a->until_idle && !is_idle(status))
                return "there are connections";

        return NULL;
}

/* Returns an exit status. */
static int give_up(const struct arguments *a, const char *name, int r, const char *missing)
{
        if (r < 0)
                return say_why(&a->places, name, r);

        say_error("TimedOut", name, "Instance %s: %s.", name, missing);
        return EXIT_FAILURE;
}

static int wait_for_one(const struct arguments *a, const char *name, usec_t end)
{
        static const struct timespec pause = { .tv_nsec = INTERVAL_NSEC };

        for (;;) {
                struct arguments now = *a;
                json_auto_t *status = NULL;
                const char *missing;
                int r;

                now.deadline = MIN(end, usec_add(usec_now(), ASK_TIMEOUT));
                r = ask_status(&now, name, &status);
                missing = r < 0 ? "" : find_missing(a, status);
                if (!missing)
                        return 0;
                /* Those that can come yet are waited for: it starts, or starts again. */
                if (r == -EACCES || r == -EPERM || r == -EBADMSG ||
                        (r == INSTANCE_STOPPED && !instance_is_configured(&a->places, name)) ||
                        usec_now() >= end)
                        return give_up(a, name, r, missing);
                (void)nanosleep(&pause, NULL);
        }
}

int command_wait(const struct arguments *a, char **names)
{
        usec_t end = usec_add(usec_now(), a->timeout);
        int status = 0;

        if (!a->until_ready && !a->until_idle && !a->until_no_old && a->generation == 0) {
                complain("wait wants --ready, --idle, --no-old or --generation=N.");
                return EXIT_FAILURE;
        }

        for (size_t i = 0; names[i]; i++)
                status = MAX(status, wait_for_one(a, names[i], end));

        return status;
}
