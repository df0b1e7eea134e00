/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/worker.h"
#include "os/listener.h"

/*
 * The dispatcher's hand: the connections whose descriptor this process holds, just accepted or
 * taken back from a queue, and given to no worker. Almost always it is empty.
 */

struct hand {
        struct pool *pool;
        struct worker *workers; /* by row */

        /* The oldest first; the first n are in use. The pool counts the same in n_in_hand, and
         * between two calls the counts are equal. */
        struct {
                int fd;
                struct slot *slot;
        } places[POOL_HAND_MAX];
        uint32_t n;

        bool exhausted;     /* there was no descriptor or memory for the last connection */
        uint32_t n_refused; /* and not told yet */
};

void hand_init(struct hand *h, struct pool *pool, struct worker *workers);

/* Closes what it holds. */
void hand_deinit(struct hand *h);

/* Takes a connection that the pool counts as in hand. */
void hand_put(struct hand *h, int fd_consume, struct slot *slot);

/* Gives each connection to a worker that has credit, if there is one. Returns 0 or -errno. */
int hand_try_all(struct hand *h);

/* Accepts one connection, and gives it to a worker. Only after pool_may_accept(). Returns 0, enum
 * accept_result or -errno. */
int hand_accept(struct hand *h, struct listener *l);

/* Takes one connection back from the worker's queue, and gives it to another. Returns 0 or
 * -errno. */
int hand_take_back(struct hand *h, struct worker *w);

/* Closes what it holds, unserved. They go through the hand two by two, and are told together. */
void hand_refuse(struct hand *h);
void hand_log_refused(struct hand *h);
