/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The worker's end of the channel: what acceptd.h promises. Knows what is held (held.c) and what is
 * still to be said, but nothing of what is served.
 *
 * What is to be said has its bounds by construction, so that nothing is allocated on the way of a
 * connection: one READY; a DONE or FAILED for each slot of the table; and one answer. While an
 * answer does not fit into the channel, nothing more is received, so there is never a second one.
 * That harms nobody: a dispatcher that does not read does not hand over either.
 */

#include <poll.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/time.h"
#include "libacceptd/acceptd.h"
#include "libacceptd/environment.h"
#include "libacceptd/explain.h"
#include "libacceptd/held.h"
#include "libacceptd/noted.h"
#include "libacceptd/signals.h"
#include "wire/wire.h"

/* The most records that one call of acceptd_worker_receive() takes in, so that questions do not
 * keep a worker from its connections. */
#define RECEIVE_MAX 64

/* What a program sees under one name is on the wire under another. */
static_assert((int)ACCEPTD_FAILURE_OTHER == RECORD_FAILURE_OTHER &&
                      (int)ACCEPTD_FAILURE_START == RECORD_FAILURE_START &&
                      (int)ACCEPTD_FAILURE_SIGNAL == RECORD_FAILURE_SIGNAL &&
                      (int)ACCEPTD_FAILURE_DESCRIPTOR == RECORD_FAILURE_DESCRIPTOR &&
                      (int)ACCEPTD_FAILURE_REFUSED == RECORD_FAILURE_REFUSED,
        "reasons of FAILED");
static_assert((int)ACCEPTD_DRAIN_STOP == RECORD_DRAIN_STOP &&
                      (int)ACCEPTD_DRAIN_RELOAD == RECORD_DRAIN_RELOAD &&
                      (int)ACCEPTD_DRAIN_RECYCLE == RECORD_DRAIN_RECYCLE &&
                      (int)ACCEPTD_DRAIN_RETIRE == RECORD_DRAIN_RETIRE,
        "reasons of DRAIN");

struct acceptd_worker {
        int channel;
        uint64_t features; /* offered, and taken by each READY */
        char *names;       /* of listeners, each with its own final 0 */
        unsigned n_names;
        struct held held;
        uint64_t n_fd_lost;
        const char *violation;

        uint32_t capacity; /* of the last READY; 0: it pauses */
        bool announces;    /* that READY is still to be sent */
        bool announced;    /* one was sent */
        uint32_t place;    /* how far the HELDs of the answer are sent */
        uint32_t question; /* value of the PONG still to be sent, if */
        bool asked;
        struct noted noted;
        uint32_t drain_reason;   /* of a DRAIN that came; 0: none did */
        uint64_t drain_deadline; /* 0: none */
        bool drained;            /* nothing will come */
        bool gone;               /* nobody reads */
        bool outlives_signals;   /* signals_outlive() was called */
};

int acceptd_worker_open(struct acceptd_worker **ret)
{
        struct acceptd_worker *worker;
        int fd, r;

        fd = environment_get_channel();
        if (fd < 0)
                return fd;

        worker = calloc(1, sizeof(*worker));
        if (!worker)
                return -ENOMEM;
        worker->channel = -1;

        r = environment_get_names(&worker->names, &worker->n_names);
        if (r >= 0)
                r = fd_set_cloexec(fd, true);
        if (r < 0) {
                acceptd_worker_free(worker);
                return r;
        }

        worker->channel = fd;
        worker->features = environment_get_features() & RECORD_FEATURES;
        (void)unsetenv("ACCEPTD_CHANNEL"); /* cannot fail for a valid name */
        *ret = worker;
        return 0;
}

void acceptd_worker_free(struct acceptd_worker *worker)
{
        if (!worker)
                return;

        if (worker->channel >= 0)
                (void)acceptd_worker_flush(worker); /* the last words, if they can be said */
        fd_close(worker->channel);
        noted_done(&worker->noted);
        held_done(&worker->held);
        free(worker->names);
        free(worker);
}

static bool is_pending(const struct acceptd_worker *worker)
{
        return worker->announces || worker->held.n_finished > 0 || worker->asked;
}

static void drop_pending(struct acceptd_worker *worker)
{
        worker->announces = false;
        worker->asked = false;
        held_drop_finished(&worker->held, worker->held.n_finished);
}

/* Sends one datagram of what is to be said, and forgets it once it is sent. Returns as
 * wire_send_batch(). */
static int send_some(struct acceptd_worker *worker)
{
        struct record batch[RECORD_BATCH_MAX];
        uint32_t place = worker->place;
        bool answered = false;
        size_t n = 0, n_finished;
        int r;

        if (worker->announces)
                batch[n++] = (struct record){
                        .version = RECORD_VERSION,
                        .type = RECORD_READY,
                        .value = worker->capacity,
                        .id = worker->features,
                };

        n_finished = held_get_finished(&worker->held, batch + n, RECORD_BATCH_MAX - n);
        n += n_finished;

        if (worker->asked) {
                n += held_list(&worker->held, &place, batch + n, RECORD_BATCH_MAX - n);
                if (place == HELD_LIST_END && n < RECORD_BATCH_MAX) {
                        batch[n++] = (struct record){
                                .version = RECORD_VERSION,
                                .type = RECORD_PONG,
                                .value = worker->question,
                        };
                        answered = true;
                }
        }

        r = wire_send_batch(worker->channel, batch, n);
        if (r != 0)
                return r;

        worker->announced |= worker->announces;
        worker->announces = false;
        held_drop_finished(&worker->held, n_finished);
        worker->place = place;
        if (answered)
                worker->asked = false;
        return 0;
}

