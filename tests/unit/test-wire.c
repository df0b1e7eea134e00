/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Each result of src/wire/wire.c, over real channels. test-wire-batch.c has what goes to the
 * dispatcher.
 */

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "channel-ends.h"
#include "wire/wire.h"

#ifndef SO_PASSRIGHTS /* Linux 6.16 */
#define SO_PASSRIGHTS 83
#endif

#define NOBODYS_UID 54321 /* descriptors in flight are counted by user */

static int send_connection(uint64_t id)
{
        struct record record = raw_record(RECORD_CONNECTION, 7, id);

        return wire_send(here, &record, passed);
}

/* Receives; nothing but a whole CONNECTION may leave a descriptor behind. */
static int receive(struct record *ret_record, int *ret_fd, const char **ret_why)
{
        *ret_fd = -1;
        *ret_why = NULL;
        return wire_receive(there, false, ret_record, ret_fd, ret_why);
}

static void expect_result(int expected)
{
        struct record record;
        const char *why;
        int fd;

        assert_int_equal(receive(&record, &fd, &why), expected);
        assert_int_equal(fd, -1);
}

static void expect_malformed(const char *expected)
{
        struct record record;
        const char *why;
        int fd, before = fd_count();

        assert_int_equal(receive(&record, &fd, &why), WIRE_MALFORMED);
        assert_string_equal(why, expected);
        assert_int_equal(fd, -1);
        assert_int_equal(fd_count(), before);
}

/* --- What goes well --- */

static void test_connection(void **state)
{
        _cleanup_(fd_closep) int fd = -1;
        struct record record;
        const char *why;
        int pair[2];

        (void)state;
        open_pair(SOCK_STREAM, pair);
        record = raw_record(RECORD_CONNECTION, 1, 2);
        record.listener = 3;
        assert_int_equal(wire_send(here, &record, pair[0]), 0);
        assert_true(fcntl(pair[0], F_GETFD) >= 0); /* still the caller's */

        memset(&record, 0, sizeof(record));
        assert_int_equal(receive(&record, &fd, &why), 0);
        assert_int_equal(record.type, RECORD_CONNECTION);
        assert_int_equal(record.value, 1);
        assert_int_equal(record.id, 2);
        assert_int_equal(record.listener, 3);
        assert_true(inode_of(fd) == inode_of(pair[0]));
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        fd_close(pair[0]);
        fd_close(pair[1]);
}

static void test_questions(void **state)
{
        struct record record = raw_record(RECORD_PING, 5, 0);
        const char *why;
        int fd = 99;

        (void)state;
        assert_int_equal(wire_send(here, &record, -1), 0);
        record = raw_record(RECORD_LIST, 6, 0);
        assert_int_equal(wire_send(here, &record, -1), 0);

        assert_int_equal(wire_receive(there, false, &record, &fd, &why), 0);
        assert_int_equal(record.type, RECORD_PING);
        assert_int_equal(record.value, 5);
        assert_int_equal(fd, -1);
        assert_int_equal(receive(&record, &fd, &why), 0);
        assert_int_equal(record.type, RECORD_LIST);
        expect_result(WIRE_EMPTY);
}

static void test_order(void **state)
{
        struct record record;
        const char *why;
        int fd;

        (void)state;
        for (uint64_t id = 1; id <= 50; id++)
                assert_int_equal(send_connection(id), 0);
        for (uint64_t id = 1; id <= 50; id++) {
                assert_int_equal(receive(&record, &fd, &why), 0);
                assert_int_equal(record.id, id);
                fd_close(fd);
        }
}

static int send_from_child(void)
{
        return send_connection(1);
}

static void test_wait(void **state)
{
        struct record record;
        const char *why;
        int fd = -1;

        (void)state;
        assert_int_equal(run_in_child(send_from_child), 0);
        assert_int_equal(wire_receive(there, true, &record, &fd, &why), 0);
        fd_close(fd);
        here = fd_close(here);
        assert_int_equal(wire_receive(there, true, &record, &fd, &why), WIRE_END);
}

/* --- Sending fails --- */

