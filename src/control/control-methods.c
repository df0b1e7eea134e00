/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The methods of the control socket. It must not know of sockets and clients.
 */

#include "control/control-methods.h"
#include "dispatcher/steering.h"
#include "varlink/interfaces.h"

/* Between the statuses of a stream, unless the caller says otherwise. */
#define INTERVAL_USEC     USEC_PER_SEC
#define INTERVAL_MSEC_MIN 100
#define INTERVAL_MSEC_MAX (3600 * 1000)

const char *control_filter_parse(const json_t *parameters, struct control_filter *ret)
{
        const json_t *worker = json_object_get(parameters, "worker");
        const json_t *listener = json_object_get(parameters, "listener");

        *ret = (struct control_filter){
                .worker = json_integer_value(worker),
                .listener = json_string_value(listener),
        };
        if (worker && !json_is_null(worker) && ret->worker <= 0)
                return "worker";
        if (listener && !json_is_null(listener) && !ret->listener)
                return "listener";

        return NULL;
}

/* --- Looking --- */

static json_t *make_status(const struct control_context *context, const json_t *parameters)
{
        struct control_filter filter;

        (void)control_filter_parse(parameters, &filter);
        return json_pack("{s:o}", "status",
                control_make_status(context->dispatcher, context->instance, &filter));
}

static void next_status(const struct control_context *context, struct control_call *call)
{
        control_continue(call, make_status(context, control_get_series(call)->parameters));
}

/* Returns false where it is none that is allowed. */
static bool parse_interval(const json_t *parameters, usec_t *ret)
{
        const json_t *json = json_object_get(parameters, "intervalMSec");
        json_int_t n = json_integer_value(json);

        *ret = INTERVAL_USEC;
        if (!json || json_is_null(json))
                return true;
        if (n < INTERVAL_MSEC_MIN || n > INTERVAL_MSEC_MAX)
                return false;

        *ret = (usec_t)n * USEC_PER_MSEC;
        return true;
}

static void get_status(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what)
{
        struct control_series series = { .next = next_status };
        struct control_filter filter;
        const char *wrong = control_filter_parse(what->parameters, &filter);

        if (!wrong && !parse_interval(what->parameters, &series.pause))
                wrong = "intervalMSec";
        if (wrong)
                control_fail_simply(call, VARLINK_INVALID_PARAMETER, wrong);
        else if (what->more)
                control_start_series(call, &series, what->parameters);
        else
                control_reply(call, make_status(context, what->parameters));
}

static void next_connections(const struct control_context *context, struct control_call *call)
{
        struct control_series *series = control_get_series(call);
        struct control_filter filter;
        json_t *parameters;

        (void)control_filter_parse(series->parameters, &filter);
        parameters = json_pack("{s:o}", "connections",
                control_make_connections(context->dispatcher, &filter, &series->position));
        if (series->position > 0)
                control_continue(call, parameters);
        else
                control_reply(call, parameters);
}

static void list_connections(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what)
{
        const struct control_series series = { .next = next_connections };
        struct control_filter filter;
        const char *wrong = control_filter_parse(what->parameters, &filter);

        if (wrong)
                control_fail_simply(call, VARLINK_INVALID_PARAMETER, wrong);
        else if (!what->more)
                control_fail(call, VARLINK_EXPECTED_MORE, json_object());
        else if (!context->dispatcher->settings->accept)
                control_fail(call, VARLINK_IMPOSSIBLE,
                        json_pack("{s:s}", "reason",
                                "with Accept=no only the workers know connections"));
        else
                control_start_series(call, &series, what->parameters);
}

static void list_sources(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what _unused_)
{
        if (context->dispatcher->settings->accept)
                control_reply(call, control_make_sources(context->dispatcher));
        else
                control_fail(call, VARLINK_IMPOSSIBLE,
                        json_pack("{s:s}", "reason",
                                "with Accept=no only the workers know connections"));
}

static void monitor(const struct control_context *context _unused_, struct control_call *call,
        const struct varlink_call *what)
{
        const struct control_series series = {
                .next = control_monitor_next,
                .pause = USEC_INFINITY,
        };

        if (what->more)
                control_start_series(call, &series, NULL);
        else
                control_fail(call, VARLINK_EXPECTED_MORE, json_object());
}

static void get_settings(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what _unused_)
{
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        int r = -ENOMEM;

        if (f) {
                r = settings_print(context->dispatcher->settings, f);
                r = fclose(f) != 0 ? -ENOMEM : r;
        }

        control_reply(call, r < 0 ? NULL : json_pack("{s:o}", "text", varlink_make_text(text)));
}

/* --- Steering --- */

