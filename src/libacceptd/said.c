/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a worker says over its channel, and when. It receives nothing.
 *
 * What is to be said has its bounds by construction, so that nothing is allocated on the way of a
 * connection: one READY; a DONE or FAILED for each slot of the table; and one answer. While an
 * answer does not fit into the channel, nothing more is received, so there is never a second one.
 * That harms nobody: a dispatcher that does not read does not hand over either.
 *
 * Each datagram wakes the dispatcher. So while connections come and go in crowds, an end is told
 * together with those that come next: when as many are there as would make the dispatcher take this
 * worker for busier than it is, or when the timer says that nothing has come any more. Not while
 * credits are short, and not when nothing new will come.
 *
 * READYs have their bound in time. The dispatcher counts those that it reads in a second, which may
 * be all that were sent while it was busy: so there are few in a second, and few unread.
 */

#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "libacceptd/said.h"
#include "wire/wire.h"

/* What happens within this time of what was before is part of a crowd; so many make one. */
#define CROWD_USEC USEC_PER_MSEC
#define CROWD_MIN  8

/* How long the dispatcher may be left without news then: so many ends at the next receipt, or this
 * time. Each end of it costs a system call. */
#define UNTOLD_MAX  8
#define UNTOLD_USEC (4 * USEC_PER_MSEC)

/* The dispatcher takes 10 READYs in a second; at worst it reads twice READYS_MAX and UNREAD_MAX. */
#define READYS_MAX  3
#define UNREAD_MAX  3
#define UNREAD_USEC (100 * USEC_PER_MSEC)

bool said_is_pending(const struct acceptd_worker *worker)
{
        return worker->announces || worker->held.n_finished > 0 || worker->asked;
}

static void drop_pending(struct acceptd_worker *worker)
{
        worker->announces = false;
        worker->asked = false;
        held_drop_finished(&worker->held, worker->held.n_finished);
}

/* --- READY --- */

/* When the next READY may be sent. */
static usec_t get_ready_time(struct acceptd_worker *worker, usec_t now)
{
        int unread = 0;

        if (now - worker->readys_since >= USEC_PER_SEC) {
                worker->readys_since = now;
                worker->n_readys = 0;
        }
        if (worker->n_readys >= READYS_MAX)
                return worker->readys_since + USEC_PER_SEC;

        if (ioctl(worker->channel, SIOCOUTQ, &unread) < 0 || unread == 0)
                worker->n_unread = 0;
        return worker->n_unread >= UNREAD_MAX ? now + UNREAD_USEC : now;
}

/* Whether READY is to be sent with what is sent now; otherwise the timer is set. */
static int may_announce(struct acceptd_worker *worker)
{
        usec_t now;

        if (!worker->announces)
                return false;
        if (!worker->announced)
                return true; /* the first one comes before all else */

        now = usec_now();
        if (worker->ready_at <= now)
                worker->ready_at = get_ready_time(worker, now);
        return worker->ready_at <= now;
}

static void note_announced(struct acceptd_worker *worker)
{
        if (worker->n_readys++ == 0)
                worker->readys_since = usec_now();
        worker->n_unread++;
        worker->announced = true;
        worker->announces = false;
        worker->ready_at = 0;
}

/* --- Sending --- */

/* Puts together one datagram. *ret_answered: the answer ends in it. */
static size_t fill(const struct acceptd_worker *worker, bool announce, size_t *ret_n_finished,
        uint32_t *place, bool *ret_answered, struct record batch[static RECORD_BATCH_MAX])
{
        size_t n = 0;

        if (announce)
                batch[n++] = (struct record){
                        .version = RECORD_VERSION,
                        .type = RECORD_READY,
                        .value = worker->capacity,
                        .id = worker->features,
                };

        *ret_n_finished = held_get_finished(&worker->held, batch + n, RECORD_BATCH_MAX - n);
        n += *ret_n_finished;

        *ret_answered = false;
        if (!worker->asked)
                return n;

        n += held_list(&worker->held, place, batch + n, RECORD_BATCH_MAX - n);
        if (*place == HELD_LIST_END && n < RECORD_BATCH_MAX) {
                batch[n++] = (struct record){
                        .version = RECORD_VERSION,
                        .type = RECORD_PONG,
                        .value = worker->question,
                };
                *ret_answered = true;
        }
        return n;
}

