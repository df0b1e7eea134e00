/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"
#include "varlink/stream.h"

/*
 * The calling end. These functions wait, up to a deadline, and trust the service no more than the
 * service trusts its clients. They return 0 or -errno: -ETIMEDOUT; -ECONNRESET where it hung up;
 * and -EBADMSG where it said what is no reply.
 */

/* Connects to the socket `path`. */
int varlink_connect(const char *path, usec_t deadline, struct varlink_stream *ret_stream);

/* Sends a call; with `more`, one to which more replies than one may come. */
int varlink_send_call(struct varlink_stream *stream, const char *method, json_t *parameters_consume,
        bool more, usec_t deadline);

/* Waits for the next reply, for the caller to release. */
int varlink_receive_reply(struct varlink_stream *stream, usec_t deadline, json_t **ret_reply);

/* Calls, and waits for the one reply, for the caller to release: see varlink_reply_parse(). */
int varlink_call(struct varlink_stream *stream, const char *method, json_t *parameters_consume,
        usec_t deadline, json_t **ret_reply);
