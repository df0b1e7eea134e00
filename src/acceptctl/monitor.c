/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * monitor: what happens in one or all instances, as it happens, an event a line. It goes on through
 * reloads and restarts.
 */

#include <inttypes.h>
#include <poll.h>

#include "acceptctl/ask.h"
#include "base/words.h"
#include "varlink/client.h"
#include "varlink/interfaces.h"

#define WATCHES_MAX 64

/* An instance that is not there, or hung up, is looked for again: soon enough to see how a reload
 * ends. Without names, others may come. */
#define RETRY_USEC (100 * USEC_PER_MSEC)
#define LOOK_USEC  USEC_PER_SEC

/* To connect, and for an event that has begun to come */
#define MOMENT_USEC (500 * USEC_PER_MSEC)

struct watch {
        char name[256];
        struct varlink_stream stream; /* fd is -1: there is none now */
        usec_t try_at;
        bool has_answered; /* since it was connected to */
        int error;         /* why not, as it was said */
};

struct monitor {
        const struct arguments *a;
        struct watch watches[WATCHES_MAX];
        size_t n;
        uint64_t n_printed;
};

static void add_watch(struct monitor *m, const char *name)
{
        for (size_t i = 0; i < m->n; i++)
                if (streq(m->watches[i].name, name))
                        return;
        if (m->n >= WATCHES_MAX)
                return;

        m->watches[m->n] = (struct watch){ .stream = VARLINK_STREAM_NULL };
        (void)snprintf(m->watches[m->n].name, sizeof(m->watches[m->n].name), "%s", name);
        m->n++;
}

static void add_all(struct monitor *m)
{
        _cleanup_(words_freep) char **names = NULL;

        if (instance_list(&m->a->places, &names) < 0)
                return;
        for (size_t i = 0; names[i]; i++)
                add_watch(m, names[i]);
}

static void try_to_watch(struct monitor *m, struct watch *w)
{
        usec_t now = usec_now();
        int r;

        if (w->stream.fd >= 0 || now < w->try_at)
                return;

        r = instance_open(&m->a->places, w->name, VARLINK_MONITOR, json_object(), true,
                usec_add(now, MOMENT_USEC), &w->stream);
        if (r == -EACCES && w->error != r)
                (void)say_why(&m->a->places, w->name, r);
        w->error = r;
        w->try_at = usec_add(now, RETRY_USEC);
}

static void print_time(const json_t *event)
{
        time_t t = (time_t)(json_integer_value(json_object_get(event, "time")) /
                            (json_int_t)USEC_PER_SEC);
        char text[64] = "-";
        struct tm tm;

        if (localtime_r(&t, &tm))
                (void)strftime(text, sizeof(text), "%b %d %H:%M:%S", &tm);
        fputs(text, stdout);
}

static enum say_colour choose_colour(const json_t *event)
{
        json_int_t priority = json_integer_value(json_object_get(event, "priority"));

        return priority <= 3 ? SAY_BAD : priority == 4 ? SAY_WARN : SAY_NORMAL;
}

static void print_event(struct monitor *m, const struct watch *w, json_t *event)
{
        enum say_colour colour = choose_colour(event);

        m->n_printed++;
        if (say.json) {
                (void)json_object_set_new(event, "instance", json_string(w->name));
                (void)json_dumpf(event, stdout, JSON_COMPACT);
                fputc('\n', stdout);
                return;
        }

        print_time(event);
        printf(" %s: %s", w->name, colour == SAY_NORMAL ? "" : say_colour(colour));
        words_print_safely(
                json_string_value(json_object_get(event, "text")) ?: "-", SIZE_MAX, stdout);
        printf("%s\n", colour == SAY_NORMAL ? "" : say_colour(SAY_NORMAL));
}

static void print_dropped(const struct watch *w, json_int_t n)
{
        if (n > 0)
                say_error("Dropped", w->name, "%s: %lld events came faster than they were read.",
                        w->name, (long long)n);
}

static void read_events(struct monitor *m, struct watch *w)
{
        json_auto_t *reply = NULL;
        const json_t *parameters = NULL;
        const char *error;
        json_t *event;
        size_t i;
        int r;

        r = varlink_receive_reply(&w->stream, usec_add(usec_now(), MOMENT_USEC), &reply);
        r = r < 0 ? instance_explain_end(r) : ask_parse(reply, &parameters, &error);
        if (r < 0) {
                if (r == -EACCES && w->error != r)
                        (void)say_why(&m->a->places, w->name, r);
                w->error = r;
                varlink_stream_done(&w->stream);
                /* The program was executed for a reload: at once, or its outcome is missed. */
                if (TAKE(w->has_answered, false))
                        w->try_at = 0;
                return;
        }
        w->has_answered = true;

        print_dropped(w, json_integer_value(json_object_get(parameters, "dropped")));
        json_array_foreach (json_object_get(parameters, "events"), i, event)
                if (m->a->iterations == 0 || m->n_printed < m->a->iterations)
                        print_event(m, w, event);
        (void)fflush(stdout);
}

/* Waits for events, or until it is time to look for instances. */
static void wait_for_events(struct monitor *m, bool *waits)
{
        struct pollfd fds[WATCHES_MAX];
        bool complete = true;

        for (size_t i = 0; i < m->n; i++) {
                fds[i] = (struct pollfd){ .fd = m->watches[i].stream.fd, .events = POLLIN };
                complete = complete && fds[i].fd >= 0;
        }

        (void)poll(fds, m->n, (int)((complete ? LOOK_USEC : RETRY_USEC) / USEC_PER_MSEC));
        for (size_t i = 0; i < m->n; i++)
                waits[i] = fds[i].fd >= 0 && fds[i].revents != 0;
}

int command_monitor(const struct arguments *a, char **names)
{
        struct monitor m = { .a = a };

        for (size_t i = 0; names[i]; i++)
                add_watch(&m, names[i]);

        while ((a->iterations == 0 || m.n_printed < a->iterations) && !ferror(stdout)) {
                bool waits[WATCHES_MAX] = {};

                if (!names[0])
                        add_all(&m);
                for (size_t i = 0; i < m.n; i++)
                        try_to_watch(&m, &m.watches[i]);
                wait_for_events(&m, waits);
                for (size_t i = 0; i < m.n; i++)
                        if (waits[i])
                                read_events(&m, &m.watches[i]);
        }

        for (size_t i = 0; i < m.n; i++)
                varlink_stream_done(&m.watches[i].stream);
        return 0;
}
