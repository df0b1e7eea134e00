/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/dispatcher.h"

/*
 * What an administrator has the pool do. What follows from it is done in the next turn of the loop.
 */

/* Drains the worker of this number, another one takes its place. Returns NULL; or why not, in
 * static words; "" where there is none. */
const char *steering_drain(struct dispatcher *d, uint64_t number);

/* Has new connections wait in the kernel, or no more. Returns the same as above. */
const char *steering_hold(struct dispatcher *d, bool on);
