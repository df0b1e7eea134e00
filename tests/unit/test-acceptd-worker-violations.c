/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a worker does not take from its channel, src/libacceptd/acceptd-worker.c: records that no
 * dispatcher of this version sends, and descriptors that there is no room for.
 */

#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "wire/wire.h"
#include "worker-fixture.h"

/* --- Violations --- */

static void assert_violation(const struct fixture *f, const char *word)
{
        struct acceptd_connection c;
        int before = fd_count(), r;

        do
                r = acceptd_worker_receive(f->worker, &c, sizeof(c));
        while (r == ACCEPTD_CONNECTION && (fd_close(c.fd), true));
        assert_int_equal(r, -EPROTO);
        assert_non_null(strstr(acceptd_worker_explain(f->worker, r), word));
        assert_int_equal(acceptd_exit_status(r), 76);
        assert_int_equal(fd_count(), before);
}

static void send_bad(const struct fixture *f, struct record record, int fd)
{
        be_ready(f, 2);
        assert_int_equal(wire_send(f->peer, &record, fd), 0);
}

static void assert_bad(const struct fixture *f, struct record record, int fd, const char *word)
{
        send_bad(f, record, fd);
        assert_violation(f, word);
}

static void test_bad_version(void **state)
{
        struct record record = raw_record(RECORD_CONNECTION, 0, 1);

        record.version = 2;
        assert_bad(*state, record, 0, "version");
}

static void test_bad_type(void **state)
{
        assert_bad(*state, raw_record(RECORD_DONE, 0, 1), 0, "type");
}

static void test_bad_length(void **state)
{
        struct fixture *f = *state;

        be_ready(f, 2);
        assert_int_equal(send(f->peer, "short", 5, 0), 5);
        assert_violation(f, "length");
}

static void test_bad_two_records(void **state)
{
        struct fixture *f = *state;
        struct record records[2] = { raw_record(RECORD_PING, 1, 0), raw_record(RECORD_PING, 2, 0) };

        be_ready(f, 2);
        assert_int_equal(send(f->peer, records, sizeof(records), 0), sizeof(records));
        assert_violation(f, "length");
}

static void test_bad_without_descriptor(void **state)
{
        assert_bad(*state, raw_record(RECORD_CONNECTION, 0, 1), -1, "descriptor");
}

static void test_bad_ping_with_descriptor(void **state)
{
        assert_bad(*state, raw_record(RECORD_PING, 0, 0), 0, "descriptor");
}

static void test_bad_id_zero(void **state)
{
        assert_bad(*state, raw_record(RECORD_CONNECTION, 0, 0), 0, "id");
}

static void test_bad_id_twice(void **state)
{
        struct record record = raw_record(RECORD_CONNECTION, 0, 7);

        send_bad(*state, record, 0);
        assert_bad(*state, record, 0, "held already");
}

static void test_bad_beyond_capacity(void **state)
{
        struct fixture *f = *state;

        be_ready(f, 2);
        for (uint64_t id = 1; id <= 3; id++)
                hand_over(f, id);
        assert_violation(f, "capacity");
}

static void test_bad_before_ready(void **state)
{
        struct fixture *f = *state;

        hand_over(f, 1);
        assert_violation(f, "capacity");
}

/* --- At the descriptor limit --- */

static void test_fd_lost(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        struct rlimit limit;
        int pair[2];
        char byte;

        be_ready(f, 2);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        open_pair(SOCK_STREAM, pair);
        hand_over_fd(f, 8, pair[0]);
        fd_close(pair[0]);

        leave_descriptors(0);
        receive_nothing(f);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

        assert_int_equal(acceptd_worker_get_n_fd_lost(f->worker), 1);
        assert_int_equal(acceptd_worker_get_n_held(f->worker), 0);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 8);
        assert_int_equal(read(pair[1], &byte, 1), 0);
        fd_close(pair[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_WORKER(test_bad_version),
                WITH_WORKER(test_bad_type),
                WITH_WORKER(test_bad_length),
                WITH_WORKER(test_bad_two_records),
                WITH_WORKER(test_bad_without_descriptor),
                WITH_WORKER(test_bad_ping_with_descriptor),
                WITH_WORKER(test_bad_id_zero),
                WITH_WORKER(test_bad_id_twice),
                WITH_WORKER(test_bad_beyond_capacity),
                WITH_WORKER(test_bad_before_ready),
                WITH_WORKER(test_fd_lost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
