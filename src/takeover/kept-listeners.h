/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "os/inheritance.h"
#include "os/listener.h"

/*
 * The listeners, and what of them is kept for the next dispatcher. A socket unit that was edited
 * loses its sockets with a daemon-reload, so after a crash systemd may pass others, or none.
 */

/* Takes the listeners out of what was inherited. There may be none where a dispatcher before this
 * one left workers. `listen_pid`: see struct start; `accept`: Accept=. Returns 0, or -errno with
 * one line for the caller to free, if there is one. */
int kept_listeners_collect(struct inheritance *inheritance, const char *listen_pid, bool accept,
        struct listener **ret_listeners, size_t *ret_n, char **ret_message);
void kept_listeners_free(struct listener *listeners, size_t n);

/* Leaves them to the next dispatcher, should this one crash; or does not any more, before a stop:
 * what is stored keeps its port open. */
void kept_listeners_store(const struct listener *listeners, size_t n);
void kept_listeners_forget(const struct listener *listeners, size_t n);

/* For a reload. Returns 0 or -errno. */
int kept_listeners_add(struct inheritance *inheritance, const struct listener *listeners, size_t n);

/* Writes what is wrong with them, for the status, into `text` (""; nothing is), and logs it. */
void kept_listeners_tell(
        const struct listener *listeners, size_t n, const char *instance, char *text, size_t size);
