/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Passes a listening socket to a program, as a service manager does: descriptor 3, $LISTEN_FDS.
 * A socket on all addresses of the loopback device, and on no other.
 *
 *         listen PORT PROGRAM [ARGUMENT...]
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"

#define BACKLOG 4096
#define FIRST   3

static int open_listener(uint16_t port)
{
        _cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
        int one = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
                setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")) < 0 ||
                bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
                listen(fd, BACKLOG) < 0)
                return -errno;

        return TAKE_FD(fd);
}

static int fail(const char *what)
{
        perror(what);
        return EX_OSERR;
}

int main(int argc, char **argv)
{
        struct rlimit limit;
        char pid[16];
        int fd;

        if (argc < 3) {
                fprintf(stderr, "listen PORT PROGRAM [ARGUMENT...]\n");
                return EX_USAGE;
        }

        fd = open_listener((uint16_t)strtoul(argv[1], NULL, 10));
        if (fd < 0) {
                errno = -fd;
                return fail("listen");
        }
        if (fd != FIRST && dup2(fd, FIRST) < 0)
                return fail("listen");
        if (fd == FIRST && fd_set_cloexec(FIRST, false) < 0)
                return fail("listen");

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        (void)snprintf(pid, sizeof(pid), "%d", getpid());
        (void)setenv("LISTEN_FDS", "1", true);
        (void)setenv("LISTEN_PID", pid, true);
        (void)setenv("LISTEN_FDNAMES", "bench", true);
        (void)execvp(argv[2], argv + 2);
        return fail(argv[2]);
}
