/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The echo worker, RFC 862: sends back what it receives, in order, until the client has said all.
 *
 * epoll watches the channel (level-triggered) and all connections (edge-triggered: one epoll_ctl
 * for one that never stalls). serve() is safe to call at any time: an event that is no longer true,
 * or was meant for a connection that has ended, costs a system call and no more.
 *
 * While a client does not read, its connection is not read. What was read of a stream and could not
 * be sent waits in a buffer that lives no longer than that; a message waits in the kernel's queue.
 */

#include <assert.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "base/fd.h"
#include "base/time.h"
#include "libacceptd/acceptd.h"

#define CAPACITY_MAX 1000000
#define BUFFER_SIZE  65536

/* Bounds of one turn, so that no connection starves another or the channel. */
#define READS_MAX   8  /* buffers or messages of one connection */
#define EVENTS_MAX  64 /* of epoll */
#define RECEIVE_MAX 32 /* new connections */

struct connection {
        int fd; /* -1: the place is free */
        bool seqpacket;
        bool watched; /* added to epoll */
        bool stalled; /* was once: then epoll also watches for room */
        uint64_t id;
        char *pending; /* read, and not yet sent */
        size_t pending_size, pending_sent;
        usec_t since; /* of the last progress */
        TAILQ_ENTRY(connection) link;
};

struct echo {
        struct acceptd_worker *worker;
        unsigned capacity;
        usec_t idle_timeout;
        int epoll;
        uint32_t channel_events; /* epoll watches the channel for them; 0: not at all */
        unsigned burst;          /* new connections to take in this turn */
        struct connection *connections;
        unsigned n_touched; /* those beyond were never used: their pages cost nothing */
        TAILQ_HEAD(, connection) free, idle; /* idle: longest without progress first */
        int *socket_types;                   /* by listener; 0: not yet known */
        usec_t now;                          /* of this turn, if there is an idle timeout */
};

static char buffer[BUFFER_SIZE];

#define ALLOWED "--capacity=N, --idle-timeout=TIME, --help, --version"

static const char help[] =
        "acceptd-echo [OPTIONS...]\n\n"
        "Sends back what it receives: RFC 862. A worker, to be run from acceptd(8).\n\n"
        "  --capacity=N         connections to hold at once: 1 to 1000000 (default 1024)\n"
        "  --idle-timeout=TIME  end a connection after this long without progress: 5s, 2min,\n"
        "                       500ms (default infinity)\n"
        "  --help, --version    print this, or the version, and exit";

static struct connection *connection_new(struct echo *echo)
{
        struct connection *c = TAILQ_FIRST(&echo->free);

        if (c)
                TAILQ_REMOVE(&echo->free, c, link);
        else {
                /* libacceptd lets no connection through beyond the capacity */
                assert(echo->n_touched < echo->capacity);
                c = &echo->connections[echo->n_touched++];
        }

        TAILQ_INSERT_TAIL(&echo->idle, c, link);
        return c;
}

static int finish(struct echo *echo, struct connection *c)
{
        fd_close(c->fd);
        free(c->pending);
        c->fd = -1;
        TAILQ_REMOVE(&echo->idle, c, link);
        TAILQ_INSERT_HEAD(&echo->free, c, link);
        return acceptd_worker_done(echo->worker, c->id);
}

static void note_progress(struct echo *echo, struct connection *c)
{
        c->since = echo->now;
        TAILQ_REMOVE(&echo->idle, c, link);
        TAILQ_INSERT_TAIL(&echo->idle, c, link);
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

static enum outcome flush_pending(struct echo *echo, struct connection *c)
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
        return GO_ON;
}

/* Keeps the rest of the buffer from `sent` on. */
static enum outcome keep_pending(struct connection *c, size_t size, size_t sent)
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

