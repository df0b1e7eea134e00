/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/fd.h"
#include "os/store.h"

/*
 * The descriptors that this process was started with, each with a name: listeners, and what a
 * dispatcher before this one left.
 */

struct inherited {
        int fd; /* -1: taken */
        char *name;
        bool listens; /* a socket that listens is no other's, whatever its name */
        bool is_kept; /* a listener that only the store had: its socket unit does not pass it */
};

struct inheritance {
        struct inherited *entries;
        size_t n;
        bool from_reload; /* from another image of this process, and not from the service manager */
};

/* Collects what the image before this one, or the service manager (sd_listen_fds(3)) passed;
 * close-on-exec is set. Returns 0 or -errno. */
int inheritance_collect(struct inheritance *inheritance);

/* Adds a descriptor, which stays the caller's, to what inheritance_pass() passes. Returns 0 or
 * -ENOMEM. */
int inheritance_add(struct inheritance *inheritance, int fd, const char *name);

/*
 * Makes what was added survive the next execve(), whose program finds it by inheritance_collect().
 * Returns a descriptor to be closed should execve() fail, or -errno. Then inheritance_keep() takes
 * all that back.
 */
int inheritance_pass(struct inheritance *inheritance);
void inheritance_keep(struct inheritance *inheritance);

/* Closes what was not taken, or forgets what was added. */
void inheritance_done(struct inheritance *inheritance);

/* The same under a name of src/os/store.h; nothing is added where `fd` is -1. */
int inheritance_add_numbered(
        struct inheritance *inheritance, int fd, enum store_kind kind, uint64_t number);

/* Takes out the descriptor of this name: the caller's now, or -1. */
int inheritance_take(struct inheritance *inheritance, const char *name);
int inheritance_take_numbered(
        struct inheritance *inheritance, enum store_kind kind, uint64_t number);
int inheritance_take_old(struct inheritance *inheritance, enum store_kind kind, uint64_t number);

/* Returns what the name of an entry says: nothing where it is a listener's. */
struct store_entry inheritance_read_name(const struct inherited *entry);

/* Returns the entry of this kind that was not taken and has the highest number, or NULL: after a
 * crash between adding the next one and removing the last there are two. */
struct inherited *inheritance_find_latest(
        struct inheritance *inheritance, enum store_kind kind, uint64_t *ret_number);

/* Returns the entry's name where it is a listener's, and nobody took it; else NULL. A socket that
 * listens is one, whatever its name, but for the control socket. */
const char *inheritance_get_listener(const struct inheritance *inheritance, size_t i);

/* Returns true where another dispatcher left something to this one. */
bool inheritance_is_after_another(const struct inheritance *inheritance);

/* Looks for listening sockets whose names are this program's own: it could not tell what they are.
 * Returns 0, -ENOMEM, or -EINVAL with one line that says what to write, for the caller to free. */
int inheritance_check(const struct inheritance *inheritance, char **ret_message);
