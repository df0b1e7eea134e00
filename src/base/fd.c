/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Helpers for descriptors. Used everywhere; knows nothing of acceptd.
 */

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"

int fd_close(int fd)
{
        if (fd >= 0) {
                int saved = errno;

                /* Linux frees the descriptor even when close() fails: close(2), NOTES. */
                (void)close(fd);
                errno = saved;
        }

        return -1;
}

int fd_set_cloexec(int fd, bool on)
{
        int flags = fcntl(fd, F_GETFD);

        if (flags < 0)
                return -errno;

        flags = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
        return fcntl(fd, F_SETFD, flags) < 0 ? -errno : 0;
}

int fd_set_nonblock(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        if (flags & O_NONBLOCK)
                return 0;

        return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int fd_open_standard(void)
{
        int fd;

        do {
                fd = open("/dev/null", O_RDWR | O_NOCTTY);
                if (fd < 0)
                        return -errno;
        } while (fd <= STDERR_FILENO);

        fd_close(fd);
        return 0;
}

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

int fd_count(void)
{
        _cleanup_(closedirp) DIR *d = opendir("/proc/self/fd");
        int n = 0;

        if (!d)
                return -errno;

        while (readdir(d))
                n++;

        /* ".", ".." and the directory's own descriptor */
        return n - 3;
}
