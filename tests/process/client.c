/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Both ends of a connection as a test sees them from outside: the listening socket that systemd
 * would have made, and the client. Called by the tests of this folder.
 */

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/fd.h"
#include "client.h"

const char *const listener_kinds[_LISTENER_MAX] = {
        [LISTENER_UNIX] = "unix",
        [LISTENER_SEQPACKET] = "seqpacket",
        [LISTENER_TCP4] = "tcp4",
        [LISTENER_TCP6] = "tcp6",
        [LISTENER_VSOCK] = "vsock",
};

union address {
        struct sockaddr sa;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_vm vm;
};

/* An address on which bind() finds a free place; unix: without a name, the kernel chooses one. */
static socklen_t any_address(enum listener_kind kind, union address *ret)
{
        *ret = (union address){};

        switch (kind) {
        case LISTENER_TCP4:
                ret->in = (struct sockaddr_in){
                        .sin_family = AF_INET,
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                };
                return sizeof(ret->in);
        case LISTENER_TCP6:
                ret->in6 = (struct sockaddr_in6){
                        .sin6_family = AF_INET6,
                        .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                };
                return sizeof(ret->in6);
        case LISTENER_VSOCK:
                ret->vm = (struct sockaddr_vm){
                        .svm_family = AF_VSOCK,
                        .svm_port = VMADDR_PORT_ANY,
                        .svm_cid = VMADDR_CID_LOCAL,
                };
                return sizeof(ret->vm);
        case LISTENER_UNIX:
        case LISTENER_SEQPACKET:
        case _LISTENER_MAX:
        default:
                ret->sa.sa_family = AF_UNIX;
                return sizeof(sa_family_t);
        }
}

/* Returns a listening socket or -errno. */
static int make_listener(enum listener_kind kind)
{
        _cleanup_(fd_closep) int fd = -1;
        int type = kind == LISTENER_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
        union address address;
        socklen_t length = any_address(kind, &address);

        fd = socket(address.sa.sa_family, type | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, &address.sa, length) < 0 || listen(fd, 128) < 0)
                return -errno;

        return TAKE_FD(fd);
}

/* Returns a socket that is connected to the listener, or -errno: -EAGAIN after 10 s of a full
 * backlog. It has an address of its own, unless `from` is NULL. One that is reset already
 * was connected, too. */
static int connect_from(int listener, const union address *from)
{
        _cleanup_(fd_closep) int fd = -1;
        struct timeval patience = { .tv_sec = 10 };
        union address address;
        socklen_t length = sizeof(address), type_size = sizeof(int);
        int type;

        if (getsockname(listener, &address.sa, &length) < 0 ||
                getsockopt(listener, SOL_SOCKET, SO_TYPE, &type, &type_size) < 0)
                return -errno;

        fd = socket(address.sa.sa_family, type | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
                (from && bind(fd, &from->sa, sizeof(*from)) < 0) ||
                (connect(fd, &address.sa, length) < 0 && errno != ECONNRESET))
                return -errno;

        return TAKE_FD(fd);
}

static int connect_to(int listener)
{
        return connect_from(listener, NULL);
}

bool listener_available(enum listener_kind kind)
{
        _cleanup_(fd_closep) int listener = make_listener(kind), fd = -1;

        if (listener < 0)
                return false;
        fd = connect_to(listener);
        return fd >= 0;
}

size_t listener_add(struct harness *h, enum listener_kind kind, const char *name)
{
        int fd = make_listener(kind);

        if (fd < 0)
                fail_msg("no %s listener: %s", listener_kinds[kind], strerror(-fd));
        harness_pass(h, fd, name);

        return h->n_sockets - 1;
}

const char *listener_destination(const struct harness *h, size_t number)
{
        static char text[160];
        union address address = {};
        socklen_t length = sizeof(address), type_size = sizeof(int);
        int type = 0;

        assert_int_equal(getsockname(h->sockets[number], &address.sa, &length), 0);
        assert_int_equal(getsockopt(h->sockets[number], SOL_SOCKET, SO_TYPE, &type, &type_size), 0);

        switch (address.sa.sa_family) {
        case AF_INET:
                (void)snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(address.in.sin_port));
                break;
        case AF_INET6:
                (void)snprintf(text, sizeof(text), "tcp:[::1]:%u", ntohs(address.in6.sin6_port));
                break;
        case AF_UNIX:
                (void)snprintf(text, sizeof(text), "%s:@%.*s",
                        type == SOCK_SEQPACKET ? "seqpacket" : "unix",
                        (int)(length - offsetof(struct sockaddr_un, sun_path) - 1),
                        address.un.sun_path + 1);
                break;
        default:
                fail_msg("the load generator has no such destination");
        }

        return text;
}

void client_open(struct harness *h, struct client *ret_client, size_t listener)
{
        int fd = connect_to(h->sockets[listener]);

        if (fd < 0)
                fail_msg("connect: %s", strerror(-fd));
        *ret_client = (struct client){ .fd = fd };
}

