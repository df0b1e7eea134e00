/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the kernel does, where the code relies on it. Channels and descriptors; processes and
 * sockets are in test-kernel-process.c. None of this project's own code is tested here: where one
 * of these fails, the code that cites it has to change.
 */

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "channel-ends.h"

#define ROOM_FOR_ONE CMSG_SPACE(sizeof(int))

/* Expects a message of one byte. */
static void expect_byte(int channel, char expected)
{
        char byte;
        struct raw_message m = raw_receive(channel, &byte, 1, 0);

        assert_int_equal(m.n, 1);
        assert_int_equal(byte, expected);
}

static void expect_nothing(int channel, ssize_t expected)
{
        char byte;

        assert_int_equal(raw_receive(channel, &byte, 1, 0).n, expected);
}

static int queued(int fd)
{
        int n = -1;

        assert_int_equal(ioctl(fd, SIOCINQ, &n), 0);
        return n;
}

/* --- Datagrams: unix(7), SOCK_SEQPACKET --- */

static void test_empty_datagram_reads_as_end_of_file(void **state)
{
        (void)state;
        assert_int_equal(raw_send(here, "", 0, -1, 0), 0);
        assert_int_equal(raw_send(here, "b", 1, -1, 0), 0);
        expect_nothing(there, 0);
        expect_byte(there, 'b');
        here = fd_close(here);
        expect_nothing(there, 0);
}

static void test_long_datagram_is_cut(void **state)
{
        char two[2];
        struct raw_message m;

        (void)state;
        assert_int_equal(raw_send(here, "abc", 3, -1, 0), 0);
        m = raw_receive(there, two, 2, 0);
        assert_int_equal(m.n, 2);
        assert_int_equal(m.flags, MSG_TRUNC);
        expect_nothing(there, -EAGAIN);
}

/* --- Descriptors: unix(7), SCM_RIGHTS; cmsg(3) --- */

static void test_room_for_one_has_room_for_two(void **state)
{
        struct raw_message m;
        char byte;

        (void)state;
        assert_int_equal(raw_send(here, "x", 1, passed, 2), 0);
        m = raw_receive(there, &byte, 1, ROOM_FOR_ONE);
        assert_int_equal(m.n_fds, 2);
        assert_int_equal(m.flags, 0);
        raw_close(&m);
}

static void test_what_does_not_fit_is_closed(void **state)
{
        int before = fd_count();
        struct raw_message m;
        char byte;

        (void)state;
        assert_int_equal(raw_send(here, "x", 1, passed, 3), 0);
        m = raw_receive(there, &byte, 1, ROOM_FOR_ONE);
        assert_int_equal(m.n_fds, 2);
        assert_int_equal(m.flags, MSG_CTRUNC); /* which does not mean that none came */
        assert_int_equal(fd_count(), before + 2);
        raw_close(&m);
}

static void test_without_control_buffer_nothing_comes_in(void **state)
{
        int before = fd_count();
        struct raw_message m;
        char byte;

        (void)state;
        assert_int_equal(raw_send(here, "x", 1, passed, RAW_FDS_MAX), 0);
        m = raw_receive(there, &byte, 1, 0);
        assert_int_equal(m.n, 1);
        assert_int_equal(m.flags, MSG_CTRUNC);
        assert_int_equal(fd_count(), before);
}

static void test_descriptors_in_one_message(void **state)
{
        (void)state;
        assert_int_equal(raw_send(here, "x", 1, passed, RAW_FDS_MAX), 0);
        assert_int_equal(raw_send(here, "x", 1, passed, RAW_FDS_MAX + 1), -EINVAL);
}

static void test_at_the_limit_data_comes_without_descriptor(void **state)
{
        struct raw_message m;
        char byte;

        (void)state;
        assert_int_equal(raw_send(here, "a", 1, passed, 1), 0);
        assert_int_equal(raw_send(here, "b", 1, passed, 2), 0);
        leave_descriptors(0);
        m = raw_receive(there, &byte, 1, ROOM_FOR_ONE);
        assert_int_equal(m.n, 1);
        assert_int_equal(byte, 'a');
        assert_int_equal(m.n_fds, 0);
        assert_int_equal(m.flags, MSG_CTRUNC);

        leave_descriptors(1);
        m = raw_receive(there, &byte, 1, ROOM_FOR_ONE);
        assert_int_equal(m.n_fds, 1);
        assert_int_equal(m.flags, MSG_CTRUNC);
        raw_close(&m);
}

