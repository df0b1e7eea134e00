/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The way of a connection: accept, choose, note, send, close; and back again out of a queue. It
 * must not know of listeners being watched, of timers, or of what else is decided.
 *
 * Each step is noted in the ledger before or after it, in the order in which a crash in between
 * does no harm: the stop points say where tests let the program die.
 */

#include <assert.h>
#include <inttypes.h>

#include "base/stop-point.h"
#include "dispatcher/hand.h"
#include "dispatcher/worker-log.h"
#include "os/journal.h"
#include "policy/pool-limit.h"

/* How long to wait when there was no descriptor or no memory for a connection. */
#define EXHAUSTED_USEC (100 * USEC_PER_MSEC)

void hand_init(struct hand *h, struct pool *pool, struct worker *workers, struct loop *loop)
{
        *h = (struct hand){ .pool = pool, .workers = workers };
        refusals_init(&h->refusals, pool, loop);
}

void hand_deinit(struct hand *h)
{
        while (h->n > 0)
                fd_close(h->places[--h->n].fd);
        refusals_deinit(&h->refusals);
}

void hand_put(struct hand *h, int fd_consume, struct slot *slot)
{
        assert(h->n < POOL_HAND_MAX);

        h->places[h->n].fd = fd_consume;
        h->places[h->n++].slot = slot;
}

static int take_out(struct hand *h, uint32_t i)
{
        int fd = h->places[i].fd;

        h->n--;
        memmove(&h->places[i], &h->places[i + 1], (h->n - i) * sizeof(h->places[0]));
        return fd;
}

/* Closes the copy here. At once: while it is open, the client does not see the worker's close(). */
static void drop(struct hand *h, uint32_t i)
{
        fd_close(take_out(h, i));
        assert(h->n == h->pool->n_in_hand);
}

/* Returns 1 where it was sent, 0 where nobody has credit and it stays in hand, or -errno. */
static int send_one(struct hand *h, uint32_t i)
{
        struct slot *slot = h->places[i].slot;
        int64_t row;

        while ((row = pool_choose(h->pool)) >= 0) {
                struct worker *w = &h->workers[row];
                int r;

                pool_assign(h->pool, slot, (uint32_t)row);
                STOP_POINT("reserved");
                r = channel_send_connection(&w->channel, slot->id, slot->listener,
                        (uint32_t)slot->accepted_at, h->places[i].fd);
                if (r == 0) {
                        STOP_POINT("sent");
                        pool_sent(h->pool, slot);
                        drop(h, i);
                        return 1;
                }

                pool_not_sent(h->pool, slot, usec_now());
                if (r == WIRE_GONE)
                        worker_violates(
                                w, "its end of the channel is shut down, or takes no descriptors");
                else if (r < 0)
                        r = worker_cannot_talk(w, r);
                if (r < 0)
                        return r;
        }

        return 0;
}

int hand_try_all(struct hand *h)
{
        assert(h->n == h->pool->n_in_hand);

        for (uint32_t i = 0; i < h->n;) {
                int r = send_one(h, i);

                if (r < 0)
                        return r;
                if (r == 0)
                        i++;
        }

        return 0;
}

void hand_pause(struct hand *h, int error)
{
        const char *name = strerrorname_np(error) ?: "";
        bool is_scarce = hand_is_scarce(error);

        errno = error;
        if (h->exhausted != error)
                journal_event(MESSAGE_EXHAUSTED,
                        JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", name)),
                        "New connections wait: %m. %s",
                        is_scarce ? "LimitNOFILE= may be too low."
                                  : "Something forbids this process to accept any, "
                                    "SystemCallFilter= perhaps.");
        h->exhausted = error;
        pool_pause(h->pool, usec_add(usec_now(), EXHAUSTED_USEC));
}

/* Returns whether the connection that was just put in hand may be served; else it is refused. */
static bool admit(struct hand *h)
{
        struct slot *slot = h->places[h->n - 1].slot;
        enum refusal reason;

        if (pool_admit(h->pool, slot, &h->source, &reason))
                return true;

        refusals_add(&h->refusals, slot, take_out(h, h->n - 1), &h->source, reason);
        return false;
}

