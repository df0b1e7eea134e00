/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <assert.h>

#include "base/base.h"

/*
 * What a worker has finished, in memory that it shares with the dispatcher: RECORD_FINISHED. A
 * worker may tell several ends at once; when it dies before it has, they are found here. Each id
 * overwrites the one that was noted FINISHED_MAX before.
 *
 * Beside them, how many of those that it holds are idle: it has answered all that it has read of
 * them. Whether a client minds that such a one is cut off is known to that client alone.
 */

#define FINISHED_MAX 511

struct finished {
        uint64_t ids[FINISHED_MAX]; /* in no order; 0: none */
        uint64_t idle;
};

static_assert(sizeof(struct finished) == 4096, "one page");