int acceptd_worker_flush(struct acceptd_worker *worker)
{
        while (is_pending(worker)) {
                int r = worker->gone ? WIRE_GONE : send_some(worker);

                if (r < 0)
                        return r;
                if (r == WIRE_FULL)
                        break;
                if (r == WIRE_GONE) {
                        worker->gone = true;
                        drop_pending(worker);
                }
        }

        return 0;
}

static int announce(struct acceptd_worker *worker, uint32_t capacity)
{
        int r;

        worker->capacity = capacity;
        worker->announces = true;
        r = acceptd_worker_flush(worker);
        return r < 0 ? r : (int)capacity;
}

static int announce_pause(struct acceptd_worker *worker)
{
        if (!worker->announced)
                return -EINVAL;
        if (!(worker->features & RECORD_FEATURE_PAUSE))
                return -EOPNOTSUPP;

        return announce(worker, 0);
}

int acceptd_worker_ready(struct acceptd_worker *worker, unsigned capacity)
{
        int lowered, r;

        if (capacity == 0)
                return announce_pause(worker);

        lowered = environment_lower_capacity(MIN(capacity, HELD_SIZE_MAX), worker->held.n_held);
        if (lowered < 0)
                return lowered;
        r = held_grow(&worker->held, (uint32_t)lowered);
        if (r < 0)
                return r;

        return announce(worker, (uint32_t)lowered);
}

/* Microseconds from accept until now, 0 where that makes no sense. */
static uint32_t get_waited(uint32_t accepted)
{
        uint32_t waited = (uint32_t)usec_now() - accepted;

        /* the upper half are negative values: not this machine's clock */
        return waited > INT32_MAX ? 0 : MAX(waited, UINT32_C(1));
}

static int violation(struct acceptd_worker *worker, const char *why)
{
        worker->violation = why;
        return -EPROTO;
}

static int hold(struct acceptd_worker *worker, const struct record *record, uint32_t waited)
{
        switch (held_add(&worker->held, record->id, waited)) {
        case 0:
                return 0;
        case -EEXIST:
                return violation(worker, "connection id is held already");
        default:
                return violation(worker, "more connections than the announced capacity");
        }
}

static int answer(struct acceptd_worker *worker, const struct record *record)
{
        worker->asked = true;
        worker->question = record->value;
        worker->place = record->type == RECORD_LIST ? HELD_LIST_BEGIN : HELD_LIST_END;
        return acceptd_worker_flush(worker);
}

/* Another dispatcher brings another one. */
static int on_finished(struct acceptd_worker *worker, int fd)
{
        if (!(worker->features & RECORD_FEATURE_FINISHED))
                return violation(worker, "FINISHED without that feature");

        noted_map(&worker->noted, fd);
        return 0;
}

/* End of file comes next, and is the drain. */
static int on_drain(struct acceptd_worker *worker, const struct record *record)
{
        if (!(worker->features & RECORD_FEATURE_DRAIN))
                return violation(worker, "DRAIN without that feature");

        worker->drain_reason = record->value;
        worker->drain_deadline = record->id;
        return 0;
}

static int on_record(struct acceptd_worker *worker, const struct record *record, int fd_consume,
        struct acceptd_connection *ret)
{
        _cleanup_(fd_closep) int fd = fd_consume;
        uint32_t waited;
        int r;

        if (record->type == RECORD_DRAIN)
                return on_drain(worker, record);
        if (record->type == RECORD_FINISHED)
                return on_finished(worker, fd);
        if (record->type != RECORD_CONNECTION)
                return answer(worker, record);

        waited = get_waited(record->value);
        r = hold(worker, record, waited);
        if (r < 0)
                return r;

        *ret = (struct acceptd_connection){
                .id = record->id,
                .fd = TAKE_FD(fd),
                .listener = record->listener,
                .waited_us = waited,
        };
        return ACCEPTD_CONNECTION;
}

static int on_fd_lost(struct acceptd_worker *worker, const struct record *record)
{
        int r;

        if (record->type != RECORD_CONNECTION)
                return 0;

        r = hold(worker, record, get_waited(record->value));
        if (r < 0)
                return r;

        worker->n_fd_lost++;
        return acceptd_worker_failed(worker, record->id, ACCEPTD_FAILURE_DESCRIPTOR);
}