static enum outcome echo_bytes(struct echo *echo, struct connection *c)
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
        sent = send(c->fd, buffer, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && on_socket_error() == FINISHED)
                return FINISHED;

        return sent < size ? keep_pending(c, (size_t)size, (size_t)MAX(sent, 0)) : GO_ON;
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
static enum outcome send_message(struct connection *c, const char *message, size_t size)
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

static enum outcome echo_message(struct echo *echo, struct connection *c)
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

        outcome = send_message(c, large ?: buffer, (size_t)size);
        if (outcome != GO_ON)
                return outcome;

        note_progress(echo, c);
        /* takes the message out of the queue, with a buffer of any size: unix(7) */
        return recv(c->fd, buffer, 1, MSG_DONTWAIT) < 0 ? on_socket_error() : GO_ON;
}

/* Does what can be done for a connection now, within bounds. */
static enum outcome serve_some(struct echo *echo, struct connection *c)
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

static int serve(struct echo *echo, struct connection *c)
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

static bool is_seqpacket(struct echo *echo, const struct acceptd_connection *new)
{
        unsigned n = acceptd_worker_get_n_listeners(echo->worker);
        /* the last place is for listeners younger than this process: it does not know how many */
        int *type = &echo->socket_types[MIN(new->listener, n)];
        socklen_t length = sizeof(*type);

        if (*type == 0 || new->listener >= n)
                if (getsockopt(new->fd, SOL_SOCKET, SO_TYPE, type, &length) < 0)
                        *type = 0;

        return *type == SOCK_SEQPACKET;
}

static int start(struct echo *echo, const struct acceptd_connection *new)
{
        struct connection *c = connection_new(echo);

        c->fd = new->fd;
        c->id = new->id;
        c->seqpacket = is_seqpacket(echo, new);
        c->watched = c->stalled = false;
        c->pending = NULL;
        note_progress(echo, c);
        return serve(echo, c);
}

/* A burst that doubles while they keep coming in one turn after the other: a lonely connection
 * costs no second look at the channel, and in a crowd a turn takes in many. */
static int on_channel(struct echo *echo)
{
        for (unsigned i = 0; i < echo->burst; i++) {
                struct acceptd_connection new;
                int r = acceptd_worker_receive(echo->worker, &new);

                if (r != ACCEPTD_CONNECTION)
                        return MIN(r, 0); /* neither nothing nor the drain is an error */

                r = start(echo, &new);
                if (r < 0)
                        return r;
        }

        echo->burst = MIN(echo->burst * 2, (unsigned)RECEIVE_MAX);
        return 0;
}

static int watch_channel(struct echo *echo)
{
        uint32_t events = acceptd_worker_get_events(echo->worker);
        struct epoll_event event = { .events = events };
        int op = echo->channel_events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

        if (events == echo->channel_events)
                return 0;
        if (epoll_ctl(echo->epoll, events == 0 ? EPOLL_CTL_DEL : op,
                    acceptd_worker_get_fd(echo->worker), &event) < 0)
                return -errno;

        echo->channel_events = events;
        return 0;
}

