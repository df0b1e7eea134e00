/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "leaks.h"
#include "settings/settings.h"

/* Settings as a user writes and reads them. */

/* What --check prints; the caller frees it. */
char *settings_text(const struct settings *s);

/* "Key=Value", which is right; its source is "-o". */
void settings_must_assign(struct settings *s, const char *assignment);
