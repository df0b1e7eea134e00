/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "settings/settings.h"

/* Reads the settings file `path`, then its drop-ins *.conf in `path`.d, in the order of their
 * names, into `s`. Returns 0, or -errno and in `ret_message` one line that names the file and,
 * where there is one, the line (NULL when memory ran out; the caller frees it). `s` may then be
 * half set. */
int settings_file_read(struct settings *s, const char *path, char **ret_message);

/* Reads what OverloadReply= names, where it is set and its contents are not. Returns the same. */
int settings_file_read_reply(struct settings *s, char **ret_message);
