/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The events of Monitor: each message of the journal, as it is said. It must not say anything to
 * the journal itself.
 */

#include <inttypes.h>

#include "control/control-methods.h"
#include "os/journal.h"

/* So many events wait for a client that does not read. What comes then is counted. */
#define WAITING_MAX 256

struct event {
        enum message message;
        const struct journal_field *fields;
        const char *text;
        json_t *json; /* made for the first who wants it */
};

static json_t *make_fields(const struct journal_field *fields)
{
        json_t *json = json_object();

        for (; json && fields && fields->name; fields++) {
                char number[24];

                (void)snprintf(number, sizeof(number), "%" PRIu64, fields->number);
                (void)json_object_set_new(json, fields->name,
                        varlink_make_text(fields->text ? fields->text : number));
        }

        return json;
}

static json_t *make_event(const struct event *event)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return json_pack("{s:s, s:s, s:i, s:I, s:o, s:o}", "name", journal_get_name(event->message),
                "messageID", journal_get_id(event->message), "priority",
                journal_get_priority(event->message), "time",
                (json_int_t)now.tv_sec * (json_int_t)USEC_PER_SEC + now.tv_nsec / 1000, "text",
                varlink_make_text(event->text), "fields", make_fields(event->fields));
}

static void add(struct control_call *call, void *userdata)
{
        struct control_series *series = control_get_series(call);
        struct event *event = userdata;

        if (!event->json)
                event->json = make_event(event);
        if (!series->waiting)
                series->waiting = json_array();
        if (json_array_size(series->waiting) >= WAITING_MAX ||
                json_array_append(series->waiting, event->json) < 0)
                series->position++;
        control_wake(call);
}

static void on_message(
        void *userdata, enum message message, const struct journal_field *fields, const char *text)
{
        struct event event = { .message = message, .fields = fields, .text = text };

        control_for_each(userdata, control_monitor_next, add, &event);
        json_decref(event.json);
}

void control_monitor_next(const struct control_context *context _unused_, struct control_call *call)
{
        struct control_series *series = control_get_series(call);
        json_t *events = TAKE_PTR(series->waiting) ?: json_array();

        control_continue(call, json_pack("{s:o, s:I}", "events", events, "dropped",
                                       (json_int_t)TAKE(series->position, 0)));
}

void control_monitor_begin(struct control *control)
{
        if (control)
                journal_listen(on_message, control);
}

void control_monitor_end(void)
{
        journal_listen(NULL, NULL);
}