/* Sends one datagram of what is to be said, and forgets it once it is sent. Returns as
 * wire_send_batch(). */
static int send_some(struct acceptd_worker *worker, bool announce)
{
        struct record batch[RECORD_BATCH_MAX];
        uint32_t place = worker->place;
        size_t n, n_finished;
        bool answered;
        int r;

        n = fill(worker, announce, &n_finished, &place, &answered, batch);
        r = wire_send_batch(worker->channel, batch, n);
        if (r != 0)
                return r;

        if (announce)
                note_announced(worker);
        held_drop_finished(&worker->held, n_finished);
        worker->place = place;
        if (answered)
                worker->asked = false;
        return 0;
}

int said_watch(struct acceptd_worker *worker)
{
        uint32_t events = 0;

        if (worker->finished)
                return 0;
        if (!worker->drained && !worker->asked && worker->receives)
                events |= EPOLLIN;
        if (worker->blocked)
                events |= EPOLLOUT;
        if (worker->drained && worker->held.n_held == 0 && !said_is_pending(worker)) {
                __atomic_store_n(&worker->finished, true, __ATOMIC_RELEASE);
                return waker_set(&worker->waker, 0);
        }

        return waker_watch(&worker->waker, events);
}

int said_now(struct acceptd_worker *worker)
{
        int r = 0;

        worker->blocked = false;
        while (r == 0 && said_is_pending(worker)) {
                bool announce = may_announce(worker);

                if (!announce && worker->held.n_finished == 0 && !worker->asked) {
                        r = waker_set(&worker->waker, worker->ready_at);
                        break;
                }
                r = worker->gone ? WIRE_GONE : send_some(worker, announce);
        }
        if (r < 0)
                return r;
        if (r == WIRE_GONE) {
                worker->gone = true;
                drop_pending(worker);
        }

        worker->blocked = r == WIRE_FULL;
        return said_watch(worker);
}

/* --- When --- */

void said_happened(struct acceptd_worker *worker, usec_t now)
{
        if (now - worker->happened_at >= CROWD_USEC)
                worker->crowd = 0;
        else if (worker->crowd < CROWD_MIN)
                worker->crowd++;
        worker->happened_at = now;
}

static bool may_tell_later(const struct acceptd_worker *worker)
{
        const struct held *held = &worker->held;

        return worker->crowd >= CROWD_MIN && held->n_finished < RECORD_BATCH_MAX &&
               held->n_held + held->n_finished < worker->capacity / 2 && !worker->drained;
}

int said_soon(struct acceptd_worker *worker)
{
        if (worker->blocked)
                return 0; /* it is sent when there is room */
        if (worker->crowd < CROWD_MIN)
                said_happened(worker, usec_now());
        if (!may_tell_later(worker))
                return said_now(worker);

        return waker_is_set(&worker->waker) ? 0
                                            : waker_set(&worker->waker, usec_now() + UNTOLD_USEC);
}

/* The timer goes on while the crowd does. */
static int on_time(struct acceptd_worker *worker, usec_t now)
{
        bool is_crowd = worker->crowd >= CROWD_MIN && now - worker->happened_at < CROWD_USEC;
        int r;

        if (!is_crowd)
                worker->crowd = 0;
        r = waker_reset(&worker->waker, is_crowd ? now + UNTOLD_USEC : USEC_INFINITY);
        return r < 0 ? r : said_now(worker);
}

int said_in_passing(struct acceptd_worker *worker)
{
        if (worker->finished)
                return 0;
        if (worker->waker.at <= worker->happened_at)
                return on_time(worker, worker->happened_at);

        return worker->blocked || worker->held.n_finished >= UNTOLD_MAX ? said_now(worker) : 0;
}

int said_at_leisure(struct acceptd_worker *worker)
{
        usec_t now;

        if (worker->finished || !waker_is_set(&worker->waker))
                return 0;

        now = usec_now();
        return worker->waker.at <= now ? on_time(worker, now) : 0;
}

int said_ready(struct acceptd_worker *worker, uint32_t capacity)
{
        worker->capacity = capacity;
        worker->announces = true;
        return said_now(worker);
}
