/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "raw.h"

/* A channel around each test, and what passes through it. */

extern int here, there; /* the dispatcher's end and the worker's */
extern int passed;      /* a descriptor to send */

/* Nothing is left after the test: leaks.h. */
#define ON_A_CHANNEL(test) cmocka_unit_test_setup_teardown(test, channel_begin, channel_end)

int channel_begin(void **state);
int channel_end(void **state);
