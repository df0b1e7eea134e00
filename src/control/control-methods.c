/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The methods of the control socket. It must not know of sockets and clients.
 */

#include "control/control-methods.h"
#include "varlink/interfaces.h"

static void get_status(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what _unused_)
{
        control_reply(call, json_pack("{s:o}", "status",
                                    control_make_status(context->dispatcher, context->instance)));
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

static const struct method {
        const char *name;
        const char *parameter; /* the only one, or NULL */
        void (*run)(const struct control_context *context, struct control_call *call,
                const struct varlink_call *what);
} methods[] = {
        { VARLINK_GET_STATUS, NULL, get_status },
        { VARLINK_RELOAD, NULL, run_reload },
        { VARLINK_CANCEL_RELOAD, NULL, cancel_reload },
        { VARLINK_GET_INFO, NULL, get_info },
        { VARLINK_GET_DESCRIPTION, "interface", get_description },
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
        const char *known[2] = { method ? method->parameter : NULL, NULL };
        const char *unknown = varlink_call_unknown_parameter(what, known);

        if (!method)
                refuse(call, what->method);
        else if (unknown)
                control_fail_simply(call, VARLINK_INVALID_PARAMETER, unknown);
        else
                method->run(context, call, what);
}
