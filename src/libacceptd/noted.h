/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wire/finished.h"

/*
 * The worker's end of the memory in which it notes what it has finished, and what is idle.
 */

struct noted {
        struct finished *memory; /* shared with the dispatcher; NULL: it did not bring any */
        uint32_t n;
        uint32_t n_idle;
};

/* Begins to note in the memory behind `fd`. Where that cannot be mapped, nothing is noted, and the
 * dispatcher counts more as lost when this process dies. */
void noted_map(struct noted *noted, int fd);
void noted_done(struct noted *noted);

void noted_add(struct noted *noted, uint64_t id);

/* How many connections are idle now. */
void noted_set_idle(struct noted *noted, uint32_t n);
