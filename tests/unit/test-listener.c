/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Listening sockets: src/os/listener.c. Every kind that is one or is none, and what
 * accept4(2) can say. */

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/listener.h"
#include "raw.h"

/* --- accept4() with errors that no limit produces: in place of libc's, also for listener.c --- */

static int next_error;

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
        if (next_error != 0) {
                errno = next_error;
                return -1;
        }

        return (int)syscall(SYS_accept4, fd, address, len, flags);
}

/* --- Sockets --- */

static int make_socket(int family, int type)
{
        return socket(family, type | SOCK_CLOEXEC, 0);
}

static int listen_on(int family, int type, const void *address, socklen_t len)
{
        int fd = make_socket(family, type);

        if (fd < 0)
                return -1;
        if (bind(fd, address, len) < 0 || listen(fd, 5) < 0)
                return fd_close(fd);

        return fd;
}

static int listen_on_ip(void)
{
        const struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };

        return listen_on(AF_INET, SOCK_STREAM, &address, sizeof(address));
}

/* Listens on an abstract name of the kernel's choice: unix(7), autobind. */
static int listen_on_unix(int type)
{
        const struct sockaddr_un address = { .sun_family = AF_UNIX };

        return listen_on(AF_UNIX, type, &address, sizeof(sa_family_t));
}

static uint16_t port_of(int fd)
{
        struct sockaddr_in6 address; /* the port is at the same place for both */
        socklen_t len = sizeof(address);

        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
        return ntohs(address.sin6_port);
}

static int connect_to(const struct listener *listener)
{
        struct sockaddr_storage address;
        socklen_t len = sizeof(address);
        int type, client;
        socklen_t type_len = sizeof(type);

        assert_int_equal(getsockname(listener->fd, (struct sockaddr *)&address, &len), 0);
        assert_int_equal(getsockopt(listener->fd, SOL_SOCKET, SO_TYPE, &type, &type_len), 0);
        client = make_socket(address.ss_family, type);
        assert_int_equal(connect(client, (struct sockaddr *)&address, len), 0);
        return client;
}

static struct listener begin(int fd)
{
        _cleanup_(freep) char *message = NULL;
        struct listener listener = LISTENER_NULL;

        assert_true(fd >= 0);
        assert_int_equal(listener_init(&listener, fd, "a-name", true, &message), 0);
        assert_null(message);
        assert_string_equal(listener.name, "a-name");
        assert_int_equal(listener.fd, fd);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        return listener;
}

/* --- What is a listener, and its address --- */

static void expect_address(int fd, const char *format, ...) _printf_(2, 3);

static void expect_address(int fd, const char *format, ...)
{
        struct listener listener = begin(fd);
        char expected[LISTENER_ADDRESS_MAX];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(expected, sizeof(expected), format, ap);
        va_end(ap);
        assert_string_equal(listener.address, expected);
        listener_done(&listener);
}

static void test_ipv4(void **state)
{
        int fd = listen_on_ip();

        (void)state;
        expect_address(fd, "127.0.0.1:%u", port_of(fd));
}

static void test_ipv6(void **state)
{
        const struct sockaddr_in6 address = {
                .sin6_family = AF_INET6,
                .sin6_addr = IN6ADDR_LOOPBACK_INIT,
        };
        int fd = listen_on(AF_INET6, SOCK_STREAM, &address, sizeof(address));

        (void)state;
        if (fd < 0)
                skip(); /* no IPv6 here */
        expect_address(fd, "[::1]:%u", port_of(fd));
}

