/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "client.h"

/* Dispatchers one after another, each of which takes over what the last one left in its store. */

#define ADOPTION_STORE     64
#define ADOPTION_PER_STORE 3 /* descriptors of a worker */
#define ADOPTION_OWN_STORE 3 /* ledger, settings and the listener */

/* A dispatcher with these options, whose workers do what their clients say. */
#define adoption_start(h, ...)                                                                     \
        harness_start(h, .options = WORDS(__VA_ARGS__),                                            \
                .stub = WORDS("--serve=obey", "--capacity=4"), .store = ADOPTION_STORE)

/* The first one, with a listener and two workers. */
void adoption_begin(struct harness *h);

/* The next one, with the same settings. */
void adoption_next(struct harness *h);
