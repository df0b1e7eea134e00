/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sends back what is received, in order, until the client has said all. It
 * knows nothing of where connections come from.
 *
 * epoll watches the source of connections (level-triggered) and all connections (edge-triggered:
 * one epoll_ctl for one that never stalls). serve() is safe to call at any time: an event that is
 * no longer true, or was meant for a connection that has ended, costs a system call and no more.
 *
 * While a client does not read, its connection is not read. What was read of a stream and could not
 * be sent waits in a buffer that lives no longer than that; a message waits in the kernel's queue.
 */

#include <assert.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "workers/echo.h"

#define BUFFER_SIZE 65536

/* Bounds of one turn, so that no connection starves another or the source. */
#define READS_MAX  8  /* buffers or messages of one connection */
#define EVENTS_MAX 64 /* of epoll */

struct echo_connection {
        int fd; /* -1: the place is free */
        bool seqpacket;
        bool watched;  /* added to epoll */
        bool stalled;  /* was once: then epoll also watches for room */
        bool answered; /* all that was read is sent back, and some was */
        uint64_t id;
        char *pending; /* read, and not yet sent */
        size_t pending_size, pending_sent;
        usec_t since; /* of the last progress */
        TAILQ_ENTRY(echo_connection) link;
};

static char buffer[BUFFER_SIZE];

static struct echo_connection *connection_new(struct echo *echo)
{
        struct echo_connection *c = TAILQ_FIRST(&echo->free);

        if (c)
                TAILQ_REMOVE(&echo->free, c, link);
        else {
                assert(echo->n_touched < echo->capacity);
                c = &echo->connections[echo->n_touched++];
        }

        TAILQ_INSERT_TAIL(&echo->idle, c, link);
        return c;
}

static int finish(struct echo *echo, struct echo_connection *c)
{
        int r = echo->on_end(echo->userdata, c->id, c->fd);

        free(c->pending);
        c->fd = -1;
        TAILQ_REMOVE(&echo->idle, c, link);
        TAILQ_INSERT_HEAD(&echo->free, c, link);
        return r;
}

static void note_progress(struct echo *echo, struct echo_connection *c)
{
        c->since = echo->now;
        TAILQ_REMOVE(&echo->idle, c, link);
        TAILQ_INSERT_TAIL(&echo->idle, c, link);
}

/* To be called before a send that may answer all: SIGKILL that comes meanwhile takes effect when it
 * has sent. */
static void set_answered(struct echo *echo, struct echo_connection *c, bool answered)
{
        if (c->answered == answered)
                return;

        c->answered = answered;
        if (echo->on_idle)
                echo->on_idle(echo->userdata, c->id, answered);
}

/* What became of an attempt on a connection. */
enum outcome {
        GO_ON,    /* there may be more to do at once */
        WAIT,     /* for an event */
        FINISHED, /* by end of file, or because it is broken */
};

static enum outcome on_socket_error(void)
{
        return errno == EAGAIN || errno == EINTR ? WAIT : FINISHED;
}

static enum outcome flush_pending(struct echo *echo, struct echo_connection *c)
{
        ssize_t n = send(c->fd, c->pending + c->pending_sent, c->pending_size - c->pending_sent,
                MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
                return on_socket_error();

        note_progress(echo, c);
        c->pending_sent += (size_t)n;
        if (c->pending_sent < c->pending_size)
                return WAIT;

        free(TAKE_PTR(c->pending));
        set_answered(echo, c, true);
        return GO_ON;
}

/* Keeps the rest of the buffer from `sent` on. */
static enum outcome keep_pending(struct echo_connection *c, size_t size, size_t sent)
{
        c->pending = malloc(size - sent);
        if (!c->pending)
                return FINISHED;

        memcpy(c->pending, buffer + sent, size - sent);
        c->pending_size = size - sent;
        c->pending_sent = 0;
        c->stalled = true;
        return WAIT;
}

static enum outcome echo_bytes(struct echo *echo, struct echo_connection *c)
{
        ssize_t size, sent;

        if (c->pending)
                return flush_pending(echo, c);

        size = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (size < 0)
                return on_socket_error();
        if (size == 0)
                return FINISHED;

        note_progress(echo, c);
        set_answered(echo, c, true);
        sent = send(c->fd, buffer, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && on_socket_error() == FINISHED)
                return FINISHED;

        if (sent == size)
                return GO_ON;

