/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

/*
 * One descriptor that is readable whenever the library has something to do: an epoll with the
 * channel and a timer in it.
 */

struct waker {
        int epoll, timer, channel;
        uint32_t events; /* of the channel; 0: it is not in the epoll */
        usec_t at;       /* when the timer is set to; USEC_INFINITY: not at all */
};

#define WAKER_NULL                                                                                 \
        (struct waker)                                                                             \
        {                                                                                          \
                .epoll = -1, .timer = -1, .channel = -1, .at = USEC_INFINITY                       \
        }

/* `channel` is lent, and watched for reading. Returns 0 or -errno. */
int waker_init(struct waker *waker, int channel);
void waker_done(struct waker *waker);

/* What to watch the channel for; 0: not at all, not even for a hang-up. Returns 0 or -errno. */
int waker_watch(struct waker *waker, uint32_t events);

/* What the channel has now counts as new, also for one who waits for edges. Returns 0 or -errno. */
int waker_look_again(struct waker *waker);

/* Readable from this time on, or from an earlier one that it was set to. Returns 0 or -errno. */
int waker_set(struct waker *waker, usec_t at);

/* Readable from that time on and not before, also if it is now; USEC_INFINITY: not at all. Returns
 * 0 or -errno. */
int waker_reset(struct waker *waker, usec_t at);

static inline bool waker_is_set(const struct waker *waker)
{
        return waker->at != USEC_INFINITY;
}
