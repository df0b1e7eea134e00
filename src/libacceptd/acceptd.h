/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ACCEPTD_H
#define ACCEPTD_H

/*
 * libacceptd: what a program needs to be a worker of acceptd.
 *
 * acceptd(8) accepts connections and hands them to workers that are already running. A worker says
 * how many connections it can hold at once, receives them as descriptors, serves them, and says of
 * each when it is done. This library does that over the channel that acceptd gave the process. It
 * needs libc only, starts no thread, handles no signal and writes to no log.
 *
 * A worker that serves one connection at a time:
 *
 *         int main(void)
 *         {
 *                 struct acceptd_worker *worker = NULL;
 *                 struct acceptd_connection c;
 *                 int r = acceptd_worker_open(&worker);
 *
 *                 if (r >= 0)
 *                         r = acceptd_worker_ready(worker, 1);
 *                 while (r >= 0 && (r = acceptd_worker_wait(worker, &c)) == ACCEPTD_CONNECTION) {
 *                         serve(c.fd);
 *                         close(c.fd);
 *                         acceptd_worker_done(worker, c.id);
 *                 }
 *                 if (r < 0)
 *                         fprintf(stderr, "%s\n", acceptd_worker_explain(worker, r));
 *                 acceptd_worker_free(worker);
 *                 return acceptd_exit_status(r);
 *         }
 *
 * A worker with an event loop polls the channel beside its connections. A turn of its loop:
 *
 *         while (!acceptd_worker_is_finished(worker)) {
 *                 events = acceptd_worker_get_events(worker);
 *                 ... wait for them on acceptd_worker_get_fd(worker), and for the connections ...
 *                 if (the channel is readable)
 *                         while ((r = acceptd_worker_receive(worker, &c)) == ACCEPTD_CONNECTION)
 *                                 start(c.fd, c.id);
 *                 ... serve; at each end: close(fd), acceptd_worker_done(worker, id) ...
 *                 acceptd_worker_flush(worker);
 *         }
 *
 * Functions return 0 or more, or a negative errno value. An object is for one thread at a time.
 * Everything here is there since 0.1.
 */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct acceptd_worker;

/* A connection that was received. */
struct acceptd_connection {
        uint64_t id;        /* for acceptd_worker_done(); never 0 */
        int fd;             /* the caller's, to be closed before acceptd_worker_done() */
        unsigned listener;  /* where it came in: acceptd_worker_get_listener_name() */
        uint32_t waited_us; /* microseconds from accept to receipt; 0: unknown */
};

/* What acceptd_worker_receive() and acceptd_worker_wait() return when nothing failed. */
enum acceptd_result {
        ACCEPTD_NOTHING = 0,    /* no connection now */
        ACCEPTD_CONNECTION = 1, /* the connection is in *ret */
        ACCEPTD_DRAIN = 2,      /* no connection will ever come; finish those held and exit */
};

/* Why a connection was not served: acceptd_worker_failed(). */
enum acceptd_failure {
        ACCEPTD_FAILURE_OTHER = 0,
        ACCEPTD_FAILURE_START = 1,      /* what was to serve it could not be started */
        ACCEPTD_FAILURE_SIGNAL = 2,     /* what served it was ended by a signal */
        ACCEPTD_FAILURE_DESCRIPTOR = 3, /* it came without its descriptor: the library says so */
        ACCEPTD_FAILURE_REFUSED = 4,    /* this program would not serve it */
};

/* Why nothing will come any more: acceptd_worker_get_drain(). More may be added. */
enum acceptd_drain_reason {
        ACCEPTD_DRAIN_UNKNOWN = 0, /* acceptd did not say, or there is no drain yet */
        ACCEPTD_DRAIN_STOP = 1,    /* the instance stops */
        ACCEPTD_DRAIN_RELOAD = 2,  /* new settings or a new program */
        ACCEPTD_DRAIN_RECYCLE = 3, /* RecycleAfter=, RecycleSec=, RecycleMemory= */
        ACCEPTD_DRAIN_RETIRE = 4,  /* WorkerIdleTimeoutSec= */
};

/*
 * Takes the channel from $ACCEPTD_CHANNEL, which it removes from the environment, sets its
 * close-on-exec flag, takes the listeners' names from $ACCEPTD_LISTENERS, and from
 * $ACCEPTD_FEATURES what this acceptd can do beyond the first version. On success *ret is the
 * caller's, for acceptd_worker_free(), and owns the channel.
 *
 * Errors, after which nothing is changed:
 *   -ENXIO       $ACCEPTD_CHANNEL is not set: the process was not started by acceptd
 *   -EBADF       it is not the number of an open descriptor
 *   -EPROTOTYPE  the descriptor is not an AF_UNIX socket of type SOCK_SEQPACKET
 *   -ENOMEM
 */
int acceptd_worker_open(struct acceptd_worker **ret);

/* Sends what is queued, as far as there is room, and frees `worker` with its channel. The
 * connections stay open: they are the caller's. NULL is allowed. */
void acceptd_worker_free(struct acceptd_worker *worker);

/* For __attribute__((cleanup(acceptd_worker_freep))). */
static inline void acceptd_worker_freep(struct acceptd_worker **worker)
{
        acceptd_worker_free(*worker);
}

/*
 * Says READY: this process can hold `capacity` connections at once (1 or more). Open what the
 * process needs for itself before: the capacity is lowered to the descriptors that the soft
 * RLIMIT_NOFILE leaves beside those now open and a few to spare.
 *
 * May be called again to change the capacity for later connections; acceptd allows 10 a second.
 * Then 0 is a pause: nothing new comes until the next call, but what is in the channel already.
 *
 * Returns the capacity that was announced, which is 1 or more, or 0 for a pause.
 * Errors:
 *   -EINVAL      `capacity` is 0, and no READY with another was sent yet
 *   -EOPNOTSUPP  `capacity` is 0, and this acceptd offers no pause
 *   -EMFILE      the limit does not leave one descriptor
 *   -ENOMEM
 */
