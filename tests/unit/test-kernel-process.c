/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the kernel does, where the code relies on it. Processes and listening
 * sockets; channels are in test-kernel.c.
 */

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "raw.h"

static bool is_readable(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, 0) == 1;
}

static void wait_until_readable(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&p, 1, -1), 1);
}

/* Starts a child that waits for a signal. It has a copy of every descriptor. */
static pid_t start_child(int *ret_pidfd)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        pause();
        }
        *ret_pidfd = pidfd_open(pid, 0);
        assert_true(*ret_pidfd >= 0);
        return pid;
}

/* --- pidfd_open(2), waitid(2) --- */

/* With a copy of the worker's end open, its death is seen on the pidfd only. */
static void test_death_is_seen_on_the_pidfd(void **state)
{
        _cleanup_(fd_closep) int here = -1, there = -1, pidfd = -1;
        siginfo_t info = {};
        int pair[2];
        pid_t pid;

        (void)state;
        open_pair(SOCK_SEQPACKET, pair);
        here = pair[0];
        there = pair[1];
        pid = start_child(&pidfd);
        assert_false(is_readable(pidfd));
        assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
        wait_until_readable(pidfd);
        assert_false(is_readable(here));

        /* It is a zombie: its number and its group are still its own. */
        assert_int_equal(kill(pid, 0), 0);
        assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG), 0);
        assert_int_equal(info.si_pid, pid);
        assert_int_equal(info.si_code, CLD_KILLED);
        assert_int_equal(info.si_status, SIGKILL);
        assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), -1);
        assert_int_equal(errno, ESRCH);
        assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        there = fd_close(there);
        assert_true(is_readable(here));
}

/* A stopped worker is a full queue, and nothing else. */
static void test_stopped_worker(void **state)
{
        _cleanup_(fd_closep) int here = -1, there = -1, pidfd = -1;
        siginfo_t info = {};
        int pair[2];

        (void)state;
        open_pair(SOCK_SEQPACKET, pair);
        here = pair[0];
        there = pair[1];
        (void)start_child(&pidfd);
        assert_int_equal(pidfd_send_signal(pidfd, SIGSTOP, NULL, 0), 0);
        assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WSTOPPED), 0);
        assert_false(is_readable(pidfd));
        assert_true(raw_fill(here, STDIN_FILENO) > 100);
        assert_false(is_readable(here));
        assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0); /* ends it all the same */
        wait_until_readable(pidfd);
        assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
}

/* --- epoll(7) --- */

/* What was passed on and closed keeps firing, as long as a copy is open anywhere: a connection is
 * never put into a loop here. */
static void test_epoll_watches_the_open_file(void **state)
{
        _cleanup_(fd_closep) int loop = epoll_create1(EPOLL_CLOEXEC), copy = -1;
        struct epoll_event event = { .events = EPOLLIN };
        int pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, pair[0], &event), 0);
        copy = dup(pair[0]);
        fd_close(pair[0]);
        fd_close(pair[1]);
        assert_int_equal(epoll_wait(loop, &event, 1, 0), 1);
        assert_int_equal(epoll_ctl(loop, EPOLL_CTL_DEL, pair[0], NULL), -1);
        assert_int_equal(errno, EBADF);
}

/* --- accept4(2) --- */

/* Returns a TCP socket that listens on loopback, and its address. */
static int listen_on_loopback(struct sockaddr_in *ret_address)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        socklen_t len = sizeof(*ret_address);

        *ret_address = (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        assert_int_equal(bind(fd, (struct sockaddr *)ret_address, len), 0);
        assert_int_equal(listen(fd, 10), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, &len), 0);
        return fd;
}

static int connect_to(const struct sockaddr_in *address)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
        return fd;
}

/* Without a descriptor for it the connection stays where it is, and the listener readable. */
static void test_accept_at_the_limit_keeps_the_connection(void **state)
{
        _cleanup_(fd_closep) int listener = -1, client = -1, connection = -1;
        struct sockaddr_in address;
        char byte;

        (void)state;
        listener = listen_on_loopback(&address);
        client = connect_to(&address);
        assert_int_equal(send(client, "a", 1, 0), 1);
        leave_descriptors(0);
        for (int i = 0; i < 5; i++) {
                wait_until_readable(listener);
                assert_int_equal(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1);
                assert_int_equal(errno, EMFILE);
        }
        leave_descriptors(1);
        connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(connection >= 0);
        assert_int_equal(recv(connection, &byte, 1, 0), 1);
        assert_int_equal(byte, 'a');
}

/* A client that is gone before it was accepted is accepted like any other. */
static void test_accept_of_one_that_is_gone(void **state)
{
        _cleanup_(fd_closep) int listener = -1, connection = -1;
        const struct linger reset = { .l_onoff = 1 };
        struct sockaddr_in address;
        int client;
        char byte;

        (void)state;
        listener = listen_on_loopback(&address);
        client = connect_to(&address);
        assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
        fd_close(client);
        connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(connection >= 0);
        assert_int_equal(recv(connection, &byte, 1, 0), -1);
        assert_int_equal(errno, ECONNRESET);
}

/* SOCK_NONBLOCK is not inherited from the listener. */
static void test_accepted_socket_blocks_unless_told(void **state)
{
        _cleanup_(fd_closep) int listener = -1, client = -1, connection = -1;
        struct sockaddr_in address;

        (void)state;
        listener = listen_on_loopback(&address);
        client = connect_to(&address);
        connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_false(fcntl(connection, F_GETFL) & O_NONBLOCK);
        assert_int_equal(accept4(listener, NULL, NULL, 0), -1); /* the listener does not block */
        assert_int_equal(errno, EAGAIN);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_death_is_seen_on_the_pidfd),
                WITHOUT_LEAKS(test_stopped_worker),
                WITHOUT_LEAKS(test_epoll_watches_the_open_file),
                WITHOUT_LEAKS(test_accept_at_the_limit_keeps_the_connection),
                WITHOUT_LEAKS(test_accept_of_one_that_is_gone),
                WITHOUT_LEAKS(test_accepted_socket_blocks_unless_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
