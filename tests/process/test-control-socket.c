/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is passed to a real dispatcher as its control socket: one that has callers already, one with
 * no other, one that is none, and two.
 */

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"
#include "procfs.h"

/* While it starts, and between a crash and the next start: whoever asks is answered then. */
static void test_call_before_the_start(void **state)
{
        struct harness *h = *state;
        static const char call[] = CTL_CALL("io.acceptd.Pool.GetStatus");
        struct ctl ctl;
        int socket_fd, fd;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        socket_fd = ctl_listen(&ctl);
        fd = ctl_connect(&ctl);
        ctl_send(fd, call, sizeof(call));
        harness_pass(h, socket_fd, "acceptd-control");
        harness_start(h, .options = WORDS("Workers=1"));
        json_decref(ctl_receive(h, fd));
        (void)fd_close(fd);
        harness_stop(h);
}

/* It serves no connections of its own accord: the only descriptor, it is none to start with. */
static void test_control_socket_alone(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_expect_exit(h, 78);
        assert_int_equal(harness_count_lines(h, "No socket was passed", "allowed"), 1);
        assert_int_equal(procfs_lines(h->log.text), 1);
}

static void check_unsuitable(struct harness *h, int fd_consume)
{
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_pass(h, fd_consume, "acceptd-control");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_await_line(h, "<3>", "\"acceptd-control\"", "not a listening UNIX stream socket");
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        (void)client_await_end(h, &client);
        harness_stop(h);
}

static void test_unsuitable_tcp(void **state)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                harness_skip(*state, "no IPv4");
        assert_int_equal(listen(fd, 5), 0);
        check_unsuitable(*state, fd);
}

static void test_unsuitable_not_listening(void **state)
{
        check_unsuitable(*state, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static void test_unsuitable_file(void **state)
{
        check_unsuitable(*state, open("/dev/null", O_RDWR | O_CLOEXEC));
}

/* A second one, as with two ListenStream=, is in nobody's way. */
static void test_two_control_sockets(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_pass(h, ctl_listen(&ctl), "acceptd-control");
        assert_int_equal(unlink(ctl.path), 0);
        harness_pass(h, ctl_listen(&ctl), "acceptd-control");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_await_ready(h);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_call_before_the_start),
                HARNESS_TEST(test_control_socket_alone),
                HARNESS_TEST(test_unsuitable_tcp),
                HARNESS_TEST(test_unsuitable_not_listening),
                HARNESS_TEST(test_unsuitable_file),
                HARNESS_TEST(test_two_control_sockets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
