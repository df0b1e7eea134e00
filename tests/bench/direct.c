/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What acceptd is compared with: the echo of acceptd-echo, and nothing of acceptd.
 *
 *         direct accept N    N processes that accept by themselves from the socket that they share
 *         direct pass N      a bare loop of accept4, sendmsg with the descriptor, and close, and N
 *                            processes that receive: what passing a connection on costs at least
 *
 * The listening socket is descriptor 3: `listen`.
 */

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "wire/wire.h"
#include "workers/echo.h"

#define LISTENER      3
#define CAPACITY      8192
#define PROCESSES_MAX 1024
#define ACCEPT_MAX    32 /* in one turn, as many as acceptd-echo takes in */

struct direct {
        struct echo echo;
        int source;
        unsigned burst;
        int (*take)(int source, int *ret_fd); /* returns 0 where there is none */
};

static int on_end(void *userdata _unused_, uint64_t id _unused_, int fd_consume)
{
        fd_close(fd_consume);
        return 0;
}

static int take_accepted(int source, int *ret_fd)
{
        *ret_fd = accept4(source, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (*ret_fd >= 0)
                return 1;

        return errno == EAGAIN || errno == ECONNABORTED ? 0 : -errno;
}

static int take_passed(int source, int *ret_fd)
{
        struct record record;
        const char *why;
        int r = wire_receive(source, false, &record, ret_fd, &why);

        if (r == WIRE_END)
                exit(EX_OK);
        return r == 0 ? 1 : MIN(r, 0);
}

/* The same loop as acceptd-echo's. */
static int turn(struct direct *d)
{
        bool heard;
        int fd, r;

        r = echo_turn(&d->echo, &heard);
        if (!heard) {
                d->burst = 1;
                return r;
        }

        for (unsigned i = 0; i < d->burst && r >= 0; i++) {
                r = d->take(d->source, &fd);
                if (r <= 0)
                        return r;
                r = echo_start(&d->echo, fd, 0, false);
        }

        d->burst = MIN(d->burst * 2, (unsigned)ACCEPT_MAX);
        return r;
}

static int serve(struct direct *d)
{
        int r;

        r = echo_init(&d->echo, USEC_INFINITY, on_end, NULL, NULL);
        if (r >= 0)
                r = echo_set_capacity(&d->echo, CAPACITY);
        /* one connection wakes one process: epoll_ctl(2) */
        if (r >= 0)
                r = echo_watch_source(&d->echo, d->source, EPOLLIN | EPOLLEXCLUSIVE);
        while (r >= 0)
                r = turn(d);

        errno = -r;
        perror("direct");
        return EX_OSERR;
}

static void start(struct direct *d, int close_fd)
{
        pid_t parent = getpid(), pid = fork();

        if (pid < 0) {
                perror("direct");
                exit(EX_OSERR);
        }
        if (pid > 0)
                return;

        fd_close(close_fd);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                exit(EX_OSERR);
        exit(serve(d));
}

static void pass(unsigned n)
{
        static int channels[PROCESSES_MAX];
        struct record record = { .version = RECORD_VERSION, .type = RECORD_CONNECTION, .id = 1 };
        int pair[2];

        for (unsigned i = 0; i < n; i++) {
                struct direct d = { .burst = 1, .take = take_passed };

                if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
                        perror("direct");
                        exit(EX_OSERR);
                }
                d.source = pair[1];
                channels[i] = pair[0];
                start(&d, pair[0]);
                fd_close(pair[1]);
        }

        for (unsigned next = 0;; next = (next + 1) % n) {
                int fd = accept4(LISTENER, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0)
                        continue;
                (void)wire_send(channels[next], &record, fd);
                (void)close(fd);
        }
}

int main(int argc, char **argv)
{
        unsigned long n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

        if (n < 1 || n > PROCESSES_MAX) {
                fprintf(stderr, "direct accept|pass NUMBER\n");
                return EX_USAGE;
        }

        if (streq(argv[1], "pass")) {
                pass((unsigned)n); /* the listener is a blocking one: no second call for nothing */
        } else {
                struct direct d = { .source = LISTENER, .burst = 1, .take = take_accepted };

                if (fd_set_nonblock(LISTENER) < 0)
                        return EX_OSERR;
                for (unsigned i = 0; i < n; i++)
                        start(&d, -1);
                (void)pause();
        }
}
