/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * Programs by their names: where they are, and whether they can be executed.
 */

/* Where systemd looks for a program whose name has no slash: systemd.exec(5), "ExecSearchPath=". */
#define EXECUTABLE_SEARCH_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Whether `path` is a file that this process may execute. Returns 0, or -errno: -ENOENT, -EACCES
 * and so on, -EISDIR for a folder. What the file has in it is seen only when it is executed. */
int executable_check(const char *path);

/*
 * Finds a program: a `name` with a slash is its path; any other is looked for in `folders`, which
 * are separated by colons. Returns 0, or -errno of executable_check(): of the first file of that
 * name that cannot be executed, and -ENOENT where there is none. *ret is the caller's, to be freed.
 */
int executable_find(const char *name, const char *folders, char **ret);
