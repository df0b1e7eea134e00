/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "settings/settings.h"

/*
 * Where the workers' program is: Command= is a path, or the name of a bundled worker or of any
 * other program.
 */

#define COMMAND_ECHO "acceptd-echo"

/* Returns the path of a program that comes with this one, for the caller to free, or NULL without
 * memory. */
char *command_find_bundled(const char *name);

/* Replaces a name in Command= by the path of what has it. Returns as the functions of settings.h
 * do: -ENOENT and so on with a message that says where it was looked for. */
int command_resolve(struct settings *settings, char **ret_message);

/* Looks whether Command= can be executed now. Returns the same. */
int command_check(const struct settings *settings, char **ret_message);
