/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "base/base.h"

/*
 * One end of a Varlink connection, https://varlink.org/Method-Call: an AF_UNIX stream on which each
 * message is a JSON object with a zero byte behind it. Nothing here blocks.
 *
 * A message that comes in is taken from the socket up to its end and no further: what the peer has
 * sent behind it stays in the kernel, so that the descriptor alone is the connection between two
 * messages. The peer is not trusted: what it makes this end keep is bounded.
 */

#define VARLINK_CALL_MAX  ((size_t)64 * 1024)
#define VARLINK_REPLY_MAX ((size_t)16 * 1024 * 1024)

enum varlink_result {
        VARLINK_WAIT = 1,      /* not yet: try again when the socket is readable, or writable */
        VARLINK_END = 2,       /* the peer is gone */
        VARLINK_MALFORMED = 3, /* too long, or no JSON object: nothing can be read any more */
};

struct varlink_stream {
        int fd;
        size_t input_max;

        char *input; /* a message that is not whole yet */
        size_t n_input, input_size;

        char *output; /* a message that is not sent yet */
        size_t n_output, n_sent;
};

#define VARLINK_STREAM_NULL ((struct varlink_stream){ .fd = -1 })

/* Takes over a connected socket. Messages that come in may have `input_max` bytes. */
void varlink_stream_init(struct varlink_stream *stream, int fd_consume, size_t input_max);
void varlink_stream_done(struct varlink_stream *stream);

/* Gives the socket away; the stream is as after varlink_stream_done(). */
int varlink_stream_take_fd(struct varlink_stream *stream);

/* Reads once, and a bounded piece. Returns 0 and a message for the caller to release, enum
 * varlink_result or -errno. */
int varlink_stream_receive(struct varlink_stream *stream, json_t **ret_message);

/* Sends `message` as far as it goes, when nothing is left of the one before. Returns 0 when all is
 * sent, VARLINK_WAIT (varlink_stream_flush() sends the rest), VARLINK_END or -errno. */
int varlink_stream_send(struct varlink_stream *stream, const json_t *message);

/* The same for what is left. */
int varlink_stream_flush(struct varlink_stream *stream);

static inline bool varlink_stream_has_output(const struct varlink_stream *stream)
{
        return stream->output != NULL;
}