static void test_full_queue(void **state)
{
        struct record record;
        const char *why;
        size_t n = 0;
        int r, fd;

        (void)state;
        while ((r = send_connection(n + 1)) == 0)
                n++;
        assert_int_equal(r, WIRE_FULL);
        assert_true(n > 100);
        assert_int_equal(send_connection(n), WIRE_FULL);
        for (uint64_t id = 1; id <= n; id++) {
                assert_int_equal(receive(&record, &fd, &why), 0);
                assert_int_equal(record.id, id);
                fd_close(fd);
        }
        assert_int_equal(send_connection(1), 0);
}

/* Sends until the user has too many descriptors in flight. Returns 0 where all is as it should be,
 * else the number of the step. */
static int send_too_many(void)
{
        const struct rlimit limit = { .rlim_cur = 32, .rlim_max = 32 };
        struct record record;
        const char *why;
        int fd, n = 0;

        if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || setuid(NOBODYS_UID) < 0)
                return 1;
        while (n < 200 && send_connection(1) == 0)
                n++;
        if (n < 32 || n >= 100) /* the queue takes more */
                return 2;
        if (send_connection(1) != WIRE_FULL || errno != ETOOMANYREFS)
                return 3;
        if (wire_receive(there, false, &record, &fd, &why) != 0)
                return 4;
        (void)close(fd);
        if (send_connection(1) != 0)
                return 5;

        return 0;
}

static void test_too_many_in_flight(void **state)
{
        (void)state;
        if (geteuid() != 0)
                skip();
        assert_int_equal(run_in_child(send_too_many), 0);
}

static void test_gone(void **state)
{
        struct record ping = raw_record(RECORD_PING, 0, 0);

        (void)state;
        assert_int_equal(shutdown(there, SHUT_RD), 0);
        assert_int_equal(send_connection(1), WIRE_GONE);
        there = fd_close(there);
        assert_int_equal(send_connection(1), WIRE_GONE);
        assert_int_equal(wire_send(here, &ping, -1), WIRE_GONE);
        assert_int_equal(wire_send_batch(here, &ping, 1), WIRE_GONE);
}

static void test_gone_with_unread_data(void **state)
{
        (void)state;
        assert_int_equal(send_connection(1), 0);
        there = fd_close(there);
        assert_int_equal(send_connection(2), WIRE_GONE); /* ECONNRESET */
        assert_int_equal(send_connection(3), WIRE_GONE); /* EPIPE */
}

/* The dispatcher ended when a worker refused descriptors. */
static void test_peer_that_refuses_descriptors(void **state)
{
        int off = 0;

        (void)state;
        if (setsockopt(there, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) < 0)
                skip();
        assert_int_equal(send_connection(1), WIRE_GONE);
}

static void test_own_errors(void **state)
{
        struct record ping = raw_record(RECORD_PING, 0, 0), record;
        const char *why;
        int fd;

        (void)state;
        assert_int_equal(wire_send(-1, &ping, -1), -EBADF);
        assert_int_equal(wire_send(here, &ping, 12345), -EBADF);
        assert_int_equal(wire_send_batch(-1, &ping, 1), -EBADF);
        assert_int_equal(wire_receive(-1, false, &record, &fd, &why), -EBADF);
}

/* --- The end --- */

static void test_end_after_close(void **state)
{
        struct record ping = raw_record(RECORD_PING, 0, 0), record;
        const char *why;
        int fd;

        (void)state;
        assert_int_equal(wire_send(here, &ping, -1), 0);
        here = fd_close(here);
        assert_int_equal(receive(&record, &fd, &why), 0);
        expect_result(WIRE_END);
        expect_result(WIRE_END);
}

static void test_end_after_shutdown(void **state)
{
        (void)state;
        assert_int_equal(shutdown(here, SHUT_WR), 0);
        expect_result(WIRE_END);
        expect_result(WIRE_END);
}

static void test_end_where_the_peer_left_data_unread(void **state)
{
        (void)state;
        assert_int_equal(raw_send(there, "x", 1, -1, 0), 0);
        here = fd_close(here);
        expect_result(WIRE_END); /* ECONNRESET */
        expect_result(WIRE_END);
}

static void test_empty_datagram_is_the_end(void **state)
{
        (void)state;
        assert_int_equal(raw_send(here, "", 0, -1, 0), 0);
        expect_result(WIRE_END);
        assert_int_equal(raw_send(here, "", 0, passed, 1), 0);
        expect_malformed("wrong length (allowed: one record of 16 bytes)");
}

/* --- Malformed --- */

