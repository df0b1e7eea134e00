/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The way to the service manager's socket, and a message on it. It must not know what any of them
 * means, or which may be dropped.
 *
 * The socket is connected once, so that there is one also when this process is out of descriptors.
 */

#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/manager-socket.h"

static int socket_fd = -1; /* connected; -1: nobody is there */

/* $NOTIFY_SOCKET is a path or an abstract name. Returns the length of its address, or 0. */
static socklen_t make_address(struct sockaddr_un *ret_address)
{
        const char *path = getenv("NOTIFY_SOCKET");
        size_t n = path ? strlen(path) : 0;

        *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (n < 2 || n >= sizeof(ret_address->sun_path) || (path[0] != '/' && path[0] != '@'))
                return 0;

        memcpy(ret_address->sun_path, path, n);
        if (path[0] == '@')
                ret_address->sun_path[0] = '\0';
        else
                n++;
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

int manager_socket_open(void)
{
        _cleanup_(fd_closep) int fd = -1;
        struct sockaddr_un address;
        socklen_t size = make_address(&address);

        socket_fd = fd_close(socket_fd);
        if (size == 0)
                return 0;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        /* What the other side has not read counts here, too. The system's limit cuts this. */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ 8 << 20 }, sizeof(int));
        if (connect(fd, (const struct sockaddr *)&address, size) == 0)
                socket_fd = TAKE_FD(fd);

        return 0;
}

bool manager_socket_is_there(void)
{
        return socket_fd >= 0 || (manager_socket_open() >= 0 && socket_fd >= 0);
}

/* Returns 0 or -errno. */
static int send_once(const char *text, int fd)
{
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                control.header = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                };
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
                msg.msg_control = &control;
                msg.msg_controllen = sizeof(control);
        }

        return sendmsg(socket_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

bool manager_socket_send(const char *text, int fd)
{
        int r = send_once(text, fd);

        /* the socket at the other end is another one now */
        if ((r == -ECONNREFUSED || r == -ECONNRESET || r == -ENOTCONN) &&
                manager_socket_open() >= 0 && socket_fd >= 0)
                r = send_once(text, fd);

        /* the last one: too many descriptors of this user in flight, unix(7) */
        return r != -EAGAIN && r != -ENOBUFS && r != -ENOMEM && r != -ETOOMANYREFS;
}
