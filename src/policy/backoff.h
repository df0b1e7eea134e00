/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

/*
 * The growing delay between starts while workers fail before they have served anything. It speaks
 * for all workers of a generation: they run the same program with the same settings.
 */

struct backoff {
        usec_t first; /* RestartSec= */
        usec_t max;   /* RestartMaxDelaySec= */

        usec_t delay;      /* after the last failure; 0 while nothing fails */
        usec_t failed_at;  /* of a worker that was started later, nothing is known yet */
        usec_t not_before; /* no start earlier than this */
};

/* A worker that was started at `started_at` ended without having served. */
void backoff_failed(struct backoff *backoff, usec_t started_at, usec_t now);

/* A worker became READY: the next start need not wait, but the delay is not forgotten yet. Nothing
 * changes where it was started before the last failure: it shows nothing about what starts now. */
void backoff_ready(struct backoff *backoff, usec_t started_at);

/* A worker served a connection: all is well. The same applies. */
void backoff_served(struct backoff *backoff, usec_t started_at);

static inline bool backoff_is_failing(const struct backoff *backoff)
{
        return backoff->delay > 0;
}