int acceptd_worker_ready(struct acceptd_worker *worker, unsigned capacity);

/*
 * Receives the next connection, if there is one now; its descriptor is non-blocking and has
 * close-on-exec set. Questions of the dispatcher are answered on the way. Never blocks. To be
 * called when the channel is readable; whether until ACCEPTD_NOTHING or once for each time is the
 * caller's choice, as long as its event loop is level-triggered.
 *
 * A connection whose descriptor could not be received because the process is at its RLIMIT_NOFILE
 * is lost to its client. The library reports it as acceptd_worker_failed() does:
 * acceptd_worker_get_n_fd_lost().
 *
 * Returns a value of enum acceptd_result; ACCEPTD_DRAIN again at every later call.
 * Errors, after which the process should exit with acceptd_exit_status():
 *   -EPROTO  the other end broke the protocol; acceptd_worker_explain() says how
 *   others   of recv(2) and send(2), where the channel itself is broken
 */
int acceptd_worker_receive(struct acceptd_worker *worker, struct acceptd_connection *ret);

/*
 * As acceptd_worker_receive(), for a worker without an event loop: sends what is queued, then
 * blocks until there is a connection or the drain. The descriptor is a blocking one. Never returns
 * ACCEPTD_NOTHING; returns ACCEPTD_DRAIN only when nothing is queued any more. Goes on after a
 * signal handler.
 */
int acceptd_worker_wait(struct acceptd_worker *worker, struct acceptd_connection *ret);

/*
 * Says of a held connection that it is finished. The record is queued, and sent with others by
 * acceptd_worker_flush(), by acceptd_worker_wait(), or when 64 have come together. Cannot fail for
 * want of memory or room.
 *
 * Errors:
 *   -ENOENT  no connection with this id is held
 *   others   as for acceptd_worker_flush()
 */
int acceptd_worker_done(struct acceptd_worker *worker, uint64_t id);

/*
 * As acceptd_worker_done(), but the connection was not served: acceptd counts it as failed. The
 * `reason` is one of enum acceptd_failure. Where this acceptd has no such counter, it is reported
 * done.
 */
int acceptd_worker_failed(struct acceptd_worker *worker, uint64_t id, unsigned reason);

/*
 * Says of a held connection whether it is idle: all that was read of it is answered, and the client
 * has the word. Costs no system call and sends nothing; a new connection is not idle. Where this
 * process dies, acceptd tells the idle ones among the lost: clients that had what they came for do
 * not miss them.
 *
 * Errors:
 *   -ENOENT  no connection with this id is held
 */
int acceptd_worker_idle(struct acceptd_worker *worker, uint64_t id, int idle);

/*
 * Sends what is queued, as far as there is room, without blocking. To be called once in each turn
 * of an event loop, before it waits. What does not fit stays queued, and
 * acceptd_worker_get_events() then asks for room.
 *
 * Returns 0, or an error of send(2) where the channel itself is broken. That nobody reads any more
 * is no error: the queue is emptied, and receiving ends in ACCEPTD_DRAIN.
 */
int acceptd_worker_flush(struct acceptd_worker *worker);

/* The channel's descriptor, to be polled; it stays the library's. */
int acceptd_worker_get_fd(const struct acceptd_worker *worker);

/*
 * What to poll the channel for now: a combination of EPOLLIN (call acceptd_worker_receive()) and
 * EPOLLOUT (call acceptd_worker_flush()), which are also POLLIN and POLLOUT. To be asked again in
 * each turn. 0: take the channel out of the loop altogether (EPOLL_CTL_DEL; with poll(2), -1 as
 * descriptor), because a hang-up cannot be masked: this is so after the drain.
 */
uint32_t acceptd_worker_get_events(const struct acceptd_worker *worker);

/* 1 after the drain, when no connection is held and nothing is queued: time to exit with status 0.
 * 0 before. */
int acceptd_worker_is_finished(const struct acceptd_worker *worker);

/*
 * Why the drain came, as one of enum acceptd_drain_reason or a number that was added later. From
 * *ret_deadline_us on (microseconds of CLOCK_MONOTONIC; 0: for ever) the process may be sent
 * SIGTERM. Where acceptd did not say, because it is gone, the channel was full or it does not offer
 * that, both are 0.
 */
unsigned acceptd_worker_get_drain(const struct acceptd_worker *worker, uint64_t *ret_deadline_us);

/* How many connections are held: received, and not yet said to be done or failed. */
unsigned acceptd_worker_get_n_held(const struct acceptd_worker *worker);

/* How many connections came without their descriptor, because of RLIMIT_NOFILE. */
uint64_t acceptd_worker_get_n_fd_lost(const struct acceptd_worker *worker);

/* How many listeners have a name in $ACCEPTD_LISTENERS. */
unsigned acceptd_worker_get_n_listeners(const struct acceptd_worker *worker);

/* The FileDescriptorName= of a listener, valid as long as `worker`. NULL for one that was added
 * after this process was started. */
const char *acceptd_worker_get_listener_name(
        const struct acceptd_worker *worker, unsigned listener);

/* A sentence for a negative result of these functions, for people; valid as long as `worker`, which
 * may be NULL. */
const char *acceptd_worker_explain(const struct acceptd_worker *worker, int error);

/* The status to exit with after this result: 0 if it is not negative, 76 (EX_PROTOCOL) for -EPROTO,
 * 64 (EX_USAGE) if the process was not started by acceptd, else 71 (EX_OSERR). */
int acceptd_exit_status(int result);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
