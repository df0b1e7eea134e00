/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Datagrams of the worker protocol on a SOCK_SEQPACKET channel, with and without a descriptor.
 * It knows neither workers nor connections.
 * The kernel's habits that it relies on are tests in tests/unit/test-kernel.c.
 */

#include <assert.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "wire/wire.h"

static int send_error(void)
{
        switch (errno) {
        case EAGAIN:
        case ETOOMANYREFS: /* descriptors in flight, counted over all processes of the user */
        case ENOBUFS:
        case ENOMEM:
        case EINTR:
                return WIRE_FULL;
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN:
        case EPERM: /* it set SO_PASSRIGHTS to 0: socket(7) */
                return WIRE_GONE;
        default:
                return -errno;
        }
}

int wire_send(int channel, const struct record *record, int fd)
{
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = (void *)(uintptr_t)record, .iov_len = sizeof(*record) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                control.header = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                };
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
                msg.msg_control = &control;
                msg.msg_controllen = CMSG_LEN(sizeof(int));
        }

        if (sendmsg(channel, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return send_error();

        return 0;
}

int wire_send_batch(int channel, const struct record *records, size_t n)
{
        assert(n > 0 && n <= RECORD_BATCH_MAX);

        if (send(channel, records, n * sizeof(*records), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return send_error();

        return 0;
}

static int receive_error(void)
{
        switch (errno) {
        case EAGAIN:
        case EINTR:
                return WIRE_EMPTY;
        case ECONNRESET: /* the other end closed with unread data; end of file comes next */
                return WIRE_END;
        default:
                return -errno;
        }
}

/* Closes what came but the first descriptor, which it returns, or -1. */
static int take_first_fd(struct msghdr *msg, size_t *ret_n)
{
        int first = -1;
        size_t total = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;

                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (total++ == 0)
                                first = fd;
                        else
                                fd_close(fd);
                }
        }

        *ret_n = total;
        return first;
}

int wire_receive(
        int channel, bool wait, struct record *ret_record, int *ret_fd, const char **ret_why)
{
        union {
                struct cmsghdr header;
                /* room for two: alignment. What else comes is closed by the kernel, with
                 * MSG_CTRUNC. */
                uint8_t space[CMSG_SPACE(sizeof(int))];
        } control;
        struct record record;
        struct iovec iov = { .iov_base = &record, .iov_len = sizeof(record) };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        _cleanup_(fd_closep) int fd = -1;
        size_t n_fds, n_wanted;
        ssize_t n;

        do
                n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
        while (n < 0 && errno == EINTR && wait);
        if (n < 0)
                return receive_error();

        fd = take_first_fd(&msg, &n_fds);
        if (n == 0 && n_fds == 0 && !(msg.msg_flags & MSG_CTRUNC))
                return WIRE_END;

        if (n != sizeof(record) || msg.msg_flags & MSG_TRUNC) {
                *ret_why = "wrong length (allowed: one record of 16 bytes)";
                return WIRE_MALFORMED;
        }
        *ret_why = record_check_to_worker(&record);
        if (*ret_why)
                return WIRE_MALFORMED;

        n_wanted = record.type == RECORD_CONNECTION || record.type == RECORD_FINISHED;
        if (n_wanted == 1 && n_fds == 0 && msg.msg_flags & MSG_CTRUNC) {
                *ret_record = record;
                return WIRE_FD_LOST;
        }
        if (n_fds != n_wanted || msg.msg_flags & MSG_CTRUNC) {
                *ret_why = n_wanted == 1 ? "a record without exactly one descriptor"
                                         : "a descriptor that does not belong to this record";
                return WIRE_MALFORMED;
        }

        *ret_record = record;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Returns what is wrong with a datagram of `n` bytes, or NULL. */
static const char *check_datagram(const struct record *records, size_t n, int flags)
{
        /* Without a control buffer the kernel closes what a hostile worker passes, and says
         * MSG_CTRUNC: unix(7). */
        if (flags & MSG_CTRUNC)
                return "a descriptor (allowed: none)";
        if (flags & MSG_TRUNC || n % sizeof(*records) != 0)
                return "wrong length (allowed: 1 to 64 records of 16 bytes)";

        for (size_t i = 0; i < n / sizeof(*records); i++) {
                const char *why = record_check_to_dispatcher(&records[i]);

                if (why)
                        return why;
        }

        return NULL;
}

static int receive_batch(int channel, int flags, struct wire_batch *batch)
{
        struct iovec iov = {
                .iov_base = batch->records,
                .iov_len = sizeof(batch->records),
        };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        batch->n_records = 0;
        n = recvmsg(channel, &msg, MSG_DONTWAIT | flags);
        if (n < 0)
                return receive_error();

        batch->why = check_datagram(batch->records, (size_t)n, msg.msg_flags);
        if (batch->why)
                return WIRE_MALFORMED;
        if (n == 0)
                return WIRE_END;

        batch->n_records = (size_t)n / sizeof(struct record);
        return 0;
}

int wire_receive_batch(int channel, struct wire_batch *batch)
{
        return receive_batch(channel, 0, batch);
}

int wire_peek_batch(int channel, struct wire_batch *batch)
{
        return receive_batch(channel, MSG_PEEK, batch);
}

void wire_drop_batch(int channel)
{
        uint8_t byte;

        (void)recv(channel, &byte, sizeof(byte), MSG_DONTWAIT); /* the rest goes with it: recv(2) */
}