static void test_unix_paths(void **state)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char dir[] = "/tmp/acceptd-test-XXXXXX";
        size_t n;

        (void)state;
        assert_non_null(mkdtemp(dir));
        n = (size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s/", dir);
        /* the longest, without a final 0 */
        memset(address.sun_path + n, 'x', sizeof(address.sun_path) - n);
        expect_address(listen_on(AF_UNIX, SOCK_STREAM, &address, sizeof(address)), "%.*s",
                (int)sizeof(address.sun_path), address.sun_path);
        address.sun_path[n + 1] = '\0';
        expect_address(listen_on(AF_UNIX, SOCK_SEQPACKET, &address, sizeof(address)), "%s/x", dir);

        assert_int_equal(unlink(address.sun_path), 0);
        memset(address.sun_path + n, 'x', sizeof(address.sun_path) - n);
        {
                char path[sizeof(address.sun_path) + 1] = {};

                memcpy(path, address.sun_path, sizeof(address.sun_path));
                assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(rmdir(dir), 0);
}

static void test_unix_abstract(void **state)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t n = (size_t)snprintf(address.sun_path + 1, 50, "acceptd-test-%d", getpid());

        (void)state;
        expect_address(listen_on(AF_UNIX, SOCK_STREAM, &address,
                               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
                "@acceptd-test-%d", getpid());
}

static void test_vsock(void **state)
{
        const struct sockaddr_vm address = {
                .svm_family = AF_VSOCK,
                .svm_cid = VMADDR_CID_ANY,
                .svm_port = VMADDR_PORT_ANY,
        };
        struct sockaddr_vm bound;
        socklen_t len = sizeof(bound);
        int fd = listen_on(AF_VSOCK, SOCK_STREAM, &address, sizeof(address));

        (void)state;
        if (fd < 0)
                skip(); /* no vsock here */
        assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
        expect_address(fd, "vsock:%u:%u", bound.svm_cid, bound.svm_port);
}

/* --- What is none --- */

static void expect_refusal(int fd, const char *what)
{
        _cleanup_(freep) char *message = NULL;
        struct listener listener = LISTENER_NULL;
        char expected[300];

        (void)snprintf(expected, sizeof(expected),
                "Descriptor %d (\"a-name\") is %s; allowed are listening stream and seqpacket "
                "sockets: ListenStream= and ListenSequentialPacket= with Accept=no",
                fd, what);
        assert_int_equal(listener_init(&listener, fd, "a-name", true, &message), -EINVAL);
        assert_string_equal(message, expected);
        assert_int_equal(listener.fd, -1);
        assert_int_equal(fcntl(fd, F_GETFD), -1); /* consumed */
        listener_done(&listener);
}

static void test_datagram_sockets(void **state)
{
        (void)state;
        expect_refusal(make_socket(AF_INET, SOCK_DGRAM), "a datagram socket");
        expect_refusal(make_socket(AF_UNIX, SOCK_DGRAM), "a datagram socket");
        expect_refusal(make_socket(AF_NETLINK, SOCK_DGRAM), "a datagram socket");
        expect_refusal(make_socket(AF_NETLINK, SOCK_RAW), "a socket of an unsuitable type");
}

static void test_sockets_that_do_not_listen(void **state)
{
        const char *what = "a socket that does not listen (a connected one: Accept=yes?)";
        int pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        expect_refusal(pair[0], what);
        expect_refusal(pair[1], what);
        expect_refusal(make_socket(AF_INET, SOCK_STREAM), what);
        expect_refusal(make_socket(AF_UNIX, SOCK_SEQPACKET), what);
}

static void test_sctp(void **state)
{
        int fd = socket(AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC, IPPROTO_SCTP);

        (void)state;
        if (fd < 0)
                skip(); /* no SCTP here */
        assert_int_equal(listen(fd, 5), 0);
        expect_refusal(fd, "an SCTP seqpacket socket");
}

static void test_files(void **state)
{
        int fds[2];

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        expect_refusal(fds[0], "a FIFO");
        fd_close(fds[1]);
        expect_refusal(memfd_create("test", MFD_CLOEXEC), "a regular file");
        expect_refusal(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "a directory");
        expect_refusal(open("/dev/null", O_RDONLY | O_CLOEXEC), "a device");
        expect_refusal(eventfd(0, EFD_CLOEXEC), "not a socket");
}

static void test_closed_descriptor(void **state)
{
        int fd = eventfd(0, EFD_CLOEXEC);

        (void)state;
        fd_close(fd);
        expect_refusal(fd, "not open");
}

static void test_done_takes_null(void **state)
{
        struct listener listener = LISTENER_NULL;

        (void)state;
        listener_done(&listener);
        listener_done(&listener);
}

/* --- Accepting --- */

static void expect_accept(struct listener *listener, int expected)
{
        int fd = -1;

        assert_int_equal(listener_accept(listener, &fd), expected);
        assert_int_equal(fd, -1);
}

static void expect_connections(int fd)
{
        struct listener listener = begin(fd);
        int client, connection = -1;
        char byte;

        expect_accept(&listener, ACCEPT_EMPTY);
        client = connect_to(&listener);
        assert_int_equal(send(client, "a", 1, 0), 1);
        assert_int_equal(listener_accept(&listener, &connection), 0);
        assert_int_equal(fcntl(connection, F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(connection, F_GETFL) & O_NONBLOCK);
        assert_int_equal(recv(connection, &byte, 1, 0), 1);
        expect_accept(&listener, ACCEPT_EMPTY);
        fd_close(connection);
        fd_close(client);
        listener_done(&listener);
}

static void test_accept(void **state)
{
        (void)state;
        expect_connections(listen_on_ip());
        expect_connections(listen_on_unix(SOCK_STREAM));
        expect_connections(listen_on_unix(SOCK_SEQPACKET));
}

/* --- Who comes --- */

static struct source accept_from(struct listener *listener)
{
        struct source source = { .kind = SOURCE_KINDS };
        int client = connect_to(listener), connection = -1;

        assert_int_equal(listener_accept_from(listener, &connection, &source), 0);
        assert_int_equal(fcntl(connection, F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(connection, F_GETFL) & O_NONBLOCK);
        fd_close(connection);
        fd_close(client);
        return source;
}

static void expect_source(int fd, struct source expected)
{
        struct listener listener = begin(fd);
        struct source source = accept_from(&listener);
        int connection = -1;

        assert_true(source_equal(&source, &expected));
        assert_int_equal(listener_accept_from(&listener, &connection, &source), ACCEPT_EMPTY);
        assert_int_equal(connection, -1);
        listener_done(&listener);
}

static void test_accept_says_who_comes(void **state _unused_)
{
        const struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6,
                .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        int fd = listen_on(AF_INET6, SOCK_STREAM, &ipv6, sizeof(ipv6));

        expect_source(listen_on_ip(), source_make(SOURCE_IPV4, INADDR_LOOPBACK));
        expect_source(listen_on_unix(SOCK_STREAM), source_make(SOURCE_UID, geteuid()));
        expect_source(listen_on_unix(SOCK_SEQPACKET), source_make(SOURCE_UID, geteuid()));
        if (fd >= 0)
                expect_source(fd, source_make_ipv6(ipv6.sin6_addr.s6_addr));
}

/* accept4() says it, and getpeername() would not any more. */
static void test_who_has_reset_is_known_all_the_same(void **state _unused_)
{
        struct listener listener = begin(listen_on_ip());
        const struct linger at_once = { .l_onoff = 1 };
        struct source source = {}, expected = source_make(SOURCE_IPV4, INADDR_LOOPBACK);
        int client = connect_to(&listener), connection = -1;
        struct sockaddr_in address;
        socklen_t len = sizeof(address);

        assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
        fd_close(client);
        assert_int_equal(listener_accept_from(&listener, &connection, &source), 0);
        assert_int_equal(getpeername(connection, (struct sockaddr *)&address, &len), -1);
        assert_true(source_equal(&source, &expected));
        fd_close(connection);
        listener_done(&listener);
}

static void test_reset(void **state _unused_)
{
        struct listener listener = begin(listen_on_ip());
        int client = connect_to(&listener), connection = -1;
        char byte;

        assert_int_equal(listener_accept(&listener, &connection), 0);
        listener_reset(connection);
        assert_int_equal(recv(client, &byte, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
        fd_close(client);
        listener_done(&listener);
}

static void test_accept_at_the_limit(void **state)
{
        struct listener listener = begin(listen_on_ip());
        int client = connect_to(&listener), connection = -1;

        (void)state;
        leave_descriptors(0);
        expect_accept(&listener, ACCEPT_EXHAUSTED);
        assert_int_equal(errno, EMFILE);
        leave_descriptors(1);
        assert_int_equal(listener_accept(&listener, &connection), 0);
        fd_close(connection);
        fd_close(client);
        listener_done(&listener);
}

static void test_accept_errors(void **state)
{
        static const int again[] = { EINTR, ECONNABORTED, EPERM, EPROTO, ENETDOWN, ENOPROTOOPT,
                EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT };
        static const int exhausted[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL, EBADF };
        struct listener listener = begin(listen_on_ip());

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(again); i++) {
                next_error = again[i];
                expect_accept(&listener, ACCEPT_AGAIN);
        }
        for (size_t i = 0; i < ELEMENTSOF(exhausted); i++) {
                next_error = exhausted[i];
                expect_accept(&listener, ACCEPT_EXHAUSTED);
                assert_int_equal(errno, exhausted[i]);
        }
        next_error = 0;
        expect_accept(&listener, ACCEPT_EMPTY);
        listener_done(&listener);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_ipv4),
                WITHOUT_LEAKS(test_ipv6),
                WITHOUT_LEAKS(test_unix_paths),
                WITHOUT_LEAKS(test_unix_abstract),
                WITHOUT_LEAKS(test_vsock),
                WITHOUT_LEAKS(test_datagram_sockets),
                WITHOUT_LEAKS(test_sockets_that_do_not_listen),
                WITHOUT_LEAKS(test_sctp),
                WITHOUT_LEAKS(test_files),
                WITHOUT_LEAKS(test_closed_descriptor),
                WITHOUT_LEAKS(test_done_takes_null),
                WITHOUT_LEAKS(test_accept),
                WITHOUT_LEAKS(test_accept_says_who_comes),
                WITHOUT_LEAKS(test_who_has_reset_is_known_all_the_same),
                WITHOUT_LEAKS(test_reset),
                WITHOUT_LEAKS(test_accept_at_the_limit),
                WITHOUT_LEAKS(test_accept_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
