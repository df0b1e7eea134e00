/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/ledger.h"
#include "dispatcher/waiting.h"
#include "policy/pool.h"

/*
 * LogConnections=: one message a connection, at its end.
 */

struct connection_log {
        struct pool *pool;
        const struct ledger *ledger; /* has the names of listeners */
        struct waiting *waiting;     /* has the time that the worker said with DONE */
};

/* Has the pool tell of connections that end, or not, as the settings say. To be called again when
 * they have changed. */
void connection_log_set(struct connection_log *log);