static int receive(struct acceptd_worker *worker, bool wait, struct acceptd_connection *ret)
{
        for (unsigned i = 0; i < RECEIVE_MAX && !worker->drained; i++) {
                struct record record;
                const char *why;
                int fd = -1, r;

                if (worker->asked) {
                        r = acceptd_worker_flush(worker);
                        if (r < 0)
                                return r;
                        if (worker->asked)
                                return ACCEPTD_NOTHING;
                }

                r = wire_receive(worker->channel, wait, &record, &fd, &why);
                switch (r) {
                case 0:
                        r = on_record(worker, &record, fd, ret);
                        break;
                case WIRE_FD_LOST:
                        r = on_fd_lost(worker, &record);
                        break;
                case WIRE_EMPTY:
                        return ACCEPTD_NOTHING;
                case WIRE_END:
                        worker->drained = true;
                        return ACCEPTD_DRAIN;
                case WIRE_MALFORMED:
                        return violation(worker, why);
                default:
                        assert(r < 0);
                }
                if (r != 0)
                        return r;
                /* acceptd_worker_wait() has to send before it blocks again */
                if (wait)
                        return ACCEPTD_NOTHING;
        }

        return worker->drained ? ACCEPTD_DRAIN : ACCEPTD_NOTHING;
}

int acceptd_worker_receive(struct acceptd_worker *worker, struct acceptd_connection *ret)
{
        return receive(worker, false, ret);
}

static int set_blocking(int fd)
{
        int off = 0;

        return ioctl(fd, FIONBIO, &off) < 0 ? -errno : 0;
}

int acceptd_worker_wait(struct acceptd_worker *worker, struct acceptd_connection *ret)
{
        if (!worker->outlives_signals)
                signals_outlive();
        worker->outlives_signals = true;

        for (;;) {
                struct acceptd_connection connection = { .fd = -1 };
                struct pollfd pollfd = { .fd = worker->channel };
                int r;

                r = acceptd_worker_flush(worker);
                if (r < 0)
                        return r;

                r = receive(worker, !is_pending(worker), &connection);
                if (r < 0 || (r == ACCEPTD_DRAIN && !is_pending(worker)))
                        return r;
                if (r == ACCEPTD_CONNECTION) {
                        r = set_blocking(connection.fd);
                        if (r < 0) {
                                fd_close(connection.fd);
                                return r;
                        }
                        *ret = connection;
                        return ACCEPTD_CONNECTION;
                }

                pollfd.events = (short)acceptd_worker_get_events(worker);
                if (poll(&pollfd, 1, -1) < 0 && errno != EINTR)
                        return -errno;
        }
}

/* A whole datagram goes at once. */
static int flush_full(struct acceptd_worker *worker)
{
        return worker->held.n_finished < RECORD_BATCH_MAX ? 0 : acceptd_worker_flush(worker);
}

int acceptd_worker_done(struct acceptd_worker *worker, uint64_t id)
{
        int r = held_finish(&worker->held, id);

        if (r < 0)
                return r;

        noted_add(&worker->noted, id);
        noted_set_idle(&worker->noted, worker->held.n_idle);
        return flush_full(worker);
}

int acceptd_worker_failed(struct acceptd_worker *worker, uint64_t id, unsigned reason)
{
        int r;

        if (!(worker->features & RECORD_FEATURE_FAILED))
                return acceptd_worker_done(worker, id);

        r = held_fail(&worker->held, id, reason);
        if (r < 0)
                return r;

        noted_set_idle(&worker->noted, worker->held.n_idle);
        return flush_full(worker);
}

int acceptd_worker_idle(struct acceptd_worker *worker, uint64_t id, int idle)
{
        int r = held_set_idle(&worker->held, id, idle != 0);

        if (r < 0)
                return r;

        noted_set_idle(&worker->noted, worker->held.n_idle);
        return 0;
}

int acceptd_worker_get_fd(const struct acceptd_worker *worker)
{
        return worker->channel;
}

uint32_t acceptd_worker_get_events(const struct acceptd_worker *worker)
{
        uint32_t events = 0;

        if (!worker->drained && !worker->asked)
                events |= POLLIN;
        if (is_pending(worker))
                events |= POLLOUT;

        return events;
}

int acceptd_worker_is_finished(const struct acceptd_worker *worker)
{
        return worker->drained && worker->held.n_held == 0 && !is_pending(worker);
}

unsigned acceptd_worker_get_drain(const struct acceptd_worker *worker, uint64_t *ret_deadline_us)
{
        *ret_deadline_us = worker->drain_deadline;
        return worker->drain_reason;
}

unsigned acceptd_worker_get_n_held(const struct acceptd_worker *worker)
{
        return worker->held.n_held;
}

uint64_t acceptd_worker_get_n_fd_lost(const struct acceptd_worker *worker)
{
        return worker->n_fd_lost;
}

unsigned acceptd_worker_get_n_listeners(const struct acceptd_worker *worker)
{
        return worker->n_names;
}

const char *acceptd_worker_get_listener_name(const struct acceptd_worker *worker, unsigned listener)
{
        const char *name = worker->names;

        if (listener >= worker->n_names)
                return NULL;

        for (; listener > 0; listener--)
                name += strlen(name) + 1;

        return name;
}

const char *acceptd_worker_explain(const struct acceptd_worker *worker, int error)
{
        return error == -EPROTO && worker && worker->violation ? worker->violation
                                                               : explain_error(error);
}
