/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The event loop and the priorities in it. It must not know what happens in it.
 */

#include <sys/epoll.h>

#include "base/time.h"
#include "os/loop.h"

int loop_init(struct loop *loop, bool take_turns)
{
        *loop = (struct loop){ .take_turns = take_turns };
        return sd_event_new(&loop->event);
}

void loop_deinit(struct loop *loop)
{
        loop->event = sd_event_unref(loop->event);
}

static int set_priority(sd_event_source *source, int64_t priority)
{
        int r;

        r = sd_event_source_set_priority(source, priority);
        if (r < 0)
                return r;

        r = sd_event_source_set_exit_on_failure(source, true);
        return r < 0 ? r : 0; /* 1 where that is a change */
}

int loop_add_io(struct loop *loop, sd_event_source **ret, int fd, sd_event_io_handler_t callback,
        void *userdata, enum priority priority)
{
        int r;

        r = sd_event_add_io(loop->event, ret, fd, EPOLLIN, callback, userdata);
        if (r < 0)
                return r;

        return set_priority(*ret, priority);
}

int loop_add_timer(
        struct loop *loop, sd_event_source **ret, sd_event_time_handler_t callback, void *userdata)
{
        int r;

        r = sd_event_add_time(loop->event, ret, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_MSEC,
                callback, userdata);
        if (r < 0)
                return r;

        return set_priority(*ret, PRIORITY_TIMER);
}

int loop_set_timer(sd_event_source *timer, usec_t at)
{
        int r = sd_event_source_set_time(timer, at);

        if (r >= 0)
                r = sd_event_source_set_enabled(
                        timer, at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        return r;
}

int loop_add_signal(
        struct loop *loop, int signal, sd_event_signal_handler_t callback, void *userdata)
{
        sd_event_source *source;
        int r;

        r = sd_event_add_signal(loop->event, &source, signal, callback, userdata);
        if (r < 0)
                return r;

        r = set_priority(source, PRIORITY_STOP);
        if (r >= 0)
                r = sd_event_source_set_floating(source, true);
        sd_event_source_unref(source);
        return r < 0 ? r : 0;
}

int loop_go_to_the_end(struct loop *loop, sd_event_source *source)
{
        if (loop->take_turns)
                loop->turn++;

        return sd_event_source_set_priority(source, PRIORITY_LISTENER + loop->turn);
}
