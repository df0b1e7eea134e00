/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "acceptctl/instance.h"

/*
 * What a worker's process uses, which the kernel tells and not the dispatcher: that may not look at
 * its workers, and would have to do so for each who asks.
 */

struct process_use {
        uint64_t memory; /* resident bytes */
        usec_t cpu;      /* since it was started */
};

/* Returns false where it is not to be seen. */
bool process_get_use(const struct places *places, long long pid, struct process_use *ret);

/* Writes an amount of memory as systemctl does: 1.5M. Returns `buffer`. */
#define PROCESS_FORMAT_SIZE 32
const char *process_format_memory(uint64_t bytes, char buffer[static PROCESS_FORMAT_SIZE]);
