/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/fd.h"

/*
 * The descriptors that this process was started with, each with a name: listeners, and what a
 * dispatcher before this one left.
 */

struct inherited {
        int fd; /* -1: taken */
        char *name;
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

/* Takes out the descriptor of this name: the caller's now, or -1. */
int inheritance_take(struct inheritance *inheritance, const char *name);

/* Returns the entry's name where it is a listener's, and nobody took it; else NULL. */
const char *inheritance_get_listener(const struct inheritance *inheritance, size_t i);
