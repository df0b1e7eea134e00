/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libacceptd/worker-inside.h"

/*
 * What a worker says, and when. Functions return 0 or -errno, unless they say otherwise.
 */

/* Whether anything is to be said, now or later. */
bool said_is_pending(const struct acceptd_worker *worker);

/* A connection was received or has ended: crowds are known by that. */
void said_happened(struct acceptd_worker *worker, usec_t now);

/* Sends what may be sent now, as far as there is room. */
int said_now(struct acceptd_worker *worker);

/* The end of a connection was noted: sends it, or sees to it that it is sent soon. */
int said_soon(struct acceptd_worker *worker);

/* Receiving comes by, and then finds nothing: sends what has waited for long enough, or for room.
 * Only the second asks for the time. */
int said_in_passing(struct acceptd_worker *worker);
int said_at_leisure(struct acceptd_worker *worker);

/* Takes READY with this capacity in. */
int said_ready(struct acceptd_worker *worker, uint32_t capacity);

/* Has the one descriptor be readable for what there is to do from now on. */
int said_watch(struct acceptd_worker *worker);
