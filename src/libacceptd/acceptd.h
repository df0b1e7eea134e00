/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ACCEPTD_H
#define ACCEPTD_H

/*
 * libacceptd: what a program needs to be a worker of acceptd.
 *
 * acceptd(8) accepts connections and hands them to workers that are already running. A worker says
 * how many connections it can hold at once, receives them as descriptors, serves them, and says of
 * each when it is done. This library does that over the channel that acceptd gave the process. It
 * needs libc only, starts no thread, and writes to no log.
 *
 * A worker that serves one connection at a time:
 *
 *         int main(void)
 *         {
 *                 struct acceptd_worker *w = NULL;
 *                 struct acceptd_connection c;
 *                 int r = acceptd_worker_open(&w, ACCEPTD_BLOCKING);
 *
 *                 if (r >= 0)
 *                         r = acceptd_worker_ready(w, 1);
 *                 while (r >= 0 && (r = acceptd_worker_wait(w, &c, sizeof(c), ACCEPTD_FOREVER)) ==
 * 1) { serve(c.fd); r = acceptd_worker_finish(w, &c);
 *                 }
 *                 return acceptd_worker_exit(w, r);
 *         }
 *
 * A worker with an event loop polls acceptd_worker_get_fd(w) for reading, level- or edge-triggered,
 * as long as it lives, and does this when that is readable:
 *
 *         while ((r = acceptd_worker_receive(w, &c, sizeof(c))) == ACCEPTD_CONNECTION)
 *                 start(c.fd, c.id);
 *         if (r < 0 || acceptd_worker_is_finished(w))
 *                 ... leave the loop, and return acceptd_worker_exit(w, r) ...
 *
 * and at the end of each connection close(fd) and acceptd_worker_done(w, id), from any thread.
 *
 * Functions return 0 or more, or a negative errno value. All of them may be called from any thread
 * at any time, but for acceptd_worker_open(), acceptd_worker_free() and acceptd_worker_exit(),
 * which stand alone. In a process that was forked from the worker each does nothing and returns
 * -ECHILD (0 where it returns a count, NULL for a name), but that acceptd_worker_free() frees the
 * memory.
 *
 * Everything here is there since 1.0.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct acceptd_worker;

/* A connection that was received. It grows at its end: who receives says how much of it he knows,
 * with sizeof, and what the library does not know of is 0. */
struct acceptd_connection {
        uint64_t id;          /* for acceptd_worker_done(); never 0 */
        uint64_t accepted_us; /* when, in microseconds of CLOCK_MONOTONIC; 0: unknown */
        uint64_t waited_us;   /* from then until it was received here; 0: unknown */
        uint32_t listener;    /* where it came in: acceptd_worker_get_listener_name() */
        int fd;               /* the caller's, to be closed before acceptd_worker_done() */
};

/* For acceptd_worker_open(). */
#define ACCEPTD_BLOCKING UINT64_C(1) /* descriptors are blocking ones */

/* For acceptd_worker_wait(). */
#define ACCEPTD_FOREVER UINT64_MAX

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

/* The version of the library that runs: "1.2.3". */
const char *acceptd_version(void);

/*
 * Takes the channel from $ACCEPTD_CHANNEL, sets its close-on-exec flag, and takes what else acceptd
 * says from the environment, which stays as it is. On success *ret is the caller's, for
 * acceptd_worker_free(), and owns the channel and two descriptors more.
 *
 * Errors, after which nothing is changed:
 *   -ENXIO       $ACCEPTD_CHANNEL is not set: the process was not started by acceptd
 *   -EBUSY       this process has opened it already
 *   -EBADF       it is not the number of an open descriptor
 *   -EPROTOTYPE  the descriptor is not an AF_UNIX socket of type SOCK_SEQPACKET
 *   -EINVAL      there is no such flag
 *   -ENOMEM, or others of epoll_create1(2), timerfd_create(2) and mmap(2)
 */
int acceptd_worker_open(struct acceptd_worker **ret, uint64_t flags);

/*
 * The same with a channel that comes another way. `listeners` are the names, separated by colons,
 * or NULL; `features` what the other end offers, as $ACCEPTD_FEATURES. After an error `fd` is still
 * the caller's.
 */
int acceptd_worker_open_fd(struct acceptd_worker **ret, int fd, const char *listeners,
        uint64_t features, uint64_t flags);

/* Sends what is queued, as far as there is room, and frees `worker` with its channel. The
 * connections stay open: they are the caller's. NULL is allowed. */
void acceptd_worker_free(struct acceptd_worker *worker);

/* For __attribute__((cleanup(acceptd_worker_freep))). */
static inline void acceptd_worker_freep(struct acceptd_worker **worker)
{
        acceptd_worker_free(*worker);
}

/* Says on stderr what a negative `result` means, frees `worker`, which may be NULL, and returns the
 * status to exit with. */
int acceptd_worker_exit(struct acceptd_worker *worker, int result);

/*
 * Says READY: this process can hold `capacity` connections at once (1 or more). Open what the
 * process needs for itself before: the capacity is lowered to the descriptors that the soft
 * RLIMIT_NOFILE leaves beside those now open and a few to spare.
 *
 * May be called again, as often as the program likes, to change the capacity for later connections;
 * what acceptd would take for a flood is told it a little later, and only the last of it. Then 0 is
 * a pause: nothing new comes until the next call, but what is in the channel already.
 *
 * Returns the capacity that was announced, which is 1 or more, or 0 for a pause.
 * Errors:
 *   -EINVAL      `capacity` is 0, and no READY with another was said yet
 *   -EOPNOTSUPP  `capacity` is 0, and this acceptd offers no pause
 *   -EMFILE      the limit does not leave one descriptor
 *   -ENOMEM
 */
