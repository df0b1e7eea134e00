/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * What a dispatcher leaves to the next one, by name: in the service manager's descriptor store, for
 * after a crash, and in the list of a reload.
 *
 * A name is one or two characters that say what it is, and a number in base 36. No unit's name can
 * begin with one of STORE_RESERVED, so a socket without FileDescriptorName= has no such name. They
 * are short because all of them go through one environment string, which execve(2) limits.
 */

#define STORE_RESERVED "%+=!"
#define STORE_NAME_MAX 48

enum store_kind {
        STORE_NOTHING, /* no name of ours */
        STORE_LEDGER,  /* "!l", counts up: of two, the higher counts */

        /* "!s" and the generation whose settings they are. The ledger says which one is in force: a
         * reload adds the next before that, and removes the last after it. */
        STORE_SETTINGS,

        /* Each worker has three, by its row in the ledger: "%", "+", "=". */
        STORE_CHANNEL,
        STORE_QUEUE,
        STORE_PIDFD,

        /* Only for the next image of this program at a reload, never in the service manager's
         * store: a connection in hand ("!h" and its id), the caller that asked for it ("!c0"), the
         * settings to try ("!k0"). */
        STORE_IN_HAND,
        STORE_CALLER,
        STORE_CHECKED,

        STORE_KINDS,
};

/* A listener lies there under this and its FileDescriptorName=. */
#define STORE_LISTENER "!n"

#define STORE_PER_WORKER 3
#define STORE_OWN        3 /* ledger, settings, and those of a reload */

/* The control socket: FileDescriptorName= in acceptd-control@.socket */
#define STORE_CONTROL "acceptd-control"

/* Writes the name of a descriptor into `text`, with room for STORE_NAME_MAX. */
const char *store_name(char *text, enum store_kind kind, uint64_t number);

/* The same as versions before 0.2 had it: "acceptd-channel-7", where a worker's is by its number.
 * Sockets keep such a name for as long as they live: see store_forget_old_worker(). */
const char *store_name_old(char *text, enum store_kind kind, uint64_t number);

/* Returns what a name says, if it is exactly one of those above. */
struct store_entry {
        enum store_kind kind;
        bool is_old;
        uint64_t number;
};
struct store_entry store_read_name(const char *name);

/* Returns how many bytes of the environment the names of `n_workers` take, whose rows are below
 * `n_rows`, with what else is stored; and the limit of that. */
size_t store_count_bytes(uint64_t n_workers, uint64_t n_rows);
#define STORE_BYTES_MAX ((size_t)131072 - sizeof("LISTEN_FDNAMES="))

/* Returns how many descriptors the unit's store takes ($FDSTORE), or 0 where there is none: then
 * the functions below do nothing. */
unsigned long store_get_size(void);

/* The descriptor is lent until it is removed. Returns 0, or a ticket for store_is_done_with(): the
 * service manager had no room for it, and gets it later. */
uint64_t store_add(enum store_kind kind, uint64_t number, int fd);
void store_give(enum store_kind kind, uint64_t number, int fd_consume);
void store_remove(enum store_kind kind, uint64_t number);
void store_remove_name(const char *name);

/* Of its name in the store. A longer name cannot be stored: FDNAME_MAX of systemd. */
#define STORE_FDNAME_MAX 255

/* Returns whether the name is short enough. Listeners of one name are removed together. */
bool store_listener(const char *name, int fd);
void store_forget_listener(const char *name);

/* Returns as store_add() does, for all three. */
uint64_t store_worker(uint32_t row, int pidfd, int channel_fd, int queue_fd);

/* True where the service manager has it, or takes nothing at all: then nobody should wait for it,
 * since without that one nobody starts the next dispatcher either. */
bool store_is_done_with(uint64_t ticket);
void store_forget_worker(uint32_t row);

/* For one that came with its old names. It cannot be stored under new ones meanwhile: systemd
 * refuses a second copy of the same socket, and between taking the old one out and putting the new
 * one in, a crash would lose it. */
void store_forget_old_worker(uint64_t number);
