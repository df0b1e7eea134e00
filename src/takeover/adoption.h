/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/dispatcher.h"
#include "os/inheritance.h"

/*
 * Taking over from a dispatcher before this one: its ledger, its workers, its connections.
 */

/* Reads the settings that were in force into `s`, which is settings_init()ed. Returns false where
 * there are none, and `s` is as before. */
bool adoption_load_settings(struct settings *s, struct inheritance *inheritance);

/* Returns a sealed memfd with these settings, for the caller to close, or -errno. */
int adoption_make_settings(const struct settings *s);

/* Leaves these settings to the next dispatcher, should this one crash; they count from the moment
 * on in which the ledger says that this generation is in force. Returns 0 or -errno. */
int adoption_store_settings(const struct settings *s, uint32_t generation);
void adoption_forget_settings(uint32_t generation);

/* Opens the inherited ledger, and the pool on it; where there is none that can be used, new ones.
 * Returns 0 or -errno. */
int adoption_open_pool(struct dispatcher *d, struct inheritance *inheritance);

/* Takes over the workers of the ledger, ends what does not belong to it. Returns 0 or -errno. */
int adoption_restore(struct dispatcher *d, struct inheritance *inheritance);