static void test_lengths(void **state)
{
        static const size_t lengths[] = { 1, 15, 17, 32, 2000 };
        struct record records[125] = { raw_record(RECORD_CONNECTION, 0, 1) };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                assert_int_equal(raw_send(here, records, lengths[i], passed, 1), 0);
                expect_malformed("wrong length (allowed: one record of 16 bytes)");
        }
}

static void test_unsound_records(void **state)
{
        struct record record = raw_record(RECORD_DONE, 0, 1);

        (void)state;
        assert_int_equal(raw_send(here, &record, sizeof(record), passed, 1), 0);
        expect_malformed("unknown record type (allowed: CONNECTION, PING, LIST, DRAIN, FINISHED)");
        record = raw_record(RECORD_CONNECTION, 0, 0);
        assert_int_equal(raw_send(here, &record, sizeof(record), passed, 1), 0);
        expect_malformed("connection id is 0");
}

static void test_descriptors_that_are_too_many(void **state)
{
        static const size_t numbers[] = { 0, 2, 3, RAW_FDS_MAX };
        struct record connection = raw_record(RECORD_CONNECTION, 0, 1);
        struct record ping = raw_record(RECORD_PING, 0, 0);

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                assert_int_equal(
                        raw_send(here, &connection, sizeof(connection), passed, numbers[i]), 0);
                expect_malformed("a record without exactly one descriptor");
                if (numbers[i] == 0)
                        continue;
                assert_int_equal(raw_send(here, &ping, sizeof(ping), passed, numbers[i]), 0);
                expect_malformed("a descriptor that does not belong to this record");
        }
        /* What was wrong leaves nothing behind that disturbs the next. */
        assert_int_equal(wire_send(here, &ping, -1), 0);
        expect_result(0);
}

/* --- At the descriptor limit --- */

static void test_lost_descriptor(void **state)
{
        struct record record;
        const char *why;
        int fd;

        (void)state;
        assert_int_equal(send_connection(42), 0);
        assert_int_equal(send_connection(43), 0);
        leave_descriptors(0);
        assert_int_equal(receive(&record, &fd, &why), WIRE_FD_LOST);
        assert_int_equal(record.id, 42);
        assert_int_equal(fd, -1);
        leave_descriptors(1);
        assert_int_equal(receive(&record, &fd, &why), 0);
        assert_int_equal(record.id, 43);
        fd_close(fd);
}

static void test_malformed_at_the_limit(void **state)
{
        struct record connection = raw_record(RECORD_CONNECTION, 0, 1);
        struct record ping = raw_record(RECORD_PING, 0, 0);
        struct record record;
        const char *why;
        int fd;

        (void)state;
        assert_int_equal(raw_send(here, &connection, sizeof(connection), passed, 2), 0);
        assert_int_equal(raw_send(here, &ping, sizeof(ping), passed, 1), 0);
        leave_descriptors(1); /* one of two comes */
        assert_int_equal(receive(&record, &fd, &why), WIRE_MALFORMED);
        assert_string_equal(why, "a record without exactly one descriptor");
        leave_descriptors(0);
        assert_int_equal(receive(&record, &fd, &why), WIRE_MALFORMED);
        assert_string_equal(why, "a descriptor that does not belong to this record");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON_A_CHANNEL(test_connection),
                ON_A_CHANNEL(test_questions),
                ON_A_CHANNEL(test_order),
                ON_A_CHANNEL(test_wait),
                ON_A_CHANNEL(test_full_queue),
                ON_A_CHANNEL(test_too_many_in_flight),
                ON_A_CHANNEL(test_gone),
                ON_A_CHANNEL(test_gone_with_unread_data),
                ON_A_CHANNEL(test_peer_that_refuses_descriptors),
                ON_A_CHANNEL(test_own_errors),
                ON_A_CHANNEL(test_end_after_close),
                ON_A_CHANNEL(test_end_after_shutdown),
                ON_A_CHANNEL(test_end_where_the_peer_left_data_unread),
                ON_A_CHANNEL(test_empty_datagram_is_the_end),
                ON_A_CHANNEL(test_lengths),
                ON_A_CHANNEL(test_unsound_records),
                ON_A_CHANNEL(test_descriptors_that_are_too_many),
                ON_A_CHANNEL(test_lost_descriptor),
                ON_A_CHANNEL(test_malformed_at_the_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
