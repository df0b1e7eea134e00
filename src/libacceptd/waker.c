/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The descriptor that a worker polls. It knows no records.
 *
 * An epoll is itself readable while one of its own is, and tells its waiters of each new event, so
 * that a loop may poll it level- or edge-triggered. Nobody ever reads it: what is polled here is
 * looked at by receiving. A system call is made only where something changes.
 */

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/fd.h"
#include "libacceptd/waker.h"

static int control(const struct waker *waker, int op, int fd, uint32_t events)
{
        struct epoll_event event = { .events = events };

        return epoll_ctl(waker->epoll, op, fd, &event) < 0 ? -errno : 0;
}

int waker_init(struct waker *waker, int channel)
{
        int r;

        *waker = WAKER_NULL;
        waker->channel = channel;
        waker->epoll = epoll_create1(EPOLL_CLOEXEC);
        waker->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (waker->epoll < 0 || waker->timer < 0)
                return -errno;

        r = control(waker, EPOLL_CTL_ADD, waker->timer, EPOLLIN);
        return r < 0 ? r : waker_watch(waker, EPOLLIN);
}

void waker_done(struct waker *waker)
{
        fd_close(waker->epoll);
        fd_close(waker->timer);
        *waker = WAKER_NULL;
}

/* Removes and adds, since a modification makes no edge of what is there already where that was seen
 * before. */
static int watch(struct waker *waker, uint32_t events)
{
        int r = 0;

        if (waker->events != 0)
                r = control(waker, EPOLL_CTL_DEL, waker->channel, 0);
        if (r >= 0 && events != 0)
                r = control(waker, EPOLL_CTL_ADD, waker->channel, events);
        if (r >= 0)
                waker->events = events;
        return r;
}

int waker_watch(struct waker *waker, uint32_t events)
{
        return events == waker->events ? 0 : watch(waker, events);
}

int waker_look_again(struct waker *waker)
{
        return watch(waker, waker->events);
}

int waker_reset(struct waker *waker, usec_t at)
{
        struct itimerspec spec = {};

        if (at != USEC_INFINITY) {
                spec.it_value.tv_sec = (time_t)(at / USEC_PER_SEC);
                spec.it_value.tv_nsec = (long)(at % USEC_PER_SEC * 1000);
        }
        if (timerfd_settime(waker->timer, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
                return -errno;

        waker->at = at;
        return 0;
}

int waker_set(struct waker *waker, usec_t at)
{
        return at < waker->at ? waker_reset(waker, MAX(at, (usec_t)1))
                              : 0; /* 0 would turn it off */
}
