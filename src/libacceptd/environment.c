/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the process was started with, as far as it makes a worker: variables and limits. It knows
 * no channel and no connections.
 */

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "libacceptd/environment.h"

/* Descriptors that READY leaves to the worker for later: a log, a name look-up, a library's. */
#define SPARE_FDS 8

/* Where /proc is missing, descriptors are counted one by one, up to this number. */
#define PROBE_MAX 65536

static int parse_channel(const char *text)
{
        char *end;
        long value;

        /* strtol also takes white space and signs */
        if (*text < '0' || *text > '9')
                return -EBADF;

        errno = 0;
        value = strtol(text, &end, 10);
        if (errno != 0 || *end != '\0' || value > INT_MAX)
                return -EBADF;

        return (int)value;
}

int environment_check_channel(int fd)
{
        int domain, type;
        socklen_t length = sizeof(int);

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0)
                return errno == EBADF ? -EBADF : -EPROTOTYPE;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0)
                return -errno;

        return domain == AF_UNIX && type == SOCK_SEQPACKET ? 0 : -EPROTOTYPE;
}

int environment_get_channel(void)
{
        const char *variable = getenv("ACCEPTD_CHANNEL");
        int fd, r;

        if (!variable)
                return -ENXIO;

        fd = parse_channel(variable);
        if (fd < 0)
                return fd;

        r = environment_check_channel(fd);
        return r < 0 ? r : fd;
}

int environment_split_names(const char *text, char **ret_names, unsigned *ret_n)
{
        char *names = NULL;
        unsigned n = 0;

        if (text && *text != '\0') {
                names = strdup(text);
                if (!names)
                        return -ENOMEM;

                n = 1;
                for (char *colon = names; (colon = strchr(colon, ':')); n++)
                        *colon++ = '\0';
        }

        *ret_names = names;
        *ret_n = n;
        return 0;
}

uint64_t environment_get_number(const char *name)
{
        const char *variable = getenv(name) ?: "";
        unsigned long long number;
        char *end;

        /* strtoull also takes white space and signs */
        if (*variable < '0' || *variable > '9')
                return 0;

        errno = 0;
        number = strtoull(variable, &end, 10);
        return errno == 0 && *end == '\0' ? number : 0;
}

/* Returns how many descriptors are open below `limit`, or more. */
static rlim_t count_fds(rlim_t limit)
{
        int n = fd_count();

        if (n < 0) {
                n = 0;
                for (int fd = 0; fd < (int)MIN(limit, (rlim_t)PROBE_MAX); fd++)
                        if (fcntl(fd, F_GETFD) >= 0)
                                n++;
        }

        return (rlim_t)n;
}

int environment_lower_capacity(unsigned capacity, unsigned n_held)
{
        unsigned bounded = MIN(capacity, (unsigned)INT_MAX);
        struct rlimit limit;
        rlim_t used;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        if (limit.rlim_cur == RLIM_INFINITY)
                return (int)bounded;

        /* what is held is part of the capacity */
        used = count_fds(limit.rlim_cur) + SPARE_FDS;
        used -= MIN(used, (rlim_t)n_held);
        if (used >= limit.rlim_cur)
                return -EMFILE;

        return (int)MIN((rlim_t)bounded, limit.rlim_cur - used);
}