        set_answered(echo, c, false);
        return keep_pending(c, (size_t)size, (size_t)MAX(sent, 0));
}

/* An empty message reads like end of file. It is one if the client may still send, or if there is
 * more behind it; nothing tells empty messages at the very end from the end. */
static bool is_empty_message(int fd)
{
        struct pollfd pollfd = { .fd = fd, .events = POLLRDHUP };
        int behind = 0;

        if (poll(&pollfd, 1, 0) < 0)
                return false;
        if ((pollfd.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0)
                return true;

        return ioctl(fd, FIONREAD, &behind) == 0 && behind > 0;
}

/* Sends one message whole or not at all. */
static enum outcome send_message(struct echo_connection *c, const char *message, size_t size)
{
        ssize_t n = send(c->fd, message, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EMSGSIZE && size <= INT_MAX) {
                /* The client raised its send buffer to send this: what it may, this end may. */
                int room = (int)size;

                if (setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0)
                        return FINISHED;
                n = send(c->fd, message, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        if (n >= 0)
                return GO_ON;

        c->stalled = true;
        return on_socket_error();
}

static enum outcome echo_message(struct echo *echo, struct echo_connection *c)
{
        _cleanup_(freep) char *large = NULL;
        enum outcome outcome;
        ssize_t size;

        /* with MSG_TRUNC, the size is that of the message, also beyond the buffer */
        size = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC);
        if (size < 0)
                return on_socket_error();
        if (size == 0 && !is_empty_message(c->fd))
                return FINISHED;

        if ((size_t)size > sizeof(buffer)) {
                large = malloc((size_t)size);
                if (!large || recv(c->fd, large, (size_t)size, MSG_DONTWAIT | MSG_PEEK) != size)
                        return FINISHED;
        }

        set_answered(echo, c, true);
        outcome = send_message(c, large ?: buffer, (size_t)size);
        if (outcome != GO_ON) {
                set_answered(echo, c, false);
                return outcome;
        }

        note_progress(echo, c);
        /* takes the message out of the queue, with a buffer of any size: unix(7) */
        return recv(c->fd, buffer, 1, MSG_DONTWAIT) < 0 ? on_socket_error() : GO_ON;
}

/* Does what can be done for a connection now, within bounds. */
static enum outcome serve_some(struct echo *echo, struct echo_connection *c)
{
        enum outcome outcome = GO_ON;

        for (unsigned i = 0; i < READS_MAX && outcome == GO_ON; i++) {
                outcome = c->seqpacket ? echo_message(echo, c) : echo_bytes(echo, c);
                /* being added makes epoll look by itself: that saves a read in vain */
                if (outcome == GO_ON && !c->watched)
                        outcome = WAIT;
        }

        return outcome;
}

static int serve(struct echo *echo, struct echo_connection *c)
{
        bool was_stalled = c->stalled;
        enum outcome outcome = serve_some(echo, c);
        struct epoll_event event = {
                .events = EPOLLET | EPOLLIN | (c->stalled ? EPOLLOUT : 0U),
                .data.ptr = c,
        };
        int op = c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

        if (outcome == FINISHED)
                return finish(echo, c);

        /* A change makes epoll look again, so that who has used up its turn comes after the others.
         * When it fails, the client would never be heard again. */
        if (outcome == GO_ON || !c->watched || c->stalled != was_stalled) {
                if (epoll_ctl(echo->epoll, op, c->fd, &event) < 0)
                        return finish(echo, c);
                c->watched = true;
        }

        return 0;
}

int echo_init(struct echo *echo, usec_t idle_timeout, echo_end_t *on_end, echo_idle_t *on_idle,
        void *userdata)
{
        *echo = (struct echo){
                .idle_timeout = idle_timeout,
                .on_end = on_end,
                .on_idle = on_idle,
                .userdata = userdata,
                .epoll = epoll_create1(EPOLL_CLOEXEC),
                .free = TAILQ_HEAD_INITIALIZER(echo->free),
                .idle = TAILQ_HEAD_INITIALIZER(echo->idle),
        };

        return echo->epoll < 0 ? -errno : 0;
}

int echo_set_capacity(struct echo *echo, unsigned capacity)
{
        echo->capacity = capacity;
        echo->connections = calloc(capacity, sizeof(*echo->connections));
        return echo->connections ? 0 : -ENOMEM;
}

int echo_watch_source(struct echo *echo, int fd, uint32_t events)
{
        struct epoll_event event = { .events = events };

        return epoll_ctl(echo->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int echo_start(struct echo *echo, int fd_consume, uint64_t id, bool seqpacket)
{
        struct echo_connection *c = connection_new(echo);

        c->fd = fd_consume;
        c->id = id;
        c->seqpacket = seqpacket;
        c->watched = c->stalled = c->answered = false;
        c->pending = NULL;
        note_progress(echo, c);
        return serve(echo, c);
}

/* For epoll_wait: milliseconds, rounded up, or -1. */
static int get_timeout(const struct echo *echo)
{
        const struct echo_connection *first = TAILQ_FIRST(&echo->idle);
        usec_t now, deadline;

        if (echo->idle_timeout == USEC_INFINITY || !first)
                return -1;

        deadline = usec_add(first->since, echo->idle_timeout);
        now = MIN(usec_now(), deadline);
        return (int)MIN((deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC, (usec_t)INT_MAX);
}

static int end_idle(struct echo *echo)
{
        struct echo_connection *c;
        int r = 0;

        while (r >= 0 && (c = TAILQ_FIRST(&echo->idle)) &&
                usec_add(c->since, echo->idle_timeout) <= echo->now)
                r = finish(echo, c);

        return r;
}

int echo_turn(struct echo *echo, bool *ret_source)
{
        struct epoll_event events[EVENTS_MAX];
        int n, r = 0;

        *ret_source = false;
        n = epoll_wait(echo->epoll, events, EVENTS_MAX, get_timeout(echo));
        if (n < 0 && errno != EINTR)
                return -errno;
        if (echo->idle_timeout != USEC_INFINITY)
                echo->now = usec_now();

        for (int i = 0; i < n && r >= 0; i++) {
                struct echo_connection *c = events[i].data.ptr;

                if (!c)
                        *ret_source = true;
                else if (c->fd >= 0)
                        r = serve(echo, c);
        }

        if (r >= 0)
                r = end_idle(echo);
        return r;
}
