/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the kernel tells of a peer. Knows nothing of what is made of it.
 */

#include <linux/vm_sockets.h>
#include <netinet/in.h>

#include "os/peer.h"

/* SO_PEERCRED is that of connect(), and stays when the process is gone: unix(7). A user whom the
 * service's namespace does not have is the overflow user. */
static struct source get_user(int fd)
{
        struct ucred peer;
        socklen_t len = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return (struct source){};

        return source_make(SOURCE_UID, peer.uid);
}

struct source peer_get_source(int fd, const struct sockaddr_storage *address)
{
        union {
                struct sockaddr_storage any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_vm vm;
        } a = { .any = *address };

        switch (a.any.ss_family) {
        case AF_INET:
                return source_make(SOURCE_IPV4, ntohl(a.in.sin_addr.s_addr));
        case AF_INET6:
                return source_make_ipv6(a.in6.sin6_addr.s6_addr);
        case AF_UNIX:
                return get_user(fd);
        case AF_VSOCK:
                return source_make(SOURCE_CID, a.vm.svm_cid);
        default:
                return (struct source){};
        }
}
