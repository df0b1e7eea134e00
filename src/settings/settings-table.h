/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "settings/settings-types.h"
#include "settings/settings.h"

/*
 * One row for each key. A new key is a field in struct settings, a name in enum setting and a row
 * in settings-table.c.
 */

#define WORKERS_LIMIT 4096u

/* By enum setting. */
extern const struct settings_row settings_table[SETTING_COUNT];
