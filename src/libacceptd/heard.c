/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What comes over a worker's channel: connections, questions, the drain. Knows nothing of what is
 * served, and does not wait.
 */

#include <sys/ioctl.h>

#include "base/fd.h"
#include "libacceptd/heard.h"
#include "libacceptd/said.h"
#include "wire/wire.h"

/* The most records that one call takes in, so that questions do not keep a worker from its
 * connections. */
#define RECEIVE_MAX 64

static int violation(struct acceptd_worker *worker, const char *why)
{
        worker->violation = why;
        return -EPROTO;
}

/* Microseconds from accept until now, 0 where that makes no sense. */
static uint32_t get_waited(uint32_t accepted, usec_t now)
{
        uint32_t waited = (uint32_t)now - accepted;

        /* the upper half are negative values: not this machine's clock */
        return waited > INT32_MAX ? 0 : MAX(waited, UINT32_C(1));
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

static int on_connection(struct acceptd_worker *worker, const struct record *record, int fd_consume,
        struct acceptd_connection *ret)
{
        _cleanup_(fd_closep) int fd = fd_consume;
        usec_t now = usec_now();
        uint32_t waited = get_waited(record->value, now);
        int off = 0, r;

        r = hold(worker, record, waited);
        if (r < 0)
                return r;
        if (worker->blocking && ioctl(fd, FIONBIO, &off) < 0)
                return -errno;

        said_happened(worker, now);
        *ret = (struct acceptd_connection){
                .id = record->id,
                .accepted_us = waited > 0 ? now - waited : 0,
                .waited_us = waited,
                .listener = record->listener,
                .fd = TAKE_FD(fd),
        };
        return ACCEPTD_CONNECTION;
}

static int on_fd_lost(struct acceptd_worker *worker, const struct record *record)
{
        int r;

        if (record->type != RECORD_CONNECTION)
                return 0;

        r = hold(worker, record, 0);
        if (r < 0)
                return r;

        worker->n_fd_lost++;
        if (worker->features & RECORD_FEATURE_FAILED)
                (void)held_fail(&worker->held, record->id, RECORD_FAILURE_DESCRIPTOR);
        else
                (void)held_finish(&worker->held, record->id);
        return said_soon(worker);
}

static int on_question(struct acceptd_worker *worker, const struct record *record)
{
        worker->asked = true;
        worker->question = record->value;
        worker->place = record->type == RECORD_LIST ? HELD_LIST_BEGIN : HELD_LIST_END;
        return said_now(worker);
}

/* Another dispatcher brings another one. */
static int on_finished(struct acceptd_worker *worker, int fd_consume)
{
        _cleanup_(fd_closep) int fd = fd_consume;

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
        switch (record->type) {
        case RECORD_CONNECTION:
                return on_connection(worker, record, fd_consume, ret);
        case RECORD_FINISHED:
                return on_finished(worker, fd_consume);
        case RECORD_DRAIN:
                return on_drain(worker, record);
        default:
                return on_question(worker, record);
        }
}

static int on_end(struct acceptd_worker *worker)
{
        int r;

        worker->drained = true;
        r = said_now(worker);
        return r < 0 ? r : ACCEPTD_DRAIN;
}

static int on_nothing(struct acceptd_worker *worker)
{
        int r = said_at_leisure(worker);

        return r < 0 ? r : ACCEPTD_NOTHING;
}

int heard_receive(struct acceptd_worker *worker, struct acceptd_connection *ret)
{
        int r;

        for (unsigned i = 0; i < RECEIVE_MAX; i++) {
                struct record record;
                const char *why;
                int fd = -1;

                if (worker->drained) {
                        r = said_at_leisure(worker);
                        return r < 0 ? r : ACCEPTD_DRAIN;
                }
                if (worker->asked || !worker->receives)
                        return on_nothing(worker);

                r = wire_receive(worker->channel, false, &record, &fd, &why);
                switch (r) {
                case 0:
                        r = on_record(worker, &record, fd, ret);
                        break;
                case WIRE_FD_LOST:
                        r = on_fd_lost(worker, &record);
                        break;
                case WIRE_EMPTY:
                        return on_nothing(worker);
                case WIRE_END:
                        return on_end(worker);
                case WIRE_MALFORMED:
                        return violation(worker, why);
                default:
                        return r;
                }
                if (r != 0)
                        return r;
        }

        r = waker_look_again(&worker->waker);
        return r < 0 ? r : ACCEPTD_NOTHING;
}
