/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "client.h"

/*
 * The control socket of a dispatcher under test, as a client and through acceptctl. The folder of
 * the test stands for the root of the file system: the instance is "test".
 */

struct ctl {
        char root[80];     /* "--root=FOLDER" */
        char settings[96]; /* the file */
        char folder[96];   /* of the socket */
        char path[128];    /* of the socket */
};

/* Skips the test where this is not root, whom alone the dispatcher answers. */
void ctl_init(struct harness *h, struct ctl *ctl);

void ctl_write_settings(const struct ctl *ctl, const char *text);

/* Listens there, as acceptd-control@.socket does, and returns the socket. */
int ctl_listen(const struct ctl *ctl);

/* Starts the dispatcher on that file, with that socket. */
#define ctl_start(h, ctl, ...)                                                                     \
        do {                                                                                       \
                harness_pass(h, ctl_listen(ctl), "acceptd-control");                               \
                harness_start(                                                                     \
                        h, .arguments = WORDS("-c", (ctl)->settings) __VA_OPT__(, ) __VA_ARGS__);  \
        } while (false)

/* All of this, with one listener and one worker, and waits until it is ready. */
void ctl_start_one(struct harness *h, struct ctl *ctl);

/* Settings for a pool of stubs: lines of [Pool]; the stubs' arguments, lines of [Worker]. */
void ctl_write_pool(const struct ctl *ctl, const char *pool, const char *worker);

/* The begin of a test with such a pool and one listener; more goes to harness_start(). */
#define ctl_start_pool(h, ctl, pool, worker, ...)                                                  \
        do {                                                                                       \
                ctl_init(h, ctl);                                                                  \
                (void)listener_add(h, LISTENER_UNIX, "main");                                      \
                ctl_write_pool(ctl, pool, worker);                                                 \
                ctl_start(h, ctl, .command = WORDS() __VA_OPT__(, ) __VA_ARGS__);                  \
                harness_await_ready(h);                                                            \
        } while (false)

/* Returns a connected socket. */
int ctl_connect(const struct ctl *ctl);

/* Sends bytes as they are. */
void ctl_send(int fd, const char *data, size_t size);

/* Waits for a whole message; NULL at the end of the connection. */
json_t *ctl_receive(struct harness *h, int fd);

/* A call without parameters. */
#define CTL_CALL(method) "{\"method\":\"" method "\"}"

/* Sends one message on a connection of its own, and waits as ctl_receive(). */
json_t *ctl_call(struct harness *h, const struct ctl *ctl, const char *message);

/* GetStatus, for json_decref(). */
json_t *ctl_status(struct harness *h, const struct ctl *ctl);

/* A text in it, which is there. */
const char *ctl_text(const json_t *object, const char *name);

/* A number in it, by names with dots: "counters.open". */
long long ctl_number(const json_t *status, const char *names);

/* Runs acceptctl, and keeps what it wrote until the next call. Returns its exit status. */
#define ctl_run(h, ctl, ...) ctl_run_words(h, ctl, WORDS(__VA_ARGS__))
int ctl_run_words(struct harness *h, const struct ctl *ctl, const char *const *words);
extern char ctl_out[65536], ctl_err[4096];
