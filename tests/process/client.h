/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "harness.h"

/* Listening sockets that a test makes, and clients of them. As the harness, all functions fail the
 * running test when something does not happen. */

enum listener_kind {
        LISTENER_UNIX,
        LISTENER_SEQPACKET,
        LISTENER_TCP4,
        LISTENER_TCP6,
        LISTENER_VSOCK,
        _LISTENER_MAX,
};

extern const char *const listener_kinds[_LISTENER_MAX];

/* Whether this machine has such sockets, and something at the other end of them answers. */
bool listener_available(enum listener_kind kind);

/* Makes a listening socket on an address of its own, and passes it to the dispatcher. Returns its
 * number, for client_open(). */
size_t listener_add(struct harness *h, enum listener_kind kind, const char *name);

/* The address of listener `number` as tests/bench/load takes it; static. */
const char *listener_destination(const struct harness *h, size_t number);

struct client {
        int fd;
        char text[1024]; /* received, and not yet given out */
        size_t size;

        /* as the stub introduced itself */
        unsigned worker;
        pid_t pid;
        char listener[64];
        uint64_t id;
};

enum client_end {
        CLIENT_END_CLEAN, /* end of file */
        CLIENT_END_RESET,
};

/* Connects; the connection may still be in the backlog then. */
void client_open(struct harness *h, struct client *ret_client, size_t listener);

/* The same from an address of its own: an IPv4 one, in host byte order, or an IPv6 one. */
void client_open_from_ipv4(
        struct harness *h, struct client *ret_client, size_t listener, uint32_t address);
void client_open_from_ipv6(
        struct harness *h, struct client *ret_client, size_t listener, const char *address);

/* Waits for the line with which a stub answers, or the end. Returns false, and closes, where it is
 * the end: the connection was refused. */
bool client_is_served(struct harness *h, struct client *client);

/* Waits for the line with which a stub answers. */
void client_await_greeting(struct harness *h, struct client *client);

/* Both. */
void client_open_served(struct harness *h, struct client *ret_client, size_t listener);

/* Waits for one line, without its end; valid until the next call for this client. */
const char *client_await_line(struct harness *h, struct client *client);

/* Whether nothing came yet, neither data nor end. */
bool client_waits(struct harness *h, const struct client *client);

void client_send(const struct client *client, const char *text);

/* Waits for the end of the connection; the rest of what came is dropped. Closes. */
enum client_end client_await_end(struct harness *h, struct client *client);

/* The same, but returns the whole text; the caller frees it. */
char *client_await_all(struct harness *h, struct client *client);

void client_close(struct client *client);

/* A worker with --serve=obey: has it answer, and has it finish the connection. */
void client_exchange(struct harness *h, struct client *client);
void client_finish(struct harness *h, struct client *client);

/* Opens one for each of two such workers, in the order of their numbers. */
void client_open_at_each(struct harness *h, struct client clients[2], size_t listener);
