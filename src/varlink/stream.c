/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Framing of Varlink messages, for both ends. Knows what a message looks like from outside, and
 * nothing of what is in it.
 */

#include <assert.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "varlink/stream.h"

/* Read at once. A call is a few hundred bytes, a long status a few hundred KiB. */
#define PIECE_SIZE ((size_t)16 * 1024)

void varlink_stream_init(struct varlink_stream *stream, int fd_consume, size_t input_max)
{
        *stream = (struct varlink_stream){ .fd = fd_consume, .input_max = input_max };
}

void varlink_stream_done(struct varlink_stream *stream)
{
        fd_close(varlink_stream_take_fd(stream));
}

int varlink_stream_take_fd(struct varlink_stream *stream)
{
        int fd = stream->fd;

        free(stream->input);
        free(stream->output);
        *stream = VARLINK_STREAM_NULL;

        return fd;
}

static int socket_error(void)
{
        switch (errno) {
        case EAGAIN:
        case EINTR:
                return VARLINK_WAIT;
        case EPIPE:
        case ECONNRESET:
                return VARLINK_END;
        default:
                return -errno;
        }
}

static int make_room(struct varlink_stream *stream, size_t n)
{
        size_t size = MAX(stream->n_input + n, 2 * stream->input_size);
        char *larger;

        if (stream->n_input + n <= stream->input_size)
                return 0;

        larger = realloc(stream->input, size);
        if (!larger)
                return -ENOMEM;

        stream->input = larger;
        stream->input_size = size;
        return 0;
}

/* Reads up to the end of the message. Returns 0 when it is whole, enum varlink_result or -errno. */
static int read_piece(struct varlink_stream *stream)
{
        char piece[PIECE_SIZE];
        const char *end;
        size_t wanted;
        ssize_t n;
        int r;

        /* Look first, and take what belongs to this message. */
        n = recv(stream->fd, piece, sizeof(piece), MSG_PEEK | MSG_DONTWAIT);
        if (n < 0)
                return socket_error();
        if (n == 0)
                return VARLINK_END;

        end = memchr(piece, '\0', (size_t)n);
        wanted = end ? (size_t)(end - piece) + 1 : (size_t)n;
        if (stream->n_input + wanted > stream->input_max + 1)
                return VARLINK_MALFORMED;
        r = make_room(stream, wanted);
        if (r < 0)
                return r;

        n = recv(stream->fd, stream->input + stream->n_input, wanted, MSG_DONTWAIT);
        if (n < 0)
                return socket_error();
        stream->n_input += (size_t)n;

        return stream->n_input > 0 && stream->input[stream->n_input - 1] == '\0' ? 0 : VARLINK_WAIT;
}

int varlink_stream_receive(struct varlink_stream *stream, json_t **ret_message)
{
        json_t *message;
        int r;

        r = read_piece(stream);
        if (r != 0)
                return r;

        /* No name twice, no zero character in a text, nothing behind the value, at most 2048
         * levels: jansson counts them. */
        message = json_loadb(stream->input, stream->n_input - 1, JSON_REJECT_DUPLICATES, NULL);
        free(TAKE_PTR(stream->input));
        stream->n_input = stream->input_size = 0;
        if (!json_is_object(message)) {
                json_decref(message);
                return VARLINK_MALFORMED;
        }

        *ret_message = message;
        return 0;
}

int varlink_stream_send(struct varlink_stream *stream, const json_t *message)
{
        assert(!stream->output);

        stream->output = json_dumps(message, JSON_COMPACT);
        if (!stream->output)
                return -ENOMEM;
        stream->n_output = strlen(stream->output) + 1;
        stream->n_sent = 0;

        return varlink_stream_flush(stream);
}

int varlink_stream_flush(struct varlink_stream *stream)
{
        ssize_t n;

        if (!stream->output)
                return 0;

        n = send(stream->fd, stream->output + stream->n_sent, stream->n_output - stream->n_sent,
                MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
                return socket_error();

        stream->n_sent += (size_t)n;
        if (stream->n_sent < stream->n_output)
                return VARLINK_WAIT;

        free(TAKE_PTR(stream->output));
        return 0;
}
