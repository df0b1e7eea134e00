/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Delay after failed starts: RestartSec=, doubled at each further failure up to
 * RestartMaxDelaySec=.
 */

#include "policy/backoff.h"

void backoff_failed(struct backoff *backoff, usec_t started_at, usec_t now)
{
        /* Workers that were started side by side fail side by side: that is one failure. */
        if (backoff->delay == 0)
                backoff->delay = backoff->first;
        else if (started_at >= backoff->failed_at)
                backoff->delay = MIN(usec_add(backoff->delay, backoff->delay), backoff->max);

        backoff->failed_at = now;
        backoff->not_before = usec_add(now, backoff->delay);
}

void backoff_ready(struct backoff *backoff, usec_t started_at)
{
        if (started_at >= backoff->failed_at)
                backoff->not_before = 0;
}

void backoff_served(struct backoff *backoff, usec_t started_at)
{
        if (started_at < backoff->failed_at)
                return;

        backoff->delay = 0;
        backoff->not_before = 0;
}
