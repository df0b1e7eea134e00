/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The receiving end of sd_notify(3): a datagram socket on which the kernel says who has sent each
 * message. It must not know what the messages mean, nor who may send them.
 *
 * It has an abstract name, so that it needs no folder that can be written, and is gone with its
 * owner. That any process of this network namespace can send to it is no more than with the service
 * manager's own, and the sender is known.
 */

#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "workers/notify-socket.h"

#define FDS_MAX 253 /* SCM_MAX_FD: unix(7) */

int notify_socket_open(char name[static NOTIFY_SOCKET_NAME_MAX])
{
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t length = sizeof(address);
        const int on = 1;
        size_t n;

        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
                bind(fd, (struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
                getsockname(fd, (struct sockaddr *)&address, &length) < 0)
                return -errno;

        n = length - offsetof(struct sockaddr_un, sun_path);
        if (n < 2 || n >= NOTIFY_SOCKET_NAME_MAX)
                return -EADDRNOTAVAIL;
        memcpy(name, address.sun_path, n);
        name[0] = '@';
        name[n] = '\0';
        return TAKE_FD(fd);
}

static void take_control(struct msghdr *message, struct notification *ret)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                if (c->cmsg_level != SOL_SOCKET)
                        continue;
                if (c->cmsg_type == SCM_CREDENTIALS) {
                        struct ucred credentials;

                        memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
                        ret->sender = credentials.pid;
                } else if (c->cmsg_type == SCM_RIGHTS) {
                        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                        for (size_t i = 0; i < n; i++) {
                                int fd;

                                memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                                fd_close(fd);
                        }
                        ret->n_fds += n;
                }
        }
}

int notify_socket_receive(int fd, struct notification *ret)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = ret->text, .iov_len = NOTIFY_TEXT_MAX };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;

        ret->sender = 0;
        ret->n_fds = 0;
        take_control(&message, ret);
        ret->text[n] = '\0';
        /* a 0 at the end is as good as none: sd_notify(3) */
        if (message.msg_flags & MSG_TRUNC || ret->sender <= 0 || (size_t)n > strlen(ret->text) + 1)
                ret->text[0] = '\0';

        return 1;
}
