/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "world.h"

/* Steps of tests that have one world each: test-pool.c and test-pool-*.c. */

#define IN_A_WORLD(test) cmocka_unit_test_teardown(test, end)

extern struct world *const w;

/* `workers` have been started, a microsecond ago. */
void begin(uint32_t workers, uint32_t connections);

/* All that start say READY with this capacity. */
void all_ready(uint32_t capacity);
void begin_ready(uint32_t workers, uint32_t capacity);

/* A pool that may grow; the least are ready, of capacity 1. */
void begin_sized(uint32_t workers, uint32_t spare, uint32_t most);

/* `n` clients come, and all of them are accepted. */
void accept_all(uint32_t n);

int end(void **state);
