/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What may be passed as a listener, and what is refused at the start: one line that says which
 * descriptor, what it is and what is allowed, and exit status 78.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "client.h"
#include "procfs.h"

static void check_kind(struct harness *h, enum listener_kind kind)
{
        struct client client;

        if (!listener_available(kind))
                harness_skip(h, "this machine has no such sockets");

        (void)listener_add(h, kind, "a.name-of_it@self");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=echo"));
        harness_await_ready(h);
        for (int i = 0; i < 3; i++) {
                client_open_served(h, &client, 0);
                assert_string_equal(client.listener, "a.name-of_it@self");
                client_send(&client, "hello\n");
                assert_string_equal(client_await_line(h, &client), "hello");
                assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        }
        harness_stop(h);
}

static void test_unix_stream(void **state)
{
        check_kind(*state, LISTENER_UNIX);
}

static void test_unix_seqpacket(void **state)
{
        check_kind(*state, LISTENER_SEQPACKET);
}

static void test_tcp_ipv4(void **state)
{
        check_kind(*state, LISTENER_TCP4);
}

static void test_tcp_ipv6(void **state)
{
        check_kind(*state, LISTENER_TCP6);
}

static void test_vsock(void **state)
{
        check_kind(*state, LISTENER_VSOCK);
}

/* All that this machine has at once; two share a name, as ListenStream= twice in a unit does. */
static void test_several_with_names(void **state)
{
        struct harness *h = *state;
        size_t n;

        for (enum listener_kind kind = 0; kind < _LISTENER_MAX; kind++)
                if (listener_available(kind))
                        (void)listener_add(h, kind, listener_kinds[kind]);
        n = listener_add(h, LISTENER_UNIX, listener_kinds[LISTENER_SEQPACKET]) + 1;

        harness_start(h, .options = WORDS("Workers=2"));
        harness_await_ready(h);
        for (int round = 0; round < 3; round++)
                for (size_t i = 0; i < n; i++) {
                        struct client client;

                        client_open_served(h, &client, i);
                        assert_string_equal(client.listener, h->names[i]);
                        (void)client_await_end(h, &client);
                }
        assert_int_equal(harness_await_counter(h, done, 3 * n).accepted, 3 * n);
        harness_stop(h);
}

/* The socket is the service manager's, and the next service's after this one: the dispatcher leaves
 * it as it found it, but for O_NONBLOCK, which it needs. */
static void test_listener_outlives_the_dispatcher(void **state)
{
        struct harness *h = *state;
        struct client client, waiting;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        (void)client_await_end(h, &client);

        /* still listens while the dispatcher stops, and after */
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_death(h, h->pid);
        client_open(h, &waiting, 0);
        assert_true(client_waits(h, &waiting));
        client_close(&waiting);
        harness_expect_exit(h, 0);
}

/* Refused: `fault` is what the line calls it. The descriptor after a good one is number 4. */
static void check_refused(struct harness *h, int fd_consume, const char *fault)
{
        (void)listener_add(h, LISTENER_UNIX, "good");
        harness_pass(h, fd_consume, "bad-one");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_expect_exit(h, 78);

        assert_int_equal(harness_count_lines(h, "escriptor 4", "bad-one", fault, "allowed",
                                 "ListenStream=", "ListenSequentialPacket="),
                1);
        assert_int_equal(procfs_lines(h->log.text), 1);
        assert_int_equal(harness_count(&h->notify, WORDS("READY=1")), 0);
        assert_int_equal(harness_count(&h->notify, WORDS("STATUS=", "bad-one", fault)), 1);
}

static void test_datagram_socket(void **state)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        assert_int_equal(
                bind(fd, (const struct sockaddr *)&address, sizeof(address.sun_family)), 0);
        check_refused(*state, fd, "datagram socket");
}

static void test_udp_socket(void **state)
{
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                harness_skip(*state, "no IPv4");
        check_refused(*state, fd, "datagram socket");
}

static void test_fifo(void **state)
{
        struct harness *h = *state;

        check_refused(h, open(h->fifo, O_RDWR | O_CLOEXEC), "FIFO");
}

static void test_regular_file(void **state)
{
        check_refused(*state, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "file");
}

static void test_device(void **state)
{
        check_refused(*state, open("/dev/null", O_RDWR | O_CLOEXEC), "device");
}

static void test_folder(void **state)
{
        check_refused(*state, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "directory");
}

/* As Accept=yes passes it. */
static void test_connected_socket(void **state)
{
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        fd_close(fds[1]);
        check_refused(*state, fds[0], "connected");
}

static void test_socket_that_does_not_listen(void **state)
{
        check_refused(*state, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "does not listen");
}

static void test_netlink_socket(void **state)
{
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);

        if (fd < 0)
                harness_skip(*state, "no netlink");
        check_refused(*state, fd, "socket of");
}

static void test_none_at_all(void **state)
{
        struct harness *h = *state;

        harness_start(h, .options = WORDS("Workers=1"));
        harness_expect_exit(h, 78);
        assert_int_equal(harness_count_lines(
                                 h, "No socket", "allowed", ".socket", "systemd-socket-activate"),
                1);
        assert_int_equal(procfs_lines(h->log.text), 1);
}

/* "No socket was passed", said the instance acceptd-control, of which there was one. */
static void test_only_a_socket_of_the_control_sockets_name(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "acceptd-control");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_expect_exit(h, 78);
        assert_int_equal(harness_count_lines(h, "that can be served", "acceptd-control",
                                 "acceptctl", "FileDescriptorName="),
                1);
        assert_int_equal(procfs_lines(h->log.text), 1);
}

/* Meant for another process, as by a parent that forgot to clean its environment. */
static void test_wrong_listen_pid(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .environment = WORDS("LISTEN_PID=1"));
        harness_expect_exit(h, 78);
        assert_int_equal(
                harness_count_lines(h, "No socket", "process 1 ", "LISTEN_PID", "exec"), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_unix_stream),
                HARNESS_TEST(test_unix_seqpacket),
                HARNESS_TEST(test_tcp_ipv4),
                HARNESS_TEST(test_tcp_ipv6),
                HARNESS_TEST(test_vsock),
                HARNESS_TEST(test_several_with_names),
                HARNESS_TEST(test_listener_outlives_the_dispatcher),
                HARNESS_TEST(test_datagram_socket),
                HARNESS_TEST(test_udp_socket),
                HARNESS_TEST(test_fifo),
                HARNESS_TEST(test_regular_file),
                HARNESS_TEST(test_device),
                HARNESS_TEST(test_folder),
                HARNESS_TEST(test_connected_socket),
                HARNESS_TEST(test_socket_that_does_not_listen),
                HARNESS_TEST(test_netlink_socket),
                HARNESS_TEST(test_none_at_all),
                HARNESS_TEST(test_only_a_socket_of_the_control_sockets_name),
                HARNESS_TEST(test_wrong_listen_pid),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
