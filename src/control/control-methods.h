/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "control/control.h"

/*
 * What the calls on the control socket do.
 */

/* For struct control_context. */
void control_run(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what);

/* What of the workers, listeners and connections is asked for. */
struct control_filter {
        json_int_t worker;    /* number; 0: all */
        const char *listener; /* name, lent by the parameters; NULL: all */
};

/* Reads it from parameters, or NULL. Returns the one that is wrong, or NULL. */
const char *control_filter_parse(const json_t *parameters, struct control_filter *ret);

/* The status as it goes over the socket. Returns NULL without memory. */
json_t *control_make_status(
        struct dispatcher *d, const char *instance, const struct control_filter *filter);

/* Some of the open connections, from the slot at `*position` on, which is moved on; at the end it
 * is 0. Looks at a bounded number of slots. Returns NULL without memory. */
json_t *control_make_connections(
        const struct dispatcher *d, const struct control_filter *filter, uint64_t *position);

/* Who has most connections, and who was refused most. Returns NULL without memory. */
json_t *control_make_sources(const struct dispatcher *d);

/* Replies of Monitor: what the journal gets. */
void control_monitor_next(const struct control_context *context, struct control_call *call);
void control_monitor_begin(struct control *control);
void control_monitor_end(void);
