/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who is at the other end of a connection, in words. Knows no worker.
 */

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#include "base/base.h"
#include "libacceptd/acceptd.h"

union address {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_vm vm;
        struct sockaddr_storage room;
};

#define TEXT_MAX 64

static int format_unix(int fd, char text[static TEXT_MAX])
{
        struct ucred peer;
        socklen_t length = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
                return -errno;
        return snprintf(text, TEXT_MAX, "unix:pid=%d,uid=%u", (int)peer.pid, peer.uid);
}

static int format_in(const struct in_addr *address, in_port_t port, char text[static TEXT_MAX])
{
        char name[INET_ADDRSTRLEN];

        (void)inet_ntop(AF_INET, address, name, sizeof(name));
        return snprintf(text, TEXT_MAX, "%s:%u", name, ntohs(port));
}

/* An IPv4 client of a socket for both is written as one. */
static int format_in6(const struct sockaddr_in6 *in6, char text[static TEXT_MAX])
{
        char name[INET6_ADDRSTRLEN];
        struct in_addr mapped;

        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
                memcpy(&mapped, &in6->sin6_addr.s6_addr[12], sizeof(mapped));
                return format_in(&mapped, in6->sin6_port, text);
        }

        (void)inet_ntop(AF_INET6, &in6->sin6_addr, name, sizeof(name));
        return snprintf(text, TEXT_MAX, "[%s]:%u", name, ntohs(in6->sin6_port));
}

int acceptd_connection_get_peer(const struct acceptd_connection *c, char *ret, size_t size)
{
        union address address = {};
        socklen_t length = sizeof(address);
        char text[TEXT_MAX];
        int n;

        if (getpeername(c->fd, &address.any, &length) < 0)
                return -errno;

        switch (address.any.sa_family) {
        case AF_INET:
                n = format_in(&address.in.sin_addr, address.in.sin_port, text);
                break;
        case AF_INET6:
                n = format_in6(&address.in6, text);
                break;
        case AF_UNIX:
                n = format_unix(c->fd, text);
                break;
        case AF_VSOCK:
                n = snprintf(
                        text, sizeof(text), "vsock:%u:%u", address.vm.svm_cid, address.vm.svm_port);
                break;
        default:
                n = snprintf(text, sizeof(text), "family:%d", address.any.sa_family);
        }
        if (n < 0)
                return n;
        if ((size_t)n >= size)
                return -ENOSPC;

        memcpy(ret, text, (size_t)n + 1);
        return n;
}
