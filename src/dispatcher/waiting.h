/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * How long connections waited from their accept until their worker received them, as workers say
 * with DONE. It is on the way of each connection: a few instructions.
 */

#define WAITING_BUCKETS 33

struct waiting {
        uint64_t buckets[WAITING_BUCKETS]; /* k: less than 2^k microseconds; 0: was not said */
        uint64_t sum;                      /* of all, in microseconds */
        uint32_t last;                     /* of the connection that ends now; 0: was not said */
};

static inline void waiting_add(struct waiting *waiting, uint32_t usec)
{
        waiting->buckets[usec ? 32 - __builtin_clz(usec) : 0]++;
        waiting->sum += usec;
        waiting->last = usec;
}
