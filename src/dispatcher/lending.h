/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "os/listener.h"
#include "os/process.h"
#include "policy/pool.h"

/*
 * Listening sockets that are lent to the workers: Accept=no.
 */

/* Has each worker that is started from `process` get all listeners. Returns 0 or -errno. */
int lending_set_up(
        struct process_template *process, const struct listener *listeners, size_t n_listeners);

/* Something happened to workers, as that one is ready: notes which listeners are non-blocking now,
 * in memory that outlives this process. */
void lending_note(struct pool_state *state, const struct listener *listeners, size_t n_listeners);

/* Makes them again what was noted: after a crash only, in which the service manager has changed
 * them. */
void lending_restore(
        const struct pool_state *state, const struct listener *listeners, size_t n_listeners);

/* The listener has hung up: says so, and who may have done it, and has it listen again. Returns
 * whether it does. */
bool lending_mend(const struct listener *listener, const struct pool *pool);
