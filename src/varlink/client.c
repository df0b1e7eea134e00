/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Calling a Varlink service. It knows no interface.
 */

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "varlink/client.h"
#include "varlink/message.h"

static usec_t time_left(usec_t deadline)
{
        usec_t now = usec_now();

        return deadline > now ? deadline - now : 0;
}

int varlink_connect(const char *path, usec_t deadline, struct varlink_stream *ret_stream)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        usec_t left = MAX(time_left(deadline), USEC_PER_MSEC); /* 0 would be for ever */
        struct timeval timeout = {
                .tv_sec = (time_t)(left / USEC_PER_SEC),
                .tv_usec = (suseconds_t)(left % USEC_PER_SEC),
        };
        _cleanup_(fd_closep) int fd = -1;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        /* A blocking connect() waits for a place in the backlog; the other kind would fail, and
         * poll() knows nothing of it: unix(7), socket(7). */
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;

        varlink_stream_init(ret_stream, TAKE_FD(fd), VARLINK_REPLY_MAX);
        return 0;
}

/* Waits until the socket is ready. Returns 0 or -errno. */
static int wait_for(const struct varlink_stream *stream, short events, usec_t deadline)
{
        struct pollfd fd = { .fd = stream->fd, .events = events };
        usec_t left = time_left(deadline);
        int r;

        if (left == 0)
                return -ETIMEDOUT;

        r = poll(&fd, 1, (int)MIN(left / USEC_PER_MSEC + 1, (usec_t)INT32_MAX));
        return r < 0 && errno != EINTR ? -errno : 0;
}

static int to_errno(int r)
{
        switch (r) {
        case VARLINK_END:
                return -ECONNRESET;
        case VARLINK_MALFORMED:
                return -EBADMSG;
        default:
                return r;
        }
}

int varlink_send_call(struct varlink_stream *stream, const char *method, json_t *parameters_consume,
        bool more, usec_t deadline)
{
        json_auto_t *message = varlink_make_call(method, parameters_consume);
        int r;

        if (!message || (more && json_object_set_new(message, "more", json_true()) < 0))
                return -ENOMEM;

        r = varlink_stream_send(stream, message);
        while (r == VARLINK_WAIT) {
                r = wait_for(stream, POLLOUT, deadline);
                if (r >= 0)
                        r = varlink_stream_flush(stream);
        }

        return to_errno(r);
}

int varlink_receive_reply(struct varlink_stream *stream, usec_t deadline, json_t **ret_reply)
{
        int r;

        do {
                r = wait_for(stream, POLLIN, deadline);
                if (r >= 0)
                        r = varlink_stream_receive(stream, ret_reply);
        } while (r == VARLINK_WAIT);

        return to_errno(r);
}

int varlink_call(struct varlink_stream *stream, const char *method, json_t *parameters_consume,
        usec_t deadline, json_t **ret_reply)
{
        int r = varlink_send_call(stream, method, parameters_consume, false, deadline);

        return r < 0 ? r : varlink_receive_reply(stream, deadline, ret_reply);
}
