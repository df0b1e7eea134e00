/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker at work, src/libacceptd/acceptd-worker.c: connections and their DONEs, PING and LIST,
 * and the end. How it opens its channel is in test-acceptd-worker-open.c, what it refuses in
 * test-acceptd-worker-violations.c, the blocking variant in test-acceptd-worker-wait.c.
 */

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"
#include "wire/wire.h"
#include "worker-fixture.h"

#define LONG_SEC 60 /* longer than a test may take */

/* --- Receiving and DONE --- */

static void test_receive(void **state)
{
        struct fixture *f = *state;
        struct record record = raw_record(RECORD_CONNECTION, (uint32_t)usec_now() - 5000, 77);
        struct acceptd_connection c;
        int pair[2];
        char byte = 0;

        be_ready(f, 2);
        receive_nothing(f);
        assert_false(wakes(f));

        assert_int_equal(
                socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        record.listener = 1;
        assert_int_equal(wire_send(f->peer, &record, pair[0]), 0);
        fd_close(pair[0]);

        assert_true(wakes(f));
        c = receive_one(f);
        assert_false(wakes(f));
        assert_int_equal(c.id, 77);
        assert_int_equal(c.listener, 1);
        assert_in_range(c.waited_us, 5000, LONG_SEC * USEC_PER_SEC);
        assert_in_range(usec_now() - c.accepted_us, c.waited_us, LONG_SEC * USEC_PER_SEC);
        assert_int_equal(fcntl(c.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(c.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        assert_int_equal(acceptd_worker_get_n_held(f->worker), 1);
        assert_int_equal(write(pair[1], "x", 1), 1);
        assert_int_equal(read(c.fd, &byte, 1), 1);
        assert_int_equal(byte, 'x');
        fd_close(c.fd);
        fd_close(pair[1]);
}

/* The clock of the record is not this machine's: 0 says that the time is not known. */
static void test_unknown_waiting_time(void **state)
{
        struct fixture *f = *state;
        struct record record = raw_record(RECORD_CONNECTION, (uint32_t)usec_now() + 1000000000, 5);
        struct record records[RECORD_BATCH_MAX];
        struct acceptd_connection c;

        be_ready(f, 1);
        assert_int_equal(wire_send(f->peer, &record, f->peer), 0);
        c = receive_one(f);
        fd_close(c.fd);
        assert_int_equal(c.waited_us, 0);
        assert_int_equal(c.accepted_us, 0);
        finish_range(f, 5, 5);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 1);
        assert_int_equal(records[0].value, 0);
}

static void test_done_of_unknown(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(acceptd_worker_done(f->worker, 1), -ENOENT);
        be_ready(f, 2);
        assert_int_equal(acceptd_worker_done(f->worker, 1), -ENOENT);
        hold_range(f, 1, 1);
        finish_range(f, 1, 1);
        assert_int_equal(acceptd_worker_done(f->worker, 1), -ENOENT);
}

/* Marks ids of DONE and HELD records; each may come once. Returns whether a PONG came. */
static bool note(const struct record *records, size_t n, uint8_t *done, uint8_t *held, size_t size)
{
        bool pong = false;

        for (size_t i = 0; i < n; i++) {
                if (records[i].type == RECORD_PONG) {
                        assert_false(pong);
                        pong = true;
                        continue;
                }
                assert_true(records[i].id < size);
                if (records[i].type == RECORD_DONE)
                        assert_int_equal(done[records[i].id]++, 0);
                else {
                        assert_int_equal(records[i].type, RECORD_HELD);
                        assert_int_equal(held[records[i].id]++, 0);
                        assert_int_equal(done[records[i].id], 0);
                }
        }

        return pong;
}

static void test_done_with_full_channel(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        uint8_t done[1001] = { 0 }, held[1001] = { 0 };

        fill_channel(f, 1000);
        assert_int_equal(acceptd_worker_get_n_held(f->worker), 0);
        assert_int_equal(acceptd_worker_flush(f->worker), 1);
        assert_false(wakes(f));
        /* room for records is no condition to receive */
        receive_nothing(f);

        while (acceptd_worker_flush(f->worker) == 1) {
                while (!wakes(f))
                        note(records, hear(f, records), done, held, sizeof(done));
                receive_nothing(f);
        }
        for (size_t n; (n = try_hear(f, records)) > 0;)
                note(records, n, done, held, sizeof(done));
        for (size_t id = 1; id <= 1000; id++)
                assert_int_equal(done[id], 1);
}

/* The table keeps what it holds when a second READY makes it larger. */
static void test_capacity_grows_with_held(void **state)
{
        struct fixture *f = *state;
        uint8_t done[65] = { 0 }, held[65] = { 0 };
        struct record records[RECORD_BATCH_MAX];

        be_ready(f, 3);
        hold_range(f, 1, 3);
        finish_range(f, 2, 2);
        expect_end(f, RECORD_DONE, 2);
        assert_int_equal(acceptd_worker_ready(f->worker, 50), 50);
        expect_ready(f, 50, 0);
        hold_range(f, 4, 50);
        ask(f, RECORD_LIST, 1);
        receive_nothing(f);
        assert_true(note(records, hear(f, records), done, held, sizeof(done)));
        for (size_t id = 1; id <= 50; id++)
                assert_int_equal(held[id], id != 2);
        finish_range(f, 1, 1);
        finish_range(f, 3, 50);
}

/* --- PING and LIST --- */

static void test_ping_is_answered_at_once(void **state)
{
        struct fixture *f = *state;

        be_ready(f, 2);
        hold_range(f, 1, 1);
        ask(f, RECORD_PING, 4711);
        ask(f, RECORD_PING, 4712);
        receive_nothing(f);
        expect_one(f, RECORD_PONG, 4711);
        expect_one(f, RECORD_PONG, 4712);

        /* what was said before comes before */
        finish_range(f, 1, 1);
        ask(f, RECORD_PING, 4713);
        receive_nothing(f);
        expect_end(f, RECORD_DONE, 1);
        expect_one(f, RECORD_PONG, 4713);
}

static void test_list_of_none(void **state)
{
        struct fixture *f = *state;

        ask(f, RECORD_LIST, 9);
        receive_nothing(f);
        expect_one(f, RECORD_PONG, 9);
        be_ready(f, 2);
        ask(f, RECORD_LIST, 10);
        receive_nothing(f);
        expect_one(f, RECORD_PONG, 10);
}

/* 63, 64 and 65 stand at the edges of a datagram. */
static void test_list_of_many(void **state)
{
        static const unsigned counts[] = { 1, 63, 64, 65, 127, 128, 150 };
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        unsigned n_held = 0;

        be_ready(f, 200);
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                uint8_t done[201] = { 0 }, held[201] = { 0 };

                hold_range(f, n_held + 1, counts[i]);
                n_held = counts[i];
                ask(f, RECORD_LIST, n_held);
                receive_nothing(f);
                while (!note(records, hear(f, records), done, held, sizeof(done)))
                        ;
                assert_silent(f);
                for (unsigned id = 1; id <= 200; id++)
                        assert_int_equal(held[id], id <= n_held);
        }
}

/* While the answer waits for room, connections end and nothing more is received; in the end each
 * connection was named once: as HELD and perhaps DONE later, or as DONE. */
static void test_list_with_full_channel(void **state)
{
        enum { N = 1500 };
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        uint8_t done[N + 2] = { 0 }, held[N + 2] = { 0 };
        struct acceptd_connection c;
        uint64_t next = N;
        unsigned n_pongs = 0;

        be_ready(f, N + 1);
        hold_range(f, 1, N);
        shrink_channel(f);
        ask(f, RECORD_LIST, 5);
        hand_over(f, N + 1);
        while (acceptd_worker_receive(f->worker, &c, sizeof(c)) == ACCEPTD_NOTHING) {
                finish_range(f, next, next);
                next--;
                n_pongs += note(records, hear(f, records), done, held, sizeof(done));
        }

        /* only with its answer sent did the worker go on to what came next */
        assert_true(next < N);
        assert_int_equal(c.id, N + 1);
        fd_close(c.fd);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        for (size_t n; (n = try_hear(f, records)) > 0;)
                n_pongs += note(records, n, done, held, sizeof(done));
        assert_int_equal(n_pongs, 1);
        for (uint64_t id = 1; id <= N; id++) {
                assert_int_equal(done[id], id > next);
                assert_true(held[id] || done[id]);
        }
        assert_false(wakes(f));
}

/* --- The end --- */

static void test_drain(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        be_ready(f, 3);
        hand_over(f, 1);
        hand_over(f, 2);
        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
        for (uint64_t id = 1; id <= 2; id++) {
                c = receive_one(f);
                assert_int_equal(c.id, id);
                fd_close(c.fd);
        }
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_DRAIN);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_DRAIN);
        assert_false(wakes(f)); /* a loop would spin until the last connection has ended */
        assert_false(acceptd_worker_is_finished(f->worker));

        finish_range(f, 1, 1);
        expect_end(f, RECORD_DONE, 1);
        assert_false(acceptd_worker_is_finished(f->worker));
        assert_false(wakes(f));
        finish_range(f, 2, 2);
        expect_end(f, RECORD_DONE, 2);
        assert_true(acceptd_worker_is_finished(f->worker));
        assert_true(wakes(f)); /* another thread may have said the last one */
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_DRAIN);
        assert_true(wakes(f));
        assert_int_equal(acceptd_exit_status(ACCEPTD_DRAIN), 0);
}

static void test_free_says_last_words(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        be_ready(f, 1);
        hold_range(f, 1, 1);
        finish_range(f, 1, 1);
        acceptd_worker_free(TAKE_PTR(f->worker));
        f->channel = -1;
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 1);
}

/* The instance is gone: what is held can be finished, and nobody waits for its DONE. */
static void test_peer_gone(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        be_ready(f, 100);
        hold_range(f, 1, 80);
        finish_range(f, 1, 1);
        f->peer = fd_close(f->peer);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_DRAIN);
        finish_range(f, 2, 80);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_true(acceptd_worker_is_finished(f->worker));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_WORKER(test_receive),
                WITH_WORKER(test_unknown_waiting_time),
                WITH_WORKER(test_done_of_unknown),
                WITH_WORKER(test_done_with_full_channel),
                WITH_WORKER(test_capacity_grows_with_held),
                WITH_WORKER(test_ping_is_answered_at_once),
                WITH_WORKER(test_list_of_none),
                WITH_WORKER(test_list_of_many),
                WITH_WORKER(test_list_with_full_channel),
                WITH_WORKER(test_drain),
                WITH_WORKER(test_free_says_last_words),
                WITH_WORKER(test_peer_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
