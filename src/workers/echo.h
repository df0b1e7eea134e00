/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>

#include "base/time.h"

/*
 * The echo of RFC 862 for many connections at once, wherever they come from: in acceptd-echo, from
 * the channel.
 */

struct echo_connection;

/* Hears that a connection has ended. Returns 0 or -errno, which ends the turn. */
typedef int echo_end_t(void *userdata, uint64_t id, int fd_consume);

/* Hears whether all that came on a connection has been sent back: not at first, and not while the
 * client does not take it. */
typedef void echo_idle_t(void *userdata, uint64_t id, bool idle);

struct echo {
        unsigned capacity;
        usec_t idle_timeout;
        echo_end_t *on_end;
        echo_idle_t *on_idle; /* or NULL */
        void *userdata;
        int epoll;
        struct echo_connection *connections;
        unsigned n_touched; /* those beyond were never used: their pages cost nothing */
        TAILQ_HEAD(, echo_connection) free, idle; /* idle: longest without progress first */
        usec_t now;                               /* of this turn, if there is an idle timeout */
};

/* A connection ends after `idle_timeout` without progress. Returns 0 or -errno. */
int echo_init(struct echo *echo, usec_t idle_timeout, echo_end_t *on_end, echo_idle_t *on_idle,
        void *userdata);

/* How many connections there can be at once. To be called once, before the first. Returns 0 or
 * -ENOMEM. */
int echo_set_capacity(struct echo *echo, unsigned capacity);

/* What new connections come from is polled together with them, for `events`. Returns 0 or -errno.
 */
int echo_watch_source(struct echo *echo, int fd, uint32_t events);

/* Begins to serve a connection (non-blocking, and one more than there are within the capacity) and
 * does what can be done for it at once. Returns 0 or -errno. */
int echo_start(struct echo *echo, int fd_consume, uint64_t id, bool seqpacket);

/* Waits, and serves what can be served. *ret_source: the source has events. Returns 0 or -errno. */
int echo_turn(struct echo *echo, bool *ret_source);
