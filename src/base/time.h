/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <time.h>

#include "base/base.h"

/* Time is microseconds of CLOCK_MONOTONIC in 64 bits, as in sd-event. */

typedef uint64_t usec_t;

#define USEC_INFINITY UINT64_MAX
#define USEC_PER_MSEC 1000ULL
#define USEC_PER_SEC  1000000ULL
#define USEC_PER_DAY  (24 * 3600 * USEC_PER_SEC)

/* Room for the longest: 213503982d 8h 1min 49s 551ms 614us */
#define USEC_FORMAT_SIZE 48

static inline usec_t usec_now(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

/* Sum that stays at infinity instead of wrapping round. */
static inline usec_t usec_add(usec_t a, usec_t b)
{
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

/* Reads a time span as in systemd.time(7), where a number without a unit is in seconds, or
 * `infinity`. Returns 0, -EINVAL, or -ERANGE when it does not fit. */
int usec_parse(const char *text, usec_t *ret);

/* Writes `t` exactly, in a form that usec_parse() reads. Returns `buffer`. */
const char *usec_format(usec_t t, char buffer[static USEC_FORMAT_SIZE]);
