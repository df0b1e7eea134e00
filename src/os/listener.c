/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Listening sockets: what is one, and what accept4() says. It must not know of workers.
 */

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/listener.h"
#include "os/peer.h"

#define POLL_MAX ((size_t)64) /* at a time */

static const char *describe_file(mode_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFIFO:
                return "a FIFO";
        case S_IFREG:
                return "a regular file";
        case S_IFDIR:
                return "a directory";
        case S_IFCHR:
        case S_IFBLK:
                return "a device";
        default:
                return "not a socket";
        }
}

static int get_option(int fd, int option)
{
        int value = -1;
        socklen_t len = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

bool listener_listens(int fd)
{
        return get_option(fd, SO_ACCEPTCONN) == 1;
}

/* Returns what is wrong with it as a listener, or NULL. */
static const char *find_fault(int fd)
{
        struct stat st;
        int type;

        if (fstat(fd, &st) < 0)
                return "not open";
        if (!S_ISSOCK(st.st_mode))
                return describe_file(st.st_mode);

        type = get_option(fd, SO_TYPE);
        if (type == SOCK_DGRAM)
                return "a datagram socket";
        if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
                return "a socket of an unsuitable type";
        if (!listener_listens(fd))
                return "a socket that does not listen (a connected one: Accept=yes?)";

        switch (get_option(fd, SO_DOMAIN)) {
        case AF_INET:
        case AF_INET6:
                /* SCTP's one-to-many sockets listen, and have nothing to accept. */
                return type == SOCK_STREAM ? NULL : "an SCTP seqpacket socket";
        case AF_UNIX:
        case AF_VSOCK:
                return NULL;
        default:
                return "a socket of an unsuitable address family";
        }
}

static void format_unix(const struct sockaddr_un *address, socklen_t len, char *text)
{
        size_t n = len - offsetof(struct sockaddr_un, sun_path);
        char path[sizeof(address->sun_path) + 1] = {};

        memcpy(path, address->sun_path, MIN(n, sizeof(address->sun_path)));
        if (n > 0 && path[0] == '\0')
                path[0] = '@'; /* an abstract name */
        (void)snprintf(text, LISTENER_ADDRESS_MAX, "%s", path);
}

static void format_address(int fd, char *text)
{
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_un un;
                struct sockaddr_vm vm;
        } a = {};
        socklen_t len = sizeof(a);
        char ip[INET6_ADDRSTRLEN];

        (void)snprintf(text, LISTENER_ADDRESS_MAX, "an unknown address");
        if (getsockname(fd, &a.any, &len) < 0)
                return;

        switch (a.any.sa_family) {
        case AF_INET:
                inet_ntop(AF_INET, &a.in.sin_addr, ip, sizeof(ip));
                (void)snprintf(text, LISTENER_ADDRESS_MAX, "%s:%u", ip, ntohs(a.in.sin_port));
                break;
        case AF_INET6:
                inet_ntop(AF_INET6, &a.in6.sin6_addr, ip, sizeof(ip));
                (void)snprintf(text, LISTENER_ADDRESS_MAX, "[%s]:%u", ip, ntohs(a.in6.sin6_port));
                break;
        case AF_UNIX:
                format_unix(&a.un, len, text);
                break;
        case AF_VSOCK:
                (void)snprintf(
                        text, LISTENER_ADDRESS_MAX, "vsock:%u:%u", a.vm.svm_cid, a.vm.svm_port);
                break;
        default:
                break;
        }
}

int listener_init(struct listener *listener, int fd_consume, const char *name, bool accept,
        char **ret_message)
{
        _cleanup_(fd_closep) int fd = fd_consume;
        const char *fault = find_fault(fd);
        int r = 0;

        *listener = LISTENER_NULL;
        *ret_message = NULL;

        if (fault) {
                if (asprintf(ret_message,
                            "Descriptor %d (\"%s\") is %s; allowed are listening stream and "
                            "seqpacket sockets: ListenStream= and ListenSequentialPacket= with "
                            "Accept=no",
                            fd, name, fault) < 0)
                        return -ENOMEM;
                return -EINVAL;
        }

        if (accept)
                r = fd_set_nonblock(fd);
        if (r < 0)
                return r;
        listener->name = strdup(name);
        if (!listener->name)
                return -ENOMEM;

        format_address(fd, listener->address);
        listener->fd = TAKE_FD(fd);
        return 0;
}

void listener_done(struct listener *listener)
{
        listener->source = sd_event_source_disable_unref(listener->source);
        listener->fd = fd_close(listener->fd);
        free(TAKE_PTR(listener->name));
}

bool listener_any_waits(const struct listener *listeners, size_t n)
{
        struct pollfd fds[POLL_MAX];

        for (size_t i = 0; i < n; i += POLL_MAX) {
                size_t k = MIN(n - i, POLL_MAX);

                for (size_t j = 0; j < k; j++)
                        fds[j] = (struct pollfd){ .fd = listeners[i + j].fd, .events = POLLIN };
                if (poll(fds, k, 0) > 0)
                        return true;
        }

        return false;
}

/* Returns what to make of it, by errno. */
static int judge(void)
{
        switch (errno) {
        case EAGAIN:
                return ACCEPT_EMPTY;

        /* That one connection failed. The network errors are those of accept(2), ERROR HANDLING;
         * EPERM is a firewall's. */
        case EINTR:
        case ECONNABORTED:
        case EPERM:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
        case ETIMEDOUT:
                return ACCEPT_AGAIN;

        /* EMFILE, ENFILE, ENOBUFS, ENOMEM; and whatever else, which waiting cannot make worse. */
        default:
                return ACCEPT_EXHAUSTED;
        }
}

static int take(int fd, int *ret_fd)
{
        if (fd < 0)
                return judge();

        *ret_fd = fd;
        return 0;
}

int listener_accept(struct listener *listener, int *ret_fd)
{
        return take(accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), ret_fd);
}

int listener_accept_from(struct listener *listener, int *ret_fd, struct source *ret_source)
{
        struct sockaddr_storage address = {};
        socklen_t len = sizeof(address);
        int r;

        r = take(accept4(listener->fd, (struct sockaddr *)&address, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC),
                ret_fd);
        if (r == 0)
                *ret_source = peer_get_source(*ret_fd, &address);

        return r;
}

void listener_reset(int fd_consume)
{
        const struct linger at_once = { .l_onoff = 1 };

        (void)setsockopt(fd_consume, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        fd_close(fd_consume);
}

int listener_refuse(struct listener *listener)
{
        int fd, r;

        r = listener_accept(listener, &fd);
        if (r == 0)
                listener_reset(fd);

        return r;
}
