/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The dispatcher's side of a channel: src/dispatcher/channel.c. */

#include <fcntl.h>
#include <unistd.h>

#include "dispatcher/channel.h"
#include "raw.h"

#ifndef SO_PASSPIDFD /* Linux 6.5 */
#define SO_PASSPIDFD 76
#endif

static struct channel channel;

static int begin(void **state)
{
        leaks_begin(state);
        assert_int_equal(channel_open(&channel), 0);
        return 0;
}

static int end(void **state)
{
        channel_close(&channel);
        return leaks_end(state);
}

/* Sends one end of a new socketpair, as a connection. Returns its inode; *ret_client is the other
 * end. */
static uint64_t send_one(uint64_t id, int *ret_client)
{
        uint64_t inode;
        int pair[2];

        open_pair(SOCK_STREAM, pair);
        inode = inode_of(pair[0]);
        assert_int_equal(channel_send_connection(&channel, id, 2, 3, pair[0]), 0);
        fd_close(pair[0]);
        *ret_client = pair[1];
        return inode;
}

static void send_many(uint64_t n)
{
        for (uint64_t id = 1; id <= n; id++) {
                int client;

                (void)send_one(id, &client);
                fd_close(client);
        }
}

static void expect_taken_back(uint64_t expected)
{
        uint64_t id;
        bool dropped;
        int fd;

        assert_int_equal(channel_take_back(&channel, &id, &fd, &dropped), 0);
        assert_int_equal(id, expected);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        fd_close(fd);
}

static void expect_empty(void)
{
        uint64_t id;
        bool dropped;
        int fd;

        assert_int_equal(channel_take_back(&channel, &id, &fd, &dropped), WIRE_EMPTY);
        assert_int_equal(channel_count_queued(&channel), 0);
}