/* `why` is what src/dispatcher/steering.h returns. */
static void answer_steering(struct control_call *call, const char *why)
{
        if (!why)
                control_reply(call, json_object());
        else if (streq(why, ""))
                control_fail(call, VARLINK_NO_WORKER, json_object());
        else
                control_fail(call, VARLINK_IMPOSSIBLE, json_pack("{s:s}", "reason", why));
}

static void drain_worker(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what)
{
        struct control_filter filter;
        const char *wrong = control_filter_parse(what->parameters, &filter);

        if (wrong || filter.worker == 0)
                control_fail_simply(call, VARLINK_INVALID_PARAMETER, "worker");
        else
                answer_steering(call, steering_drain(context->dispatcher, (uint64_t)filter.worker));
}

static void run_pause(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what _unused_)
{
        answer_steering(call, steering_hold(context->dispatcher, true));
}

static void run_resume(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what _unused_)
{
        answer_steering(call, steering_hold(context->dispatcher, false));
}

static void run_reload(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what _unused_)
{
        context->reload(call, context->userdata);
}

static void cancel_reload(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what _unused_)
{
        context->cancel_reload(call, context->userdata);
}

/* --- What every service has --- */

static void get_info(const struct control_context *context _unused_, struct control_call *call,
        const struct varlink_call *what _unused_)
{
        control_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", "acceptd",
                                    "product", "acceptd", "version", ACCEPTD_VERSION, "url",
                                    "man:acceptd(8)", "interfaces", VARLINK_POOL, VARLINK_SERVICE));
}

static void get_description(const struct control_context *context _unused_,
        struct control_call *call, const struct varlink_call *what)
{
        const char *name = json_string_value(json_object_get(what->parameters, "interface"));
        const char *text = name ? varlink_interface_text(name) : NULL;

        if (text)
                control_reply(call, json_pack("{s:s}", "description", text));
        else if (name)
                control_fail_simply(call, VARLINK_INTERFACE_NOT_FOUND, name);
        else
                control_fail_simply(call, VARLINK_INVALID_PARAMETER, "interface");
}

#define PARAMETERS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static const struct method {
        const char *name;
        const char *const *parameters; /* NULL-terminated */
        bool steers;                   /* for root alone */
        void (*run)(const struct control_context *context, struct control_call *call,
                const struct varlink_call *what);
} methods[] = {
        { VARLINK_GET_STATUS, PARAMETERS("worker", "listener", "intervalMSec"), false, get_status },
        { VARLINK_CONNECTIONS, PARAMETERS("worker", "listener"), false, list_connections },
        { VARLINK_SOURCES, PARAMETERS(), false, list_sources },
        { VARLINK_MONITOR, PARAMETERS(), false, monitor },
        { VARLINK_SETTINGS, PARAMETERS(), false, get_settings },
        { VARLINK_DRAIN, PARAMETERS("worker"), true, drain_worker },
        { VARLINK_PAUSE, PARAMETERS(), true, run_pause },
        { VARLINK_RESUME, PARAMETERS(), true, run_resume },
        { VARLINK_RELOAD, PARAMETERS(), true, run_reload },
        { VARLINK_CANCEL_RELOAD, PARAMETERS(), true, cancel_reload },
        { VARLINK_GET_INFO, PARAMETERS(), false, get_info },
        { VARLINK_GET_DESCRIPTION, PARAMETERS("interface"), false, get_description },
};

static const struct method *find_method(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(methods); i++)
                if (streq(methods[i].name, name))
                        return &methods[i];

        return NULL;
}

/* There is no such method; is there such an interface? */
static void refuse(struct control_call *call, const char *method)
{
        _cleanup_(freep) char *interface = strndup(method, (size_t)(strrchr(method, '.') - method));

        if (!interface)
                control_fail(call, VARLINK_METHOD_NOT_FOUND, NULL);
        else if (varlink_interface_text(interface))
                control_fail_simply(call, VARLINK_METHOD_NOT_FOUND, method);
        else
                control_fail_simply(call, VARLINK_INTERFACE_NOT_FOUND, interface);
}

void control_run(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what)
{
        const struct method *method = find_method(what->method);
        const char *unknown;

        if (!method) {
                refuse(call, what->method);
                return;
        }
        if (method->steers && !control_may_steer(call)) {
                control_fail(call, VARLINK_PERMISSION_DENIED, json_object());
                return;
        }

        /* A filter that is not known would show what was not asked for, so these are not ignored.
         */
        unknown = varlink_call_unknown_parameter(what, method->parameters);
        if (unknown)
                control_fail_simply(call, VARLINK_INVALID_PARAMETER, unknown);
        else
                method->run(context, call, what);
}
