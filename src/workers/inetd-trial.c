/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A program that cannot even begin (a library or a file of its own is missing) exits with a status
 * that says little. What tells it from one that refuses its client is that it has never touched the
 * connection. It must not know of processes.
 */

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "workers/inetd-trial.h"

#define KEEP_USEC USEC_PER_SEC

/* TCP_ESTABLISHED of netinet/tcp.h, which has an older struct tcp_info */
#define ESTABLISHED 1

int inetd_trial_init(struct inetd_trial *t, unsigned capacity)
{
        *t = (struct inetd_trial){ .n = capacity, .until = USEC_INFINITY };
        t->kept = malloc(capacity * sizeof(*t->kept));
        if (!t->kept)
                return -ENOMEM;

        for (unsigned i = 0; i < capacity; i++)
                t->kept[i] = -1;
        return 0;
}

static bool get_info(int connection, struct tcp_info *ret)
{
        socklen_t size = sizeof(*ret);

        *ret = (struct tcp_info){};
        return getsockopt(connection, IPPROTO_TCP, TCP_INFO, ret, &size) >= 0;
}

void inetd_trial_keep(struct inetd_trial *t, unsigned place, int connection, usec_t now)
{
        struct tcp_info info;

        if (!get_info(connection, &info))
                return;

        fd_close(t->kept[place]);
        t->kept[place] = fcntl(connection, F_DUPFD_CLOEXEC, 3);
        t->until = MIN(t->until, usec_add(now, KEEP_USEC));
}

bool inetd_trial_was_in_vain(struct inetd_trial *t, unsigned place)
{
        _cleanup_(fd_closep) int connection = TAKE_FD(t->kept[place]);
        struct tcp_info info;
        int unread;

        if (connection < 0 || !get_info(connection, &info) ||
                ioctl(connection, SIOCINQ, &unread) < 0)
                return false;

        /* in another state the client has left, which may be why the program ended */
        return info.tcpi_state == ESTABLISHED && info.tcpi_bytes_sent == 0 &&
               info.tcpi_bytes_received == (uint64_t)unread;
}

void inetd_trial_enforce(struct inetd_trial *t, usec_t now)
{
        if (now < t->until || t->until == USEC_INFINITY)
                return;

        for (unsigned i = 0; i < t->n; i++)
                t->kept[i] = fd_close(t->kept[i]);
        t->until = USEC_INFINITY;
}

void inetd_trial_done(struct inetd_trial *t)
{
        inetd_trial_enforce(t, USEC_INFINITY);
        free(TAKE_PTR(t->kept));
}