static void test_options_take_the_room_of_a_descriptor(void **state)
{
        int on = 1, off = 0;
        struct raw_message m;
        char byte;

        (void)state;
        assert_int_equal(setsockopt(there, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        for (int i = 0; i < 2; i++)
                assert_int_equal(raw_send(here, "x", 1, passed, 1), 0);
        m = raw_receive(there, &byte, 1, ROOM_FOR_ONE);
        assert_int_equal(m.n_fds, 0);
        assert_int_equal(m.flags, MSG_CTRUNC);
        /* It is looked at when a message is received, not when it is sent. */
        assert_int_equal(setsockopt(there, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)), 0);
        m = raw_receive(there, &byte, 1, ROOM_FOR_ONE);
        assert_int_equal(m.n_fds, 1);
        assert_int_equal(m.flags, 0);
        raw_close(&m);
}

/* While a copy is open anywhere, the client does not see the worker's close(). */
static void test_client_sees_the_last_close_only(void **state)
{
        int client, connection, pair[2];
        struct raw_message m;
        char byte;

        (void)state;
        open_pair(SOCK_STREAM, pair);
        client = pair[0];
        connection = pair[1];
        assert_int_equal(raw_send(here, "x", 1, connection, 1), 0);
        m = raw_receive(there, &byte, 1, ROOM_FOR_ONE);
        assert_int_equal(m.n_fds, 1);
        raw_close(&m);
        expect_nothing(client, -EAGAIN);
        fd_close(connection);
        expect_nothing(client, 0);
        fd_close(client);
}

/* A descriptor that nobody received keeps the connection open, until its queue goes. */
static void test_queued_descriptor_is_a_copy(void **state)
{
        int pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        assert_int_equal(raw_send(here, "x", 1, pair[1], 1), 0);
        fd_close(pair[1]);
        expect_nothing(pair[0], -EAGAIN);
        there = fd_close(there);
        expect_nothing(pair[0], 0);
        fd_close(pair[0]);
}

/* --- Queues --- */

static void test_full_queue(void **state)
{
        size_t n;

        (void)state;
        n = raw_fill(here, passed);
        assert_true(n > 100); /* 278 with the usual buffer */
        assert_int_equal(queued(there), n);
        for (size_t i = 0; i < n; i++)
                expect_byte(there, 'x');
        expect_nothing(there, -EAGAIN);
        assert_int_equal(raw_send(here, "x", 1, passed, 1), 0);
}

/* Fills a queue with 'a' to 'z', takes 'a' from it, and dies. */
static int take_one_and_die(void)
{
        char byte;

        (void)close(here);
        return recv(there, &byte, 1, 0) == 1 && byte == 'a' ? 0 : 1;
}

static void test_queue_outlives_the_worker(void **state)
{
        char byte;

        (void)state;
        for (byte = 'a'; byte <= 'z'; byte++)
                assert_int_equal(raw_send(here, &byte, 1, passed, 1), 0);
        assert_int_equal(run_in_child(take_one_and_die), 0);
        /* Without the duplicate this would be the end of the channel. */
        expect_nothing(here, -EAGAIN);
        assert_int_equal(queued(there), 25);
        for (byte = 'b'; byte <= 'z'; byte++) {
                char room;
                struct raw_message m = raw_receive(there, &room, 1, ROOM_FOR_ONE);

                assert_int_equal(room, byte);
                assert_int_equal(m.n_fds, 1);
                raw_close(&m);
        }
        assert_int_equal(queued(there), 0);
        expect_nothing(there, -EAGAIN);
        assert_int_equal(raw_send(here, "x", 1, passed, 1), 0);
}

static void test_shutdown_is_the_drain(void **state)
{
        (void)state;
        assert_int_equal(raw_send(here, "a", 1, passed, 1), 0);
        assert_int_equal(raw_send(here, "b", 1, passed, 1), 0);
        assert_int_equal(shutdown(here, SHUT_WR), 0);
        assert_int_equal(shutdown(here, SHUT_WR), 0);
        assert_int_equal(raw_send(here, "c", 1, -1, 0), -EPIPE);

        expect_byte(there, 'a');
        assert_int_equal(queued(there), 1);
        expect_byte(there, 'b');
        expect_nothing(there, 0);
        expect_nothing(there, 0);

        /* The other direction flows on. */
        assert_int_equal(raw_send(there, "d", 1, -1, 0), 0);
        expect_byte(here, 'd');
        expect_nothing(here, -EAGAIN);
}

static void test_shutdown_of_a_full_queue(void **state)
{
        size_t n;

        (void)state;
        n = raw_fill(here, passed);
        assert_int_equal(shutdown(here, SHUT_WR), 0);
        for (size_t i = 0; i < n; i++)
                expect_byte(there, 'x');
        expect_nothing(there, 0);
}

/* A worker that shuts its end down leaves its queue readable, too. */
static void test_shutdown_by_the_worker(void **state)
{
        (void)state;
        assert_int_equal(raw_send(here, "a", 1, passed, 1), 0);
        assert_int_equal(shutdown(there, SHUT_RDWR), 0);
        assert_int_equal(raw_send(here, "b", 1, passed, 1), -EPIPE);
        expect_nothing(here, 0);
        expect_byte(there, 'a');
        expect_nothing(there, 0);
}

/* --- memfd_create(2): sealing --- */

static void test_seals(void **state)
{
        _cleanup_(fd_closep) int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        char *p;

        (void)state;
        assert_int_equal(ftruncate(fd, 4096), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
        p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(p != MAP_FAILED);
        p[0] = 1; /* writing stays possible */
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(fd, 8192), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(munmap(p, 4096), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON_A_CHANNEL(test_empty_datagram_reads_as_end_of_file),
                ON_A_CHANNEL(test_long_datagram_is_cut),
                ON_A_CHANNEL(test_room_for_one_has_room_for_two),
                ON_A_CHANNEL(test_what_does_not_fit_is_closed),
                ON_A_CHANNEL(test_without_control_buffer_nothing_comes_in),
                ON_A_CHANNEL(test_descriptors_in_one_message),
                ON_A_CHANNEL(test_at_the_limit_data_comes_without_descriptor),
                ON_A_CHANNEL(test_options_take_the_room_of_a_descriptor),
                ON_A_CHANNEL(test_client_sees_the_last_close_only),
                ON_A_CHANNEL(test_queued_descriptor_is_a_copy),
                ON_A_CHANNEL(test_full_queue),
                ON_A_CHANNEL(test_queue_outlives_the_worker),
                ON_A_CHANNEL(test_shutdown_is_the_drain),
                ON_A_CHANNEL(test_shutdown_of_a_full_queue),
                ON_A_CHANNEL(test_shutdown_by_the_worker),
                ON_A_CHANNEL(test_seals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
