/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes to the dispatcher: the batches of src/wire/wire.c, and what a worker may try. */

#include <fcntl.h>

#include "base/fd.h"
#include "channel-ends.h"
#include "wire/wire.h"

#define WRONG_LENGTH "wrong length (allowed: 1 to 64 records of 16 bytes)"

static struct wire_batch batch;

static int begin(void **state)
{
        memset(&batch, 0xff, sizeof(batch));
        return channel_begin(state);
}

/* Sends `n` DONEs in one datagram, with ids from `first` on. */
static void say(uint64_t first, size_t n)
{
        struct record records[RECORD_BATCH_MAX];

        for (size_t i = 0; i < n; i++)
                records[i] = raw_record(RECORD_DONE, 0, first + i);
        assert_int_equal(wire_send_batch(there, records, n), 0);
}

static void say_raw(const void *data, size_t n, size_t n_fds)
{
        _cleanup_(fd_closep) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_int_equal(raw_send(there, data, n, fd, n_fds), 0);
}

/* Hears `n` DONEs with ids from `first` on, and then `result`. */
static void expect(uint64_t first, size_t n, int result)
{
        int before = fd_count();

        assert_int_equal(wire_receive_batch(here, &batch), result);
        assert_int_equal(batch.n_records, n);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(batch.records[i].id, first + i);
        assert_int_equal(fd_count(), before);
}

static void test_one_and_many(void **state)
{
        (void)state;
        expect(0, 0, WIRE_EMPTY);
        say(1, 1);
        expect(1, 1, 0);
        say(1, RECORD_BATCH_MAX);
        expect(1, RECORD_BATCH_MAX, 0);
        expect(0, 0, WIRE_EMPTY);
}

/* Whoever receives next finds the whole datagram, until it is dropped whole. */
static void test_peek(void **state)
{
        (void)state;
        assert_int_equal(wire_peek_batch(here, &batch), WIRE_EMPTY);
        wire_drop_batch(here);
        say(1, 3);
        say(4, 2);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(wire_peek_batch(here, &batch), 0);
                assert_int_equal(batch.n_records, 3);
                assert_int_equal(batch.records[2].id, 3);
        }
        wire_drop_batch(here);
        expect(4, 2, 0);

        /* a descriptor is seen in passing, and goes with the rest */
        say_raw(&(struct record){ .version = RECORD_VERSION, .type = RECORD_READY, .value = 1 },
                sizeof(struct record), 1);
        assert_int_equal(wire_peek_batch(here, &batch), WIRE_MALFORMED);
        wire_drop_batch(here);
        expect(0, 0, WIRE_EMPTY);
        there = fd_close(there);
        assert_int_equal(wire_peek_batch(here, &batch), WIRE_END);
}

static void test_end(void **state)
{
        (void)state;
        say(1, 2);
        say(3, 1);
        there = fd_close(there);
        expect(1, 2, 0);
        expect(3, 1, 0);
        expect(0, 0, WIRE_END);
}

static void test_end_after_shutdown(void **state)
{
        (void)state;
        assert_int_equal(shutdown(there, SHUT_WR), 0);
        expect(0, 0, WIRE_END);
}

static void test_end_where_the_peer_left_data_unread(void **state)
{
        (void)state;
        assert_int_equal(raw_send(here, "x", 1, -1, 0), 0);
        there = fd_close(there);
        expect(0, 0, WIRE_END); /* ECONNRESET */
        expect(0, 0, WIRE_END);
}

static void test_empty_datagram_is_the_end(void **state)
{
        (void)state;
        say(1, 1);
        say_raw("", 0, 0);
        say(2, 1);
        expect(1, 1, 0);
        expect(0, 0, WIRE_END);
        expect(2, 1, 0);
}

static void test_lengths(void **state)
{
        static const size_t lengths[] = { 1, 15, 17, 1023, 1025, 1040, 5000 };
        static struct record records[320];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(records); i++)
                records[i] = raw_record(RECORD_DONE, 0, 1);
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                say_raw(records, lengths[i], 0);
                expect(0, 0, WIRE_MALFORMED);
                assert_string_equal(batch.why, WRONG_LENGTH);
        }
}

static void test_descriptors(void **state)
{
        static const size_t numbers[] = { 1, 2, RAW_FDS_MAX };
        struct record done = raw_record(RECORD_DONE, 0, 1);

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                say_raw(&done, sizeof(done), numbers[i]);
                expect(0, 0, WIRE_MALFORMED);
                assert_string_equal(batch.why, "a descriptor (allowed: none)");
                say_raw("", 0, numbers[i]);
                expect(0, 0, WIRE_MALFORMED);
                assert_string_equal(batch.why, "a descriptor (allowed: none)");
        }
}

static void test_unsound_records(void **state)
{
        struct record records[3] = {
                raw_record(RECORD_DONE, 0, 1),
                raw_record(RECORD_CONNECTION, 0, 2),
                raw_record(RECORD_DONE, 0, 3),
        };

        (void)state;
        say_raw(records, sizeof(records), 0);
        expect(0, 0, WIRE_MALFORMED);
        assert_string_equal(
                batch.why, "unknown record type (allowed: READY, DONE, PONG, HELD, FAILED)");
}

static void test_batch_is_sent_whole_or_not(void **state)
{
        struct record records[RECORD_BATCH_MAX];
        size_t n = 0;
        int r;

        (void)state;
        for (size_t i = 0; i < RECORD_BATCH_MAX; i++)
                records[i] = raw_record(RECORD_HELD, 0, i + 1);
        while ((r = wire_send_batch(there, records, RECORD_BATCH_MAX)) == 0)
                n++;
        assert_int_equal(r, WIRE_FULL);
        while (wire_receive_batch(here, &batch) == 0) {
                assert_int_equal(batch.n_records % RECORD_BATCH_MAX, 0);
                n -= batch.n_records / RECORD_BATCH_MAX;
        }
        assert_int_equal(n, 0);
}

static void test_own_errors(void **state)
{
        (void)state;
        assert_int_equal(wire_receive_batch(-1, &batch), -EBADF);
        assert_int_equal(batch.n_records, 0);
}

#define WITH_A_BATCH(test) cmocka_unit_test_setup_teardown(test, begin, channel_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_A_BATCH(test_one_and_many),
                WITH_A_BATCH(test_peek),
                WITH_A_BATCH(test_end),
                WITH_A_BATCH(test_end_after_shutdown),
                WITH_A_BATCH(test_end_where_the_peer_left_data_unread),
                WITH_A_BATCH(test_empty_datagram_is_the_end),
                WITH_A_BATCH(test_lengths),
                WITH_A_BATCH(test_descriptors),
                WITH_A_BATCH(test_unsound_records),
                WITH_A_BATCH(test_batch_is_sent_whole_or_not),
                WITH_A_BATCH(test_own_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
