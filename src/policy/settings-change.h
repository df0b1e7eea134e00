/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/settings.h"

/*
 * What a reload does with settings that were read again.
 */

enum settings_change {
        SETTING_UNCHANGED,
        SETTING_APPLIED, /* in force now */
        SETTING_PENDING, /* takes effect when the instance starts the next time */
};

/*
 * Brings what differs in `fresh` into `running`, where that needs no new worker and no other
 * memory: room for `n_slots` connections is there. Both are resolved and checked. `ret_changes` says
 * what became of each. Returns 0, or -ENOMEM with nothing changed.
 */
int settings_change(struct settings *running, struct settings *fresh, uint32_t n_slots,
        enum settings_change ret_changes[static SETTING_COUNT]);

/* The name of the key, by enum setting, without `=`. */
const char *settings_key(size_t setting);
