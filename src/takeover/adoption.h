/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/dispatcher.h"
#include "os/inheritance.h"

/*
 * Taking over from a dispatcher before this one: its ledger, its workers, its connections.
 */

/* Opens the inherited ledger, and the pool on it; where there is none that can be used, new ones.
 * Returns 0 or -errno. */
int adoption_open_pool(struct dispatcher *d, struct inheritance *inheritance);

/* Takes over the workers of the ledger, ends what does not belong to it. Returns 0 or -errno. */
int adoption_restore(struct dispatcher *d, struct inheritance *inheritance);

/* A start after this one is a fresh one. */
void adoption_forget_ledger(const struct dispatcher *d);

/* Makes sure that this program, with these settings, can take over from the dispatcher whose
 * ledger this is. That goes on, and nothing of it changes. Returns 0 or -errno, with one line that
 * says why for the caller to free, unless it is -ENOMEM. */
int adoption_check(int ledger_fd_consume, const struct settings *settings, char **ret_message);

/* Makes sure that limits and memory allow the ledger and the pool of these settings. Returns as
 * adoption_check() does. */
int adoption_check_room(const struct settings *settings, char **ret_message);
