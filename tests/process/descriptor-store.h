/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * The service manager's descriptor store, as sd_notify(3) and systemd.service(5) describe it: what
 * a dispatcher under test puts there is passed to the next one. Called by harness.c; tests look
 * into it, and damage it.
 */

#define STORE_ENTRIES_MAX 256

struct descriptor_store {
        struct {
                int fd;
                char name[64];
        } entries[STORE_ENTRIES_MAX];
        size_t n;
        size_t max; /* FileDescriptorStoreMax=; 0: there is no store */
};

/* Receives a message to the service manager, without waiting. What comes along is kept where the
 * message says so, and closed else. Returns its length, and a final 0 in `data`, or -1. */
ssize_t descriptor_store_receive(
        struct descriptor_store *store, int socket, char *data, size_t size);

/* Returns the descriptor, still the store's, or -1. */
int descriptor_store_get(const struct descriptor_store *store, const char *name);

/* Returns how many names begin so. */
size_t descriptor_store_count(const struct descriptor_store *store, const char *prefix);

/* Closes all of this name. */
void descriptor_store_drop(struct descriptor_store *store, const char *name);

/* Puts another in its place. */
void descriptor_store_replace(struct descriptor_store *store, const char *name, int fd_consume);

/* Closes everything. */
void descriptor_store_done(struct descriptor_store *store);
