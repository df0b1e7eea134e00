/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "base/source.h"

/*
 * A listening socket that the service manager passed.
 */

#define LISTENER_ADDRESS_MAX 160

struct listener {
        int fd;
        char *name;     /* its FileDescriptorName= */
        bool is_kept;   /* the store had it, its socket unit has it no more */
        uint16_t index; /* of the name, in the ledger and on the wire */
        char address[LISTENER_ADDRESS_MAX];
        sd_event_source *source;
        void *userdata;
};

#define LISTENER_NULL ((struct listener){ .fd = -1 })

/*
 * Takes over `fd` and its name (copied), and makes it non-blocking where this process is to
 * `accept` from it: that is a matter of all who have the socket. Returns 0 or -errno. On -EINVAL,
 * *ret_message is one line, for the caller to free, that says which descriptor, what it is and what
 * is allowed.
 */
int listener_init(struct listener *listener, int fd_consume, const char *name, bool accept,
        char **ret_message);
void listener_done(struct listener *listener);

/* True for a socket that listens, of whatever kind. */
bool listener_listens(int fd);

/* True where somebody waits at one of these. */
bool listener_any_waits(const struct listener *listeners, size_t n);

/* What to make of a failed accept. */
enum accept_result {
        ACCEPT_EMPTY = 1,     /* nobody waits */
        ACCEPT_AGAIN = 2,     /* this one is gone; the next may be fine */
        ACCEPT_EXHAUSTED = 3, /* no descriptor or no memory (errno says which): later */
};

/* Closes a connection, and not as if it had been served: TCP says RST in place of FIN. */
void listener_reset(int fd_consume);

/* Accepts a connection and resets it. Returns 0 or enum accept_result. */
int listener_refuse(struct listener *listener);

/* Returns a connection (non-blocking, close-on-exec) in *ret_fd and 0, or enum accept_result. */
int listener_accept(struct listener *listener, int *ret_fd);

/* The same, and says who it comes from. */
int listener_accept_from(struct listener *listener, int *ret_fd, struct source *ret_source);