static void test_open_and_close(void **state)
{
        struct channel none = CHANNEL_NULL;

        (void)state;
        assert_int_equal(fcntl(channel.fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(channel.queue_fd, F_GETFD), FD_CLOEXEC);
        channel_close(&channel);
        channel_close(&channel);
        channel_close(&none);
        leave_descriptors(1);
        assert_int_equal(channel_open(&none), -EMFILE);
}

static void test_worker_receives_what_was_sent(void **state)
{
        _cleanup_(fd_closep) int client = -1, fd = -1;
        uint64_t inode = send_one(77, &client);
        struct record record;
        const char *why;

        (void)state;
        assert_int_equal(wire_receive(channel.queue_fd, false, &record, &fd, &why), 0);
        assert_true(inode_of(fd) == inode);
        assert_int_equal(record.id, 77);
        assert_int_equal(record.listener, 2);
        assert_int_equal(record.value, 3);
}

static void test_count(void **state)
{
        struct record ping = raw_record(RECORD_PING, 0, 0);

        (void)state;
        assert_int_equal(channel_count_queued(&channel), 0);
        send_many(5);
        assert_int_equal(channel_count_queued(&channel), 5);
        assert_int_equal(wire_send(channel.fd, &ping, -1), 0);
        assert_int_equal(channel_count_queued(&channel), 6);
        expect_taken_back(1);
        assert_int_equal(channel_count_queued(&channel), 5);
}

static void test_take_back_in_order(void **state)
{
        (void)state;
        send_many(5);
        for (uint64_t id = 1; id <= 5; id++)
                expect_taken_back(id);
        expect_empty();
}

static void test_take_back_drops_questions(void **state)
{
        struct record ping = raw_record(RECORD_PING, 0, 0);
        struct record list = raw_record(RECORD_LIST, 0, 0);

        (void)state;
        assert_int_equal(wire_send(channel.fd, &ping, -1), 0);
        send_many(1);
        assert_int_equal(wire_send(channel.fd, &list, -1), 0);
        assert_int_equal(wire_send(channel.fd, &ping, -1), 0);
        expect_taken_back(1);
        expect_empty();
}

static void test_drain_is_told(void **state)
{
        struct record record;
        const char *why;
        int fd;

        (void)state;
        assert_int_equal(channel_tell_drain(&channel, RECORD_DRAIN_RETIRE, 12345), 0);
        channel_shutdown(&channel);
        assert_int_equal(wire_receive(channel.queue_fd, false, &record, &fd, &why), 0);
        assert_int_equal(record.type, RECORD_DRAIN);
        assert_int_equal(record.value, RECORD_DRAIN_RETIRE);
        assert_int_equal(record.id, 12345);
        assert_int_equal(wire_receive(channel.queue_fd, false, &record, &fd, &why), WIRE_END);
}

/* It is no question: nobody has to ask it again. */
/* REVIEW 2.3 and 2.4: taken for a question, so its slot stayed with the worker till that died. */
static void test_take_back_without_its_descriptor(void **state)
{
        const int on = 1;
        int client, fd = 0;
        uint64_t id = 0;
        bool dropped;

        (void)state;
        (void)send_one(7, &client);
        channel_reclaim(&channel);
        assert_int_equal(setsockopt(channel.queue_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        assert_int_equal(channel_take_back(&channel, &id, &fd, &dropped), 0);
        assert_int_equal(id, 7);
        assert_int_equal(fd, -1);
        assert_false(dropped);
        fd_close(client);
}

static void test_take_back_drops_a_drain(void **state)
{
        uint64_t id;
        bool dropped;
        int fd;

        (void)state;
        send_many(1);
        assert_int_equal(channel_tell_drain(&channel, RECORD_DRAIN_STOP, 0), 0);
        channel_shutdown(&channel);
        expect_taken_back(1);
        assert_int_equal(channel_take_back(&channel, &id, &fd, &dropped), WIRE_EMPTY);
        assert_false(dropped);
}

/* Received without a descriptor to spare, a connection would be gone. */
static void test_nothing_is_lost_at_the_limit(void **state)
{
        uint64_t id;
        bool dropped;
        int fd;

        (void)state;
        send_many(3);
        leave_descriptors(0);
        for (int i = 0; i < 10; i++)
                assert_int_equal(channel_take_back(&channel, &id, &fd, &dropped), -EMFILE);
        assert_int_equal(channel_count_queued(&channel), 3);
        leave_descriptors(1);
        for (uint64_t i = 1; i <= 3; i++)
                expect_taken_back(i);
        expect_empty();
}

static void test_the_client_notices_nothing(void **state)
{
        _cleanup_(fd_closep) int client = -1, fd = -1;
        uint64_t inode = send_one(1, &client), id;
        bool dropped;
        char byte;

        (void)state;
        assert_int_equal(send(client, "a", 1, 0), 1);
        assert_int_equal(channel_take_back(&channel, &id, &fd, &dropped), 0);
        assert_true(inode_of(fd) == inode);
        assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
        assert_int_equal(byte, 'a');
        assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
        fd = fd_close(fd); /* the only copy */
        assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 0);
}

static void test_shutdown(void **state)
{
        struct record done = raw_record(RECORD_DONE, 0, 1);
        struct wire_batch *batch = malloc(sizeof(*batch));

        (void)state;
        assert_non_null(batch);
        send_many(3);
        channel_shutdown(&channel);
        channel_shutdown(&channel);
        assert_int_equal(channel_count_queued(&channel), 3);
        assert_int_equal(channel_send_connection(&channel, 4, 0, 0, STDIN_FILENO), WIRE_GONE);
        /* The worker's words still arrive. */
        assert_int_equal(wire_send_batch(channel.queue_fd, &done, 1), 0);
        assert_int_equal(wire_receive_batch(channel.fd, batch), 0);
        free(batch);
        for (uint64_t id = 1; id <= 3; id++)
                expect_taken_back(id);
        expect_empty(); /* end of file is no connection */
}

/* What a worker had switched on at its end took the room that the descriptor needs. */
static void test_reclaim(void **state)
{
        static const int options[] = { SO_PASSCRED, SO_PASSSEC, SO_TIMESTAMP, SO_TIMESTAMPNS,
                SO_PASSPIDFD };
        int on = 1;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                (void)setsockopt(channel.queue_fd, SOL_SOCKET, options[i], &on, sizeof(on));
        send_many(2);
        channel_reclaim(&channel);
        expect_taken_back(1);
        expect_taken_back(2);
        expect_empty();
}

static void test_take_back_from_a_worker_that_shut_down(void **state)
{
        (void)state;
        send_many(1);
        assert_int_equal(shutdown(channel.queue_fd, SHUT_RDWR), 0);
        assert_int_equal(channel_send_connection(&channel, 2, 0, 0, STDIN_FILENO), WIRE_GONE);
        expect_taken_back(1);
        expect_empty();
}

static void test_full(void **state)
{
        uint64_t n = 0;
        int r;

        (void)state;
        while ((r = channel_send_connection(&channel, n + 1, 0, 0, channel.fd)) == 0)
                n++;
        assert_int_equal(r, WIRE_FULL);
        assert_int_equal(channel_count_queued(&channel), n);
        channel_shutdown(&channel);
        for (uint64_t id = 1; id <= n; id++)
                expect_taken_back(id);
        expect_empty();
}

#define ON_A_CHANNEL(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON_A_CHANNEL(test_open_and_close),
                ON_A_CHANNEL(test_worker_receives_what_was_sent),
                ON_A_CHANNEL(test_count),
                ON_A_CHANNEL(test_take_back_in_order),
                ON_A_CHANNEL(test_take_back_without_its_descriptor),
                ON_A_CHANNEL(test_take_back_drops_questions),
                ON_A_CHANNEL(test_drain_is_told),
                ON_A_CHANNEL(test_take_back_drops_a_drain),
                ON_A_CHANNEL(test_nothing_is_lost_at_the_limit),
                ON_A_CHANNEL(test_the_client_notices_nothing),
                ON_A_CHANNEL(test_shutdown),
                ON_A_CHANNEL(test_reclaim),
                ON_A_CHANNEL(test_take_back_from_a_worker_that_shut_down),
                ON_A_CHANNEL(test_full),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
