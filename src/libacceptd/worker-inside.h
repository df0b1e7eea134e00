/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <pthread.h>
#include <sys/single_threaded.h>

#include "libacceptd/acceptd.h"
#include "libacceptd/held.h"
#include "libacceptd/noted.h"
#include "libacceptd/waker.h"

/*
 * A worker, as the files of the library share it: what it has to say is said.c's matter, what it
 * hears heard.c's. Both expect the lock to be held.
 */

struct acceptd_worker {
        pthread_mutex_t lock; /* of all that changes after acceptd_worker_open() */
        /* 1, and 0 in a process that was forked: MADV_WIPEONFORK */
        const uint8_t *is_own;

        int channel;
        struct waker waker;
        bool from_environment; /* no other object may have that channel */
        bool blocking;         /* so are connections to be */
        uint64_t features;     /* offered, and taken by each READY */
        char *names;           /* of listeners, each with its own final 0 */
        unsigned n_names;
        char *instance;
        uint64_t number;

        struct held held;
        struct noted noted;
        uint64_t n_fd_lost;
        const char *violation; /* of the other end: a static string */
        const char *mistake;   /* of this program: the same, for the last -EINVAL */

        uint32_t capacity;   /* of the last READY; 0: it pauses */
        bool announces;      /* that READY is still to be sent */
        bool announced;      /* one was sent */
        usec_t readys_since; /* begin of the second in which n_readys were sent */
        unsigned n_readys;
        unsigned n_unread; /* READYs since all that was sent had been read */
        usec_t ready_at;   /* not before */

        uint32_t place;    /* how far the HELDs of the answer are sent */
        uint32_t question; /* value of the PONG still to be sent, if */
        bool asked;

        bool blocked;       /* the channel had no room */
        usec_t happened_at; /* the last receipt, or end outside of a crowd */
        unsigned crowd;     /* how many of these came soon after the one before */

        bool outlives_signals;   /* signals_outlive() was called */
        bool receives;           /* acceptd_worker_set_receiving() */
        uint32_t drain_reason;   /* of a DRAIN that came; 0: none did */
        uint64_t drain_deadline; /* 0: none */
        bool drained;            /* nothing will come */
        bool gone;               /* nobody reads */
        bool finished;           /* read without the lock */
};

/* The gate of each call. Returns 0, and the lock is held; or -ECHILD in a process that was forked,
 * where the lock may be that of a thread that is not there. While there is one thread, there is
 * nothing to lock, and none comes or goes between the two. */
static inline int worker_enter(struct acceptd_worker *worker)
{
        if (*worker->is_own == 0)
                return -ECHILD;

        return __libc_single_threaded ? 0 : -pthread_mutex_lock(&worker->lock);
}

/* Returns `result`. */
static inline int worker_leave(struct acceptd_worker *worker, int result)
{
        if (!__libc_single_threaded)
                (void)pthread_mutex_unlock(&worker->lock);
        return result;
}
