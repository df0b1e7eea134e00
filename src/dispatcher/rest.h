/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/health.h"
#include "os/listener.h"

/*
 * The end of a pool that nobody uses: ExitIdleTimeSec=.
 */

struct rest {
        struct pool *pool;
        struct health *health;
        const struct listener *listeners;
        size_t n_listeners;
};

/* There was no connection for that long. The pool goes to rest, unless somebody waits. */
void rest_begin(struct rest *r);

/* The workers are gone. Returns true where the service can end, which it has been said then; or
 * false where somebody has come meanwhile, and the pool goes on. */
bool rest_end(struct rest *r);
