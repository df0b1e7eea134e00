/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * What a dispatcher leaves to the next one, by name: in the service manager's descriptor store, for
 * after a crash.
 */

#define STORE_PREFIX "acceptd-"
#define STORE_LEDGER "acceptd-ledger"

/* With a hyphen and the number of the generation whose settings they are. The ledger says which one
 * is in force: a reload adds the next before that, and removes the last after it. */
#define STORE_SETTINGS "acceptd-settings"

/* Each worker has three: what, a hyphen, its number. */
#define STORE_CHANNEL  "acceptd-channel"
#define STORE_QUEUE    "acceptd-queue"
#define STORE_PIDFD    "acceptd-pidfd"
#define STORE_NAME_MAX 48

#define STORE_PER_WORKER 3
#define STORE_OWN        3 /* ledger, settings, and those of a reload */

/* What goes to the next image of this program at a reload, and never into the service manager's
 * store: a connection in hand (and its id), the caller that asked for it. */
#define STORE_IN_HAND "acceptd-hand"
#define STORE_CALLER  "acceptd-caller"

/* The control socket: FileDescriptorName= in acceptd-control@.socket */
#define STORE_CONTROL "acceptd-control"

/* Returns how many descriptors the unit's store takes ($FDSTORE), or 0 where there is none: then
 * the functions below do nothing. */
unsigned long store_get_size(void);

void store_add(const char *name, int fd);
void store_remove(const char *name);

void store_worker(uint64_t number, int pidfd, int channel_fd, int queue_fd);
void store_forget_worker(uint64_t number);

/* Writes the name of a descriptor into `text`, with room for STORE_NAME_MAX. */
const char *store_name(char *text, const char *what, uint64_t number);
