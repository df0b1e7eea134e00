/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "acceptctl/commands.h"

/*
 * Questions to running instances.
 */

/* For a status of all that hang together; each gets a moment in any case. */
#define ASK_TIMEOUT (5 * USEC_PER_SEC)
#define ASK_MOMENT  (500 * USEC_PER_MSEC)

/* Takes a reply apart. Returns 0, -EBADMSG, -EACCES, or -EREMOTEIO with the error that the instance
 * reported in `ret_error`. All is lent by the reply. */
int ask_parse(const json_t *reply, const json_t **ret_parameters, const char **ret_error);

/* Calls, and takes the reply apart, for the caller to release. Returns the same, or the -errno of
 * instance_call(). */
int ask_call(const struct arguments *a, const char *name, const char *method,
        json_t *parameters_consume, usec_t timeout, json_t **ret_reply,
        const json_t **ret_parameters, const char **ret_error);

/* The parameters of calls that can be restricted to a worker and a listener. */
json_t *ask_make_filter(const struct arguments *a);

/* Returns 0 and the status, for the caller to release, or -errno. */
int ask_status(const struct arguments *a, const char *name, json_t **ret_status);

/* The state in words, as acceptctl shows it: that of the status, or `paused`. */
const char *ask_name_state(const json_t *status);
