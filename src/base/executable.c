/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Looking for programs. It must not know what they are for.
 */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/executable.h"

int executable_check(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EACCES; /* as execve(2) says it */

        return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Returns 0 with the path in *ret, -ENOMEM, or what executable_check() has against it. */
static int try(const char *name, const char *folder, size_t length, char **ret)
{
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%.*s/%s", (int)length, folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }

        r = executable_check(path);
        if (r == 0)
                *ret = TAKE_PTR(path);
        return r;
}

static int find_in(const char *name, const char *folders, char **ret)
{
        int trouble = -ENOENT;

        for (const char *folder = folders; *folder;) {
                size_t length = strcspn(folder, ":");
                int r = length > 0 ? try(name, folder, length, ret) : -ENOENT;

                if (r == 0 || r == -ENOMEM)
                        return r;
                if (trouble == -ENOENT && r != -ENOTDIR)
                        trouble = r;
                folder += length + (folder[length] == ':');
        }

        return trouble;
}

int executable_find(const char *name, const char *folders, char **ret)
{
        char *path;
        int r;

        if (!strchr(name, '/'))
                return *name ? find_in(name, folders, ret) : -ENOENT;

        r = executable_check(name);
        if (r < 0)
                return r;
        path = strdup(name);
        if (!path)
                return -ENOMEM;

        *ret = path;
        return 0;
}
