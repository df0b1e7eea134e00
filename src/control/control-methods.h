/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "control/control.h"

/*
 * What the calls on the control socket do.
 */

/* For struct control_context. */
void control_run(const struct control_context *context, struct control_call *call,
        const struct varlink_call *what);

/* The status as it goes over the socket. Returns NULL without memory. */
json_t *control_make_status(struct dispatcher *d, const char *instance);
