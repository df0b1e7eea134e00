/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Channels to workers. It must not know of pools and processes.
 */

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/channel.h"

#ifndef SO_PASSPIDFD /* Linux 6.5 */
#define SO_PASSPIDFD 76
#endif

int channel_open(struct channel *channel)
{
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;

        *channel = (struct channel){ .fd = fds[0], .queue_fd = fds[1] };
        return 0;
}

void channel_close(struct channel *channel)
{
        channel->fd = fd_close(channel->fd);
        channel->queue_fd = fd_close(channel->queue_fd);
        if (channel->finished)
                (void)munmap((void *)(uintptr_t)channel->finished, sizeof(*channel->finished));
        channel->finished = NULL;
}

int channel_send_connection(struct channel *channel, uint64_t id, uint16_t listener,
        uint32_t accepted_at, int connection)
{
        struct record record = {
                .version = RECORD_VERSION,
                .type = RECORD_CONNECTION,
                .listener = listener,
                .value = accepted_at,
                .id = id,
        };

        return wire_send(channel->fd, &record, connection);
}

int channel_ask(struct channel *channel, enum record_type question, uint32_t value)
{
        struct record record = {
                .version = RECORD_VERSION,
                .type = (uint8_t)question,
                .value = value,
        };

        return wire_send(channel->fd, &record, -1);
}

int channel_tell_drain(struct channel *channel, enum record_drain reason, usec_t deadline)
{
        struct record record = {
                .version = RECORD_VERSION,
                .type = RECORD_DRAIN,
                .value = (uint32_t)reason,
                .id = deadline,
        };

        return wire_send(channel->fd, &record, -1);
}

int channel_share_finished(struct channel *channel)
{
        _cleanup_(fd_closep) int fd =
                memfd_create("acceptd-finished", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct record record = { .version = RECORD_VERSION, .type = RECORD_FINISHED };
        void *p;
        int r;

        /* The size is fixed, so that the worker cannot make reading it a signal: SIGBUS. */
        if (fd < 0 || ftruncate(fd, sizeof(struct finished)) < 0 ||
                fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        p = mmap(NULL, sizeof(struct finished), PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;

        r = wire_send(channel->fd, &record, fd);
        if (r != 0)
                (void)munmap(p, sizeof(struct finished));
        else
                channel->finished = p;
        return r;
}

void channel_shutdown(struct channel *channel)
{
        (void)shutdown(channel->fd, SHUT_WR); /* cannot fail on a connected socket */
}

uint32_t channel_count_queued(const struct channel *channel)
{
        int queued;

        if (ioctl(channel->queue_fd, SIOCINQ, &queued) < 0)
                return 0;

        return (uint32_t)queued / sizeof(struct record);
}

void channel_reclaim(struct channel *channel)
{
        /* Each has the kernel put something of its own into the control buffer, which is as large
         * as one descriptor needs: unix(7), socket(7). */
        static const int options[] = { SO_PASSCRED, SO_PASSSEC, SO_TIMESTAMP, SO_TIMESTAMPNS,
                SO_TIMESTAMPING, SO_PASSPIDFD };
        int off = 0;

        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                (void)setsockopt(channel->queue_fd, SOL_SOCKET, options[i], &off, sizeof(off));
}

/* A connection that is received at the descriptor limit is destroyed by the kernel without an
 * error (unix(7), BUGS), so make sure of a descriptor first. Nobody else in this process can take
 * it before it is needed. */
static int check_spare_fd(int fd)
{
        int spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        if (spare < 0)
                return -errno;

        fd_close(spare);
        return 0;
}

int channel_take_back(struct channel *channel, uint64_t *ret_id, int *ret_fd, bool *ret_dropped)
{
        *ret_dropped = false;
        for (;;) {
                _cleanup_(fd_closep) int fd = -1;
                struct record record;
                const char *why;
                int r;

                r = check_spare_fd(channel->queue_fd);
                if (r < 0)
                        return r;

                r = wire_receive(channel->queue_fd, false, &record, &fd, &why);
                if (r < 0)
                        return r;
                if (r == WIRE_EMPTY || r == WIRE_END)
                        return WIRE_EMPTY;

                /* All that is in there was sent by this program, so nothing is malformed. */
                if ((r == 0 || r == WIRE_FD_LOST) && record.type == RECORD_CONNECTION) {
                        *ret_id = record.id;
                        *ret_fd = TAKE_FD(fd);
                        return 0;
                }
                if (r != 0 || (record.type != RECORD_DRAIN && record.type != RECORD_FINISHED))
                        *ret_dropped = true;
        }
}
