/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "os/inheritance.h"
#include "settings/settings.h"

/*
 * The settings in force, kept for the next dispatcher: after a crash they count, and not what the
 * files say by then.
 */

/* Reads those that were in force into `s`, which is settings_init()ed. Returns false where there
 * are none that can be used, and `s` is as before. */
bool kept_settings_load(struct settings *s, struct inheritance *inheritance);

/* Reads such a file, as the check of a reload prints one, too, into `s`, which is
 * settings_init()ed; `fd` stays the caller's. Returns 0, or -errno with one line for the caller to
 * free, or without. */
int kept_settings_read(struct settings *s, int fd, char **ret_message);

/* Returns a sealed memfd with these settings, for the caller to close, or -errno. */
int kept_settings_make(const struct settings *s);

/* Leaves these settings to the next dispatcher, should this one crash; they count from the moment
 * on in which the ledger says that this generation is in force. Returns 0 or -errno. */
int kept_settings_store(const struct settings *s, uint32_t generation);
void kept_settings_forget(uint32_t generation);

/* Has these settings stored under the generation in force: after a reload, too, if those that were
 * in force could not be read. */
void kept_settings_keep(
        const struct settings *s, uint32_t generation, struct inheritance *inheritance);
