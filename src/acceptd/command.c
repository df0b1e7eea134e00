/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Finds workers' programs. It must not know what they do, nor when they are started.
 */

#include <libgen.h>
#include <limits.h>
#include <unistd.h>

#include "acceptd/command.h"
#include "base/executable.h"

/* The folder of the bundled programs, of `name` for one: beside this program where that was not
 * installed. */
static const char *find_folder(const char *name, char buffer[static PATH_MAX])
{
        _cleanup_(freep) char *found = NULL;
        ssize_t n = readlink("/proc/self/exe", buffer, PATH_MAX - 1);
        const char *folder;

        if (n <= 0)
                return ACCEPTD_LIBEXECDIR;

        buffer[n] = '\0';
        folder = dirname(buffer);
        if (executable_find(name, folder, &found) < 0)
                return ACCEPTD_LIBEXECDIR;

        return folder;
}

char *command_find_bundled(const char *name)
{
        char buffer[PATH_MAX], *path;

        return asprintf(&path, "%s/%s", find_folder(name, buffer), name) < 0 ? NULL : path;
}

int command_resolve(struct settings *s, char **ret_message)
{
        _cleanup_(freep) char *folders = NULL;
        char buffer[PATH_MAX], *path;
        int r;

        if (!s->command || strchr(s->command[0], '/'))
                return 0;

        if (asprintf(&folders, "%s:" EXECUTABLE_SEARCH_PATH, find_folder(COMMAND_ECHO, buffer)) <
                0) {
                folders = NULL;
                return -ENOMEM;
        }
        r = executable_find(s->command[0], folders, &path);
        if (r >= 0) {
                free(s->command[0]);
                s->command[0] = path;
                return 0;
        }

        if (r != -ENOMEM && asprintf(ret_message, "Command=%s: %s; looked for in %s", s->command[0],
                                    strerror(-r), folders) < 0)
                return -ENOMEM;
        return r;
}

int command_check(const struct settings *s, char **ret_message)
{
        int r = s->command ? executable_check(s->command[0]) : 0;

        if (r < 0 && asprintf(ret_message, "%s: Command=%s: %s", s->sources[SETTING_COMMAND],
                             s->command[0], strerror(-r)) < 0)
                return -ENOMEM;

        return r;
}
