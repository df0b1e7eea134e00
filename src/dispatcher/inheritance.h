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
};

/* Collects what the service manager passed (sd_listen_fds(3)); close-on-exec is set. Returns 0 or
 * -errno. */
int inheritance_collect(struct inheritance *inheritance);

/* Closes what was not taken. */
void inheritance_done(struct inheritance *inheritance);

/* Takes out the descriptor of this name: the caller's now, or -1. */
int inheritance_take(struct inheritance *inheritance, const char *name);

/* Returns the entry's name where it is no dispatcher's but a listener that nobody took, else NULL. */
const char *inheritance_get_listener(const struct inheritance *inheritance, size_t i);
