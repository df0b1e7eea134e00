/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "settings/settings.h"

/* Says of each setting whether it differs. Returns 0 or -ENOMEM. */
int settings_compare(
        const struct settings *a, const struct settings *b, bool ret_differ[static SETTING_COUNT]);

/* The name of the key, by enum setting, without `=`. */
const char *settings_key(size_t setting);