/* For epoll_wait: milliseconds, rounded up, or -1. */
static int get_timeout(const struct echo *echo)
{
        const struct connection *first = TAILQ_FIRST(&echo->idle);
        usec_t now, deadline;

        if (echo->idle_timeout == USEC_INFINITY || !first)
                return -1;

        deadline = usec_add(first->since, echo->idle_timeout);
        now = MIN(usec_now(), deadline);
        return (int)MIN((deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC, (usec_t)INT_MAX);
}

static int end_idle(struct echo *echo)
{
        struct connection *c;
        int r = 0;

        while (r >= 0 && (c = TAILQ_FIRST(&echo->idle)) &&
                usec_add(c->since, echo->idle_timeout) <= echo->now)
                r = finish(echo, c);

        return r;
}

static int turn(struct echo *echo)
{
        struct epoll_event events[EVENTS_MAX];
        bool heard = false;
        int n, r = 0;

        n = epoll_wait(echo->epoll, events, EVENTS_MAX, get_timeout(echo));
        if (n < 0 && errno != EINTR)
                return -errno;
        if (echo->idle_timeout != USEC_INFINITY)
                echo->now = usec_now();

        for (int i = 0; i < n && r >= 0; i++) {
                struct connection *c = events[i].data.ptr;

                if (!c) {
                        heard = true;
                        r = on_channel(echo);
                } else if (c->fd >= 0)
                        r = serve(echo, c);
        }
        if (!heard)
                echo->burst = 1;
        if (r >= 0)
                r = end_idle(echo);
        if (r >= 0)
                r = acceptd_worker_flush(echo->worker);

        return r < 0 ? r : watch_channel(echo);
}

static int echo_run(struct echo *echo)
{
        int r;

        r = acceptd_worker_open(&echo->worker);
        if (r < 0)
                return r;

        /* before READY, which counts descriptors */
        echo->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (echo->epoll < 0)
                return -errno;

        r = acceptd_worker_ready(echo->worker, echo->capacity);
        if (r < 0)
                return r;

        echo->capacity = (unsigned)r;
        echo->connections = calloc(echo->capacity, sizeof(*echo->connections));
        echo->socket_types = calloc(acceptd_worker_get_n_listeners(echo->worker) + 1U, sizeof(int));
        if (!echo->connections || !echo->socket_types)
                return -ENOMEM;

        r = watch_channel(echo);
        while (r >= 0 && !acceptd_worker_is_finished(echo->worker))
                r = turn(echo);

        return r;
}

static bool parse_capacity(const char *text, unsigned *ret)
{
        char *end;
        unsigned long n;

        errno = 0;
        n = strtoul(text, &end, 10);
        if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || n < 1 || n > CAPACITY_MAX)
                return false;

        *ret = (unsigned)n;
        return true;
}

static int complain(const char *what, const char *value, const char *allowed)
{
        fprintf(stderr, "acceptd-echo: %s%s: allowed: %s\n", what, value, allowed);
        return -EINVAL;
}

/* Returns 1 to go on, 0 where all is done, or -EINVAL after saying what is wrong. */
static int parse_options(struct echo *echo, int argc, char **argv)
{
        static const struct option options[] = {
                { "capacity", required_argument, NULL, 'c' },
                { "idle-timeout", required_argument, NULL, 'i' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c;

        opterr = 0;
        while ((c = getopt_long(argc, argv, ":", options, NULL)) >= 0)
                switch (c) {
                case 'c':
                        if (!parse_capacity(optarg, &echo->capacity))
                                return complain(
                                        "--capacity=", optarg, "a number from 1 to 1000000");
                        break;
                case 'i':
                        if (usec_parse(optarg, &echo->idle_timeout) < 0 || echo->idle_timeout == 0)
                                return complain("--idle-timeout=", optarg,
                                        "a time above 0, as 5s, 2min, 500ms; infinity");
                        break;
                case 'h':
                        return puts(help) < 0 ? -EIO : 0;
                case 'v':
                        return puts("acceptd-echo " ACCEPTD_VERSION) < 0 ? -EIO : 0;
                default:
                        return complain("", argv[optind - 1], ALLOWED);
                }

        return optind == argc ? 1 : complain("", argv[optind], ALLOWED);
}

int main(int argc, char **argv)
{
        /* static: what it points to needs no end of its own, and no leak checker misses it */
        static struct echo echo = {
                .capacity = 1024,
                .idle_timeout = USEC_INFINITY,
                .epoll = -1,
                .burst = 1,
                .free = TAILQ_HEAD_INITIALIZER(echo.free),
                .idle = TAILQ_HEAD_INITIALIZER(echo.idle),
        };
        int r = parse_options(&echo, argc, argv);

        if (r <= 0)
                return r < 0 ? EX_USAGE : EX_OK;

        r = echo_run(&echo);
        if (r < 0)
                fprintf(stderr, "acceptd-echo: %s\n", acceptd_worker_explain(echo.worker, r));
        return acceptd_exit_status(r);
}
