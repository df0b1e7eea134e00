/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "client.h"

/* The real dispatcher with acceptd-inetd as its worker. */

/* Starts it with these settings, arguments of acceptd-inetd, and members of struct harness_config;
 * waits until a worker is ready. One listener, "main", is there. */
#define inetd_start(h, options_, arguments_, ...)                                                  \
        do {                                                                                       \
                (void)listener_add(h, LISTENER_UNIX, "main");                                      \
                harness_start(h, .options = options_, .command = inetd_command(arguments_),        \
                        __VA_ARGS__);                                                              \
                harness_await_ready(h);                                                            \
                harness_await_workers(h, 1);                                                       \
        } while (0)

/* The path of acceptd-inetd and these arguments; valid until the next call. */
const char *const *inetd_command(const char *const *arguments);

/* Opens a connection and returns all that its program writes. The caller frees it. */
char *inetd_ask(struct harness *h, size_t listener);

/* Opens one to a program that says its process number in a line of its own first, and returns it.
 */
pid_t inetd_open(struct harness *h, struct client *ret_client);

/* The only worker there is. */
pid_t inetd_worker(const struct harness *h);

/* Waits for the end of a process that nobody but the test will reap, or that is reaped already. */
void inetd_await_orphan(struct harness *h, pid_t pid);
