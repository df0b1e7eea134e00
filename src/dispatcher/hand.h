/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>

#include "dispatcher/refusal.h"
#include "dispatcher/worker.h"
#include "os/listener.h"

/*
 * The dispatcher's hand: the connections whose descriptor this process holds, just accepted or
 * taken back from a queue, and given to no worker. Almost always it is empty.
 */

struct hand {
        struct pool *pool;
        struct worker *workers; /* by row */
        struct refusals refusals;
        struct source source; /* of the one just accepted, where limits ask for it: never cleared */

        /* The oldest first; the first n are in use. The pool counts the same in n_in_hand, and
         * between two calls the counts are equal. */
        struct {
                int fd;
                struct slot *slot;
        } places[POOL_HAND_MAX];
        uint32_t n;

        int exhausted; /* errno, where there was no way to get the last connection; 0: there was */
        uint32_t n_refused; /* and not told yet */
        uint64_t n_turned_away;
};

/* All is lent. */
void hand_init(struct hand *h, struct pool *pool, struct worker *workers, struct loop *loop);

/* Closes what it holds. */
void hand_deinit(struct hand *h);

/* Takes a connection that the pool counts as in hand. */
void hand_put(struct hand *h, int fd_consume, struct slot *slot);

/* Gives each connection to a worker that has credit, if there is one. Returns 0 or -errno. */
int hand_try_all(struct hand *h);

/* Accepts one connection, and gives it to a worker. Only after pool_may_accept(). Returns 0, enum
 * accept_result or -errno. */
int hand_accept(struct hand *h, struct listener *l);

/* The same for up to `max`, as long as the pool takes them. Returns 0 or -errno. */
int hand_accept_some(struct hand *h, struct listener *l, int max);

/* True for what goes by itself, when descriptors or memory are free again. */
static inline bool hand_is_scarce(int error)
{
        return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
               error == ETOOMANYREFS;
}

/* No connection came, as errno `error` says: tries later. */
void hand_pause(struct hand *h, int error);

/* Takes one connection back from the worker's queue, and gives it to another. Returns 0 or
 * -errno. */
int hand_take_back(struct hand *h, struct worker *w);

/* Closes what it holds, unserved. They go through the hand two by two, and are told together. */
void hand_refuse(struct hand *h);
void hand_log_refused(struct hand *h);

/* Accepts and resets up to `max` that come to a listener which is about to be closed. Returns 0 or
 * enum accept_result. The other says how many there were in all. */
int hand_turn_away(struct hand *h, struct listener *l, int max);
void hand_log_turned_away(const struct hand *h);