static void open_from(
        struct harness *h, struct client *ret_client, size_t listener, const union address *address)
{
        int fd = connect_from(h->sockets[listener], address);

        if (fd < 0)
                fail_msg("connect: %s", strerror(-fd));
        *ret_client = (struct client){ .fd = fd };
}

void client_open_from_ipv4(
        struct harness *h, struct client *ret_client, size_t listener, uint32_t address)
{
        open_from(h, ret_client, listener,
                &(union address){ .in = {
                                          .sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(address),
                                  } });
}

void client_open_from_ipv6(
        struct harness *h, struct client *ret_client, size_t listener, const char *address)
{
        union address from = { .in6.sin6_family = AF_INET6 };

        assert_int_equal(inet_pton(AF_INET6, address, &from.in6.sin6_addr), 1);
        open_from(h, ret_client, listener, &from);
}

/* Receives once. Returns the number of bytes, 0 at end of file, -errno. */
static ssize_t receive(struct harness *h, struct client *client)
{
        size_t room = sizeof(client->text) - client->size;
        ssize_t n;

        assert_true(room > 0);
        (void)harness_wait(h, client->fd, POLLIN);
        n = recv(client->fd, client->text + client->size, room, MSG_DONTWAIT);
        if (n < 0) /* connect() may have been told of the reset */
                return errno == ENOTCONN ? -ECONNRESET : -errno;
        client->size += (size_t)n;

        return n;
}

const char *client_await_line(struct harness *h, struct client *client)
{
        static char line[sizeof(client->text)];
        char *end;
        size_t length;

        while (!(end = memchr(client->text, '\n', client->size))) {
                ssize_t n = receive(h, client);

                if (n == 0)
                        fail_msg("end of file instead of a line");
                if (n < 0 && n != -EAGAIN)
                        fail_msg("instead of a line: %s", strerror((int)-n));
        }

        length = (size_t)(end - client->text);
        memcpy(line, client->text, length);
        line[length] = '\0';
        client->size -= length + 1;
        memmove(client->text, end + 1, client->size);

        return line;
}

void client_await_greeting(struct harness *h, struct client *client)
{
        const char *line = client_await_line(h, client);

        if (sscanf(line, "worker=%u pid=%d listener=%63s id=%" SCNu64, &client->worker,
                    &client->pid, client->listener, &client->id) != 4)
                fail_msg("\"%s\" is no greeting", line);
}

bool client_is_served(struct harness *h, struct client *client)
{
        while (!memchr(client->text, '\n', client->size)) {
                ssize_t n = receive(h, client);

                if (n == 0 || n == -ECONNRESET || n == -EPIPE) {
                        client_close(client);
                        return false;
                }
                if (n < 0 && n != -EAGAIN)
                        fail_msg("instead of a line: %s", strerror((int)-n));
        }

        client_await_greeting(h, client);
        return true;
}

void client_open_served(struct harness *h, struct client *ret_client, size_t listener)
{
        client_open(h, ret_client, listener);
        client_await_greeting(h, ret_client);
}

bool client_waits(struct harness *h, const struct client *client)
{
        struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };

        (void)harness_wait(h, -1, 0);
        return client->size == 0 && poll(&poll_fd, 1, 0) == 0;
}

void client_send(const struct client *client, const char *text)
{
        size_t size = strlen(text);

        assert_int_equal(send(client->fd, text, size, MSG_NOSIGNAL), size);
}

enum client_end client_await_end(struct harness *h, struct client *client)
{
        ssize_t n;

        do {
                client->size = 0;
                n = receive(h, client);
        } while (n > 0 || n == -EAGAIN);
        client_close(client);

        if (n < 0 && n != -ECONNRESET && n != -EPIPE)
                fail_msg("instead of an end: %s", strerror((int)-n));
        return n == 0 ? CLIENT_END_CLEAN : CLIENT_END_RESET;
}

char *client_await_all(struct harness *h, struct client *client)
{
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        ssize_t n;

        assert_non_null(f);
        do {
                fwrite(client->text, 1, client->size, f);
                client->size = 0;
                n = receive(h, client);
        } while (n > 0 || n == -EAGAIN);
        fclose(f);
        client_close(client);
        assert_int_equal(n, 0);

        return text;
}

void client_close(struct client *client)
{
        client->fd = fd_close(client->fd);
}

void client_exchange(struct harness *h, struct client *client)
{
        client_send(client, "answer alive\n");
        assert_string_equal(client_await_line(h, client), "alive");
}

void client_finish(struct harness *h, struct client *client)
{
        client_send(client, "done\n");
        assert_int_equal(client_await_end(h, client), CLIENT_END_CLEAN);
}

void client_open_at_each(struct harness *h, struct client clients[2], size_t listener)
{
        struct client a, b;

        client_open_served(h, &a, listener);
        client_open_served(h, &b, listener);
        assert_int_not_equal(a.worker, b.worker);
        clients[0] = a.worker < b.worker ? a : b;
        clients[1] = a.worker < b.worker ? b : a;
}
