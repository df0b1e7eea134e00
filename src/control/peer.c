/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who asks on the control socket. Its file's mode is one fence, which the kernel has seen to in
 * connect(); this is the other one, and does not rely on it: a drop-in with a wrong SocketMode=
 * must not open the pool to everybody.
 */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/peer.h"

/* Beyond these, further groups of a peer do not count. */
#define GROUPS_MAX 256

/* Returns the group of the socket's file, or 0 where there is none but root's. The folder is
 * root's, so the path leads to what the service manager has bound. */
static gid_t get_group(int listening_fd)
{
        struct sockaddr_un address = {};
        socklen_t len = sizeof(address) - 1; /* so it ends with a 0 */
        struct stat st;

        if (getsockname(listening_fd, (struct sockaddr *)&address, &len) < 0 ||
                address.sun_path[0] != '/' || lstat(address.sun_path, &st) < 0 ||
                !S_ISSOCK(st.st_mode) || !(st.st_mode & S_IWGRP))
                return 0;

        return st.st_gid;
}

static bool is_member(int fd, gid_t primary, gid_t group)
{
        gid_t groups[GROUPS_MAX];
        socklen_t len = sizeof(groups);

        if (primary == group)
                return true;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
                return false;

        for (size_t i = 0; i < len / sizeof(groups[0]); i++)
                if (groups[i] == group)
                        return true;

        return false;
}

static enum peer_right get_right(int fd, int listening_fd)
{
        struct ucred peer;
        socklen_t len = sizeof(peer);
        gid_t group;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return PEER_STRANGER;
        if (peer.uid == 0)
                return PEER_STEERS;
        /* The dispatcher's own user is that of the workers, which have no business here. */
        if (peer.uid == geteuid())
                return PEER_STRANGER;

        group = get_group(listening_fd);
        return group != 0 && is_member(fd, peer.gid, group) ? PEER_LOOKS : PEER_STRANGER;
}

int peer_accept(int listening_fd, int *spare_fd, enum peer_right *ret_right)
{
        int fd = accept4(listening_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
                *spare_fd = fd_close(*spare_fd);
                fd = accept4(listening_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        }
        if (fd < 0)
                return -errno;

        *ret_right = get_right(fd, listening_fd);
        return fd;
}