int acceptd_worker_ready(struct acceptd_worker *worker, unsigned capacity);

/*
 * Receives the next connection, if there is one now; its descriptor has close-on-exec set. `size`
 * is sizeof(*ret). What the dispatcher asks is answered on the way, and what is queued for it is
 * sent when its time has come. Never blocks. To be called when acceptd_worker_get_fd() is readable,
 * until ACCEPTD_NOTHING or ACCEPTD_DRAIN; in a level-triggered loop, once is enough.
 *
 * A connection whose descriptor could not be received because the process is at its RLIMIT_NOFILE
 * is lost to its client. The library reports it as acceptd_worker_failed() does:
 * acceptd_worker_get_n_fd_lost().
 *
 * Returns a value of enum acceptd_result; ACCEPTD_DRAIN again at every later call.
 * Errors, after which the process should exit with acceptd_exit_status():
 *   -EPROTO  the other end broke the protocol; acceptd_worker_explain() says how
 *   -EINVAL  `size` is less than that of any version
 *   others   of recv(2) and send(2), where the channel itself is broken
 */
int acceptd_worker_receive(
        struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size);

/*
 * The same for a worker without an event loop: sends what is queued, then blocks until there is a
 * connection or the drain, or `timeout_us` microseconds have passed: ACCEPTD_NOTHING. Returns
 * ACCEPTD_DRAIN only when nothing is queued any more. Several threads may wait at once.
 *
 * So that a SIGHUP or SIGUSR1 that was meant for the dispatcher does not end the process, it sets a
 * handler that does nothing for each of these two that has none.
 *
 * Errors, beside those of acceptd_worker_receive():
 *   -EINTR  another signal handler has run, also one with SA_RESTART
 */
int acceptd_worker_wait(struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size,
        uint64_t timeout_us);

/* With 0, acceptd_worker_receive() takes nothing from the channel, questions neither, and only
 * sends; acceptd takes back what stays there too long. With 1 it is as before. Returns 0, or an
 * error of epoll_ctl(2). */
int acceptd_worker_set_receiving(struct acceptd_worker *worker, int receiving);

/*
 * Says of a held connection that it is finished; close its descriptor before. The record is sent at
 * once, or, while connections come and go in crowds, together with others a few milliseconds later,
 * for which acceptd_worker_get_fd() becomes readable if nothing else happens. Cannot fail for want
 * of memory or room.
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

/* Closes the connection's descriptor, if that is not -1, and says that it is done. */
int acceptd_worker_finish(struct acceptd_worker *worker, const struct acceptd_connection *c);

/*
 * Sends what is queued now, as far as there is room, without blocking. Nobody has to call it. What
 * does not fit is sent when there is room.
 *
 * Returns 0, or 1 where something is still queued, or an error of send(2) where the channel itself
 * is broken. That nobody reads any more is no error: the queue is emptied, and receiving ends in
 * ACCEPTD_DRAIN.
 */
int acceptd_worker_flush(struct acceptd_worker *worker);

/* A descriptor to be polled for reading, the same as long as `worker` lives: it is readable when
 * acceptd_worker_receive() has something to do, and for good when acceptd_worker_is_finished(). It
 * stays the library's. */
int acceptd_worker_get_fd(const struct acceptd_worker *worker);

/* 1 after the drain, when no connection is held and nothing is queued: time to exit with status 0.
 * 0 before. */
int acceptd_worker_is_finished(const struct acceptd_worker *worker);

/*
 * Why the drain came, as one of enum acceptd_drain_reason or a number that was added later. From
 * *ret_deadline_us on (microseconds of CLOCK_MONOTONIC; 0: for ever) the process may be sent
 * SIGTERM. Where acceptd did not say, because it is gone, the channel was full or it does not offer
 * that, both are 0.
 */
unsigned acceptd_worker_get_drain(struct acceptd_worker *worker, uint64_t *ret_deadline_us);

/* How many connections are held: received, and not yet said to be done or failed. */
unsigned acceptd_worker_get_n_held(struct acceptd_worker *worker);

/* How many connections came without their descriptor, because of RLIMIT_NOFILE. */
uint64_t acceptd_worker_get_n_fd_lost(struct acceptd_worker *worker);

/* The number of this worker and the name of its instance, as acceptctl(1) shows them; 0 and NULL
 * where nobody said. */
uint64_t acceptd_worker_get_number(const struct acceptd_worker *worker);
const char *acceptd_worker_get_instance(const struct acceptd_worker *worker);

/* How many listeners have a name in $ACCEPTD_LISTENERS. */
unsigned acceptd_worker_get_n_listeners(const struct acceptd_worker *worker);

/* The FileDescriptorName= of a listener, valid as long as `worker`. NULL for one that was added
 * after this process was started. */
const char *acceptd_worker_get_listener_name(
        const struct acceptd_worker *worker, unsigned listener);

/*
 * Writes who is at the other end, for people: `192.0.2.7:49152`, `[2001:db8::7]:49152`,
 * `vsock:3:1024`, `unix:pid=4711,uid=1000`. Room for 64 bytes is always enough. Returns the length,
 * -ENOSPC, or an error of getpeername(2): -ENOTCONN where the client has reset the connection.
 */
int acceptd_connection_get_peer(const struct acceptd_connection *c, char *ret, size_t size);

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