int hand_accept(struct hand *h, struct listener *l)
{
        bool asks = h->pool->asks_source;
        int fd, r = asks ? listener_accept_from(l, &fd, &h->source) : listener_accept(l, &fd);

        if (r == ACCEPT_EXHAUSTED)
                hand_pause(h, errno);
        else if (r != ACCEPT_AGAIN)
                h->exhausted = 0;
        if (r != 0)
                return r;

        STOP_POINT("accepted");
        hand_put(h, fd, pool_accepted(h->pool, l->index, usec_now()));
        STOP_POINT("in-hand");
        if (asks && !admit(h))
                return 0;
        return hand_try_all(h);
}

int hand_accept_some(struct hand *h, struct listener *l, int max)
{
        int n_failed = 0;

        for (int i = 0; i < max && pool_may_accept(h->pool); i++) {
                int r = hand_accept(h, l);

                if (r < 0)
                        return r;
                if (r == ACCEPT_EMPTY)
                        break;
                n_failed += r == ACCEPT_AGAIN;
        }
        if (n_failed == max) /* whoever forbids it takes nobody out of the backlog */
                hand_pause(h, errno);

        return 0;
}

int hand_take_back(struct hand *h, struct worker *w)
{
        struct slot *slot;
        bool dropped;
        uint64_t id;
        int fd, r;

        pool_set_in_transit(h->pool, w->row, true);
        r = channel_take_back(&w->channel, &id, &fd, &dropped);
        if (r == 0)
                STOP_POINT("taken-back");
        else
                pool_set_in_transit(h->pool, w->row, false);
        if (dropped)
                pool_question_dropped(h->pool, w->row);
        if (r == WIRE_EMPTY) {
                worker_queue_empty(w);
                return 0;
        }
        if (channel_is_broken(r))
                return worker_cannot_talk(w, r);
        if (r < 0) {
                hand_pause(h, -r);
                return 0;
        }

        h->exhausted = 0;
        slot = pool_take_back(h->pool, w->row, id);
        if (channel_count_queued(&w->channel) == 0)
                worker_queue_empty(w);
        if (!slot) { /* the worker said DONE for it without having received it */
                fd_close(fd);
                return 0;
        }

        /* A security module has forbidden it, or the worker, which lives, made room for something
         * else in front of it: SO_PASSCRED. */
        if (fd < 0) {
                pool_lost(h->pool, slot);
                worker_log_lost(w, 1, 0, "had not received", "its descriptor did not come back");
                return 0;
        }

        hand_put(h, fd, slot);
        return hand_try_all(h);
}

void hand_refuse(struct hand *h)
{
        while (h->n > 0) {
                pool_refused(h->pool, h->places[0].slot,
                        h->pool->stopping ? REFUSED_STOPPING : REFUSED_STRANDED);
                drop(h, 0);
                h->n_refused++;
        }
}

void hand_log_refused(struct hand *h)
{
        uint32_t n = TAKE(h->n_refused, 0U);
        const char *why = h->pool->stopping ? "no worker was left when the instance stopped"
                                            : "workers died so fast that no other could take them";

        if (n > 0)
                journal_event(MESSAGE_CONNECTIONS_REFUSED,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", n),
                                JOURNAL_TEXT("ACCEPTD_REASON", why)),
                        "%" PRIu32 " connection%s closed unserved: %s.", n,
                        n == 1 ? " was" : "s were", why);
}

int hand_turn_away(struct hand *h, struct listener *l, int max)
{
        int r = 0;

        for (int i = 0; i < max && (r == 0 || r == ACCEPT_AGAIN); i++) {
                r = listener_refuse(l);
                if (r == 0) {
                        pool_turned_away(h->pool);
                        h->n_turned_away++;
                }
        }

        return r;
}

void hand_log_turned_away(const struct hand *h)
{
        if (h->n_turned_away > 0)
                journal_event(MESSAGE_CONNECTIONS_REFUSED,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", h->n_turned_away),
                                JOURNAL_TEXT("ACCEPTD_REASON",
                                        "they came while the instance stopped, and its socket with "
                                        "it")),
                        "%" PRIu64 " connection%s closed unserved: they came while the instance "
                        "stopped, and its socket with it.",
                        h->n_turned_away, h->n_turned_away == 1 ? " was" : "s were");
}
