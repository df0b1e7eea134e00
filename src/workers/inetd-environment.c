/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Variables that tell a program about its connection. It must not know who starts the program.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "workers/inetd-environment.h"

union address {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_vm vm;
        struct sockaddr_un un;
};

/* Beginnings of names. Those of a connection are here because the one that this process may have
 * been started for is not the program's. */
static const char *const dropped[] = {
        "ACCEPTD_",
        "LISTEN_",
        "NOTIFY_SOCKET=",
        "WATCHDOG_PID=",
        "WATCHDOG_USEC=",
        "REMOTE_ADDR=",
        "REMOTE_PORT=",
        "PROTO=",
        "TCPREMOTE",
        "TCPLOCAL",
        "UNIXREMOTE",
        "UNIXLOCAL",
};

static bool is_dropped(const char *assignment)
{
        for (size_t i = 0; i < ELEMENTSOF(dropped); i++)
                if (startswith(assignment, dropped[i]))
                        return true;

        return false;
}

int inetd_environment_init(struct inetd_environment *e)
{
        size_t n = 0;

        *e = (struct inetd_environment){ .listen_pid = "LISTEN_PID=" };
        while (environ[n])
                n++;
        e->list = calloc(n + INETD_VARIABLES_MAX + 1, sizeof(char *));
        if (!e->list)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++)
                if (!is_dropped(environ[i]))
                        e->list[e->n_kept++] = environ[i];
        return 0;
}

void inetd_environment_done(struct inetd_environment *e)
{
        free(TAKE_PTR(e->list));
}

/* Leaves out what does not fit, which nothing does that a socket can say. */
static _printf_(3, 4) char **add(struct inetd_environment *e, char **to, const char *format, ...)
{
        size_t room = sizeof(e->text) - e->n_text;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(e->text + e->n_text, room, format, arguments);
        va_end(arguments);
        if (n < 0 || (size_t)n >= room)
                return to;

        *to++ = e->text + e->n_text;
        e->n_text += (size_t)n + 1;
        return to;
}

/* An address of IPv4 that an IPv6 socket shows in its own way is shown as what it is. */
static void format_internet(const union address *a, char text[static INET6_ADDRSTRLEN])
{
        const struct in6_addr *six = &a->in6.sin6_addr;

        if (a->sa.sa_family == AF_INET)
                (void)inet_ntop(AF_INET, &a->in.sin_addr, text, INET6_ADDRSTRLEN);
        else if (IN6_IS_ADDR_V4MAPPED(six))
                (void)inet_ntop(AF_INET, &six->s6_addr[12], text, INET6_ADDRSTRLEN);
        else
                (void)inet_ntop(AF_INET6, six, text, INET6_ADDRSTRLEN);
}

static unsigned get_port(const union address *a)
{
        return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

/* `remote` is NULL where the client has left already. */
static char **add_internet(struct inetd_environment *e, char **to, const union address *local,
        const union address *remote)
{
        char text[INET6_ADDRSTRLEN];

        to = add(e, to, "PROTO=TCP");
        format_internet(local, text);
        to = add(e, to, "TCPLOCALIP=%s", text);
        to = add(e, to, "TCPLOCALPORT=%u", get_port(local));
        if (!remote)
                return to;

        format_internet(remote, text);
        to = add(e, to, "TCPREMOTEIP=%s", text);
        to = add(e, to, "TCPREMOTEPORT=%u", get_port(remote));
        to = add(e, to, "REMOTE_ADDR=%s", text);
        return add(e, to, "REMOTE_PORT=%u", get_port(remote));
}

/* A name without a file is shown with @ in front, as systemd and ss(8) do. */
static char **add_path(struct inetd_environment *e, char **to, const char *name,
        const union address *a, socklen_t length)
{
        size_t n = length - MIN(length, (socklen_t)offsetof(struct sockaddr_un, sun_path));
        char path[sizeof(a->un.sun_path) + 1] = "";

        if (n == 0)
                return to;
        memcpy(path, a->un.sun_path, MIN(n, sizeof(a->un.sun_path)));
        if (path[0] == '\0')
                for (size_t i = 0; i < n; i++)
                        path[i] = path[i] == '\0' ? '@' : path[i];

        return add(e, to, "%s=%s", name, path);
}

static char **add_credentials(struct inetd_environment *e, char **to, int fd)
{
        struct ucred peer;
        socklen_t length = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
                return to;

        to = add(e, to, "UNIXREMOTEPID=%d", (int)peer.pid);
        to = add(e, to, "UNIXREMOTEEUID=%u", peer.uid);
        return add(e, to, "UNIXREMOTEEGID=%u", peer.gid);
}

void inetd_environment_set(struct inetd_environment *e, int fd)
{
        union address local = {}, remote = {};
        socklen_t local_length = sizeof(local), remote_length = sizeof(remote);
        char **to = e->list + e->n_kept;
        bool connected;

        e->n_text = 0;
        if (getsockname(fd, &local.sa, &local_length) < 0)
                local_length = 0;
        connected = getpeername(fd, &remote.sa, &remote_length) == 0;

        to = add(e, to, "LISTEN_FDS=1");
        to = add(e, to, "LISTEN_FDNAMES=connection");
        *to++ = e->listen_pid;

        switch (local.sa.sa_family) {
        case AF_INET:
        case AF_INET6:
                to = add_internet(e, to, &local, connected ? &remote : NULL);
                break;
        case AF_UNIX:
                to = add(e, to, "PROTO=UNIX");
                to = add_path(e, to, "UNIXLOCALPATH", &local, local_length);
                if (connected)
                        to = add_path(e, to, "REMOTE_ADDR", &remote, remote_length);
                to = add_credentials(e, to, fd);
                break;
        case AF_VSOCK:
                if (!connected)
                        break;
                to = add(e, to, "REMOTE_ADDR=vsock:%u", remote.vm.svm_cid);
                to = add(e, to, "REMOTE_PORT=%u", remote.vm.svm_port);
                break;
        default:
                break;
        }

        *to = NULL;
}
