/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "os/listener.h"
#include "os/loop.h"
#include "policy/pool.h"

/*
 * Clients that wait in the backlog because the pool takes no more: the journal says that it is so,
 * and afterwards for how long it was.
 */

struct crowd {
        const struct pool *pool;
        const struct listener *listeners;
        size_t n_listeners;
        sd_event_source *timer;
        usec_t since;    /* somebody was seen to wait; 0: nobody is */
        usec_t until;    /* the last time that somebody was */
        usec_t total;    /* for so long somebody was, as far as it was looked */
        bool is_told;    /* the begin of it */
        bool is_looking; /* the timer is set */
};

/* `pool` and listeners are set. Returns 0 or -errno. */
int crowd_set_up(struct crowd *c, struct loop *loop);
void crowd_deinit(struct crowd *c);

/* To be called when the pool may have become full. */
void crowd_touch(struct crowd *c);
