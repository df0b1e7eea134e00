/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/signalfd.h>
#include <systemd/sd-event.h>

#include "base/time.h"

/*
 * The event loop: in which order things are looked at that happen at once.
 */

/* Last words go before the death, credits before new connections. */
enum priority {
        PRIORITY_STOP = SD_EVENT_PRIORITY_IMPORTANT,
        PRIORITY_CHANNEL,
        PRIORITY_EXIT,
        PRIORITY_TIMER,
        PRIORITY_LISTENER, /* and upwards, the more the later it was served */
};

struct loop {
        sd_event *event;
        bool take_turns; /* there is more than one listener */
        int64_t turn;    /* counts what was served */
};

/* All of these return 0 or -errno. A source whose callback fails ends the loop with its error. */
int loop_init(struct loop *loop, bool take_turns);
void loop_deinit(struct loop *loop);

/* The source is the caller's to unref. */
int loop_add_io(struct loop *loop, sd_event_source **ret, int fd, sd_event_io_handler_t callback,
        void *userdata, enum priority priority);

/* A timer that is not set yet. The source is the caller's to unref. */
int loop_add_timer(
        struct loop *loop, sd_event_source **ret, sd_event_time_handler_t callback, void *userdata);

/* Has it go off at this time, once; with USEC_INFINITY, not at all. */
int loop_set_timer(sd_event_source *timer, usec_t at);

/* A signal that is blocked, for as long as there is the loop. */
int loop_add_signal(
        struct loop *loop, int signal, sd_event_signal_handler_t callback, void *userdata);

/*
 * A listener or a client of the control socket was served, or is new: all others go first. sd-event
 * alone is fair only while they stay in the loop, and when credits come one by one they do not.
 * With one listener there are no turns, and the source gets its priority all the same: sd-event's
 * own comes after everything, and would starve it.
 */
int loop_go_to_the_end(struct loop *loop, sd_event_source *source);
