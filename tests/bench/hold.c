/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Opens connections to an echo service, sees one byte come back on each, and holds them without a
 * word until it is told to end.
 *
 *         hold ADDRESS PORT NUMBER
 *
 * Prints `held NUMBER` when they are there; ends at SIGTERM.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"

#define ADDRESSES   100 /* from ADDRESS up, so that ports do not run out */
#define AT_ONCE     100
#define ANSWER_MSEC 10000

static int open_one(struct sockaddr_in to, unsigned i)
{
        _cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        to.sin_addr.s_addr = htonl(ntohl(to.sin_addr.s_addr) + i % ADDRESSES);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ||
                send(fd, "x", 1, MSG_NOSIGNAL) != 1)
                return -errno;

        return TAKE_FD(fd);
}

static int await_answer(int fd)
{
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };
        char c;

        if (poll(&pollfd, 1, ANSWER_MSEC) != 1)
                return -ETIMEDOUT;
        return recv(fd, &c, 1, 0) == 1 ? 0 : -ECONNRESET;
}

/* Some at once, so that it does not take a round trip for each. They are never closed but by the
 * end of the process. */
static int hold(const struct sockaddr_in *to, unsigned n)
{
        int fds[AT_ONCE], r;

        for (unsigned done = 0; done < n;) {
                unsigned k = MIN(n - done, (unsigned)AT_ONCE);

                for (unsigned i = 0; i < k; i++) {
                        fds[i] = open_one(*to, done + i);
                        if (fds[i] < 0)
                                return fds[i];
                }
                for (unsigned i = 0; i < k; i++) {
                        r = await_answer(fds[i]);
                        if (r < 0)
                                return r;
                }
                done += k;
        }

        return 0;
}

int main(int argc, char **argv)
{
        struct sockaddr_in to = { .sin_family = AF_INET };
        struct rlimit limit;
        int r;

        if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
                fprintf(stderr, "hold ADDRESS PORT NUMBER\n");
                return EX_USAGE;
        }
        to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }

        r = hold(&to, (unsigned)strtoul(argv[3], NULL, 10));
        if (r < 0) {
                fprintf(stderr, "hold: %s\n", strerror(-r));
                return EX_UNAVAILABLE;
        }
        printf("held %s\n", argv[3]);
        (void)fflush(stdout);
        return pause();
}
