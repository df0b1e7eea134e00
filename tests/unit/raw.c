/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Datagrams as they are. Called by test-wire*.c, test-channel.c and test-kernel*.c;
 * worker-fixture.c makes its records here.
 */

#include "raw.h"
#include "base/fd.h"

int raw_send(int channel, const void *data, size_t n, int fd, size_t n_fds)
{
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE((RAW_FDS_MAX + 1) * sizeof(int))];
        } control = { .header = {
                              .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
                      } };
        struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = n };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        assert_true(n_fds <= RAW_FDS_MAX + 1);
        for (size_t i = 0; i < n_fds; i++)
                memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &fd, sizeof(int));
        if (n_fds > 0) {
                msg.msg_control = &control;
                msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        }

        return sendmsg(channel, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

struct raw_message raw_receive(int channel, void *data, size_t size, size_t room)
{
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(RAW_FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = data, .iov_len = size };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = room > 0 ? &control : NULL,
                .msg_controllen = room,
        };
        struct raw_message m = {};
        struct cmsghdr *c;

        assert_true(room <= sizeof(control));
        m.n = recvmsg(channel, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (m.n < 0) {
                m.n = -errno;
                return m;
        }

        m.flags = msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC);
        c = room > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
        if (c && c->cmsg_type == SCM_RIGHTS) {
                m.n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(m.fds, CMSG_DATA(c), m.n_fds * sizeof(int));
        }

        return m;
}

void raw_close(struct raw_message *message)
{
        while (message->n_fds > 0)
                fd_close(message->fds[--message->n_fds]);
}

struct record raw_record(uint8_t type, uint32_t value, uint64_t id)
{
        return (struct record){ .version = RECORD_VERSION, .type = type, .value = value, .id = id };
}

size_t raw_fill(int channel, int fd)
{
        size_t n = 0;
        int r;

        while ((r = raw_send(channel, "x", 1, fd, 1)) == 0)
                n++;
        assert_int_equal(r, -EAGAIN);

        return n;
}
