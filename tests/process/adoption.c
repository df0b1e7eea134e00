/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Dispatchers one after another. Called by test-adoption.c and test-adoption-damage.c. */

#include "adoption.h"

void adoption_begin(struct harness *h)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        adoption_start(h, "Workers=2");
        harness_await_ready(h);
        harness_await_workers(h, 2);
}

void adoption_next(struct harness *h)
{
        adoption_start(h, "Workers=2");
        harness_await_ready(h);
}
