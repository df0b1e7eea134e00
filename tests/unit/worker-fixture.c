/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The channel between a worker of libacceptd and the test, and what both of them do on it.
 */

#include <fcntl.h>
#include <poll.h>

#include "base/fd.h"
#include "base/time.h"
#include "wire/wire.h"
#include "worker-fixture.h"

void set_variable(const char *name, const char *format, ...)
{
        char value[64];
        va_list ap;

        va_start(ap, format);
        vsnprintf(value, sizeof(value), format, ap);
        va_end(ap);
        assert_int_equal(setenv(name, value, 1), 0);
}

int fixture_open_channel(void **state)
{
        static struct fixture fixture;
        int pair[2];

        leaks_begin(state);
        open_pair(SOCK_SEQPACKET, pair);
        fixture = (struct fixture){ .peer = pair[0], .channel = pair[1] };
        set_variable("ACCEPTD_CHANNEL", "%d", fixture.channel);
        set_variable("ACCEPTD_LISTENERS", "http:local");
        unsetenv("ACCEPTD_FEATURES");
        *state = &fixture;
        return 0;
}

int fixture_open_worker(void **state)
{
        struct fixture *f;

        fixture_open_channel(state);
        f = *state;
        assert_int_equal(acceptd_worker_open(&f->worker, 0), 0);
        return 0;
}

int fixture_open_modern_worker(void **state)
{
        struct fixture *f;

        fixture_open_channel(state);
        f = *state;
        set_variable("ACCEPTD_FEATURES", "%d", RECORD_FEATURES);
        assert_int_equal(acceptd_worker_open(&f->worker, 0), 0);
        return 0;
}

int fixture_close(void **state)
{
        struct fixture *f = *state;

        if (f->worker)
                acceptd_worker_free(f->worker);
        else
                fd_close(f->channel);
        fd_close(f->peer);
        unsetenv("ACCEPTD_CHANNEL");
        unsetenv("ACCEPTD_LISTENERS");
        unsetenv("ACCEPTD_FEATURES");
        return leaks_end(state);
}

/* --- The dispatcher's side --- */

void hand_over_fd(const struct fixture *f, uint64_t id, int fd)
{
        struct record record = raw_record(RECORD_CONNECTION, (uint32_t)usec_now(), id);

        assert_int_equal(wire_send(f->peer, &record, fd), 0);
}

void hand_over(const struct fixture *f, uint64_t id)
{
        _cleanup_(fd_closep) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        hand_over_fd(f, id, fd);
}

void ask(const struct fixture *f, uint8_t type, uint32_t value)
{
        struct record record = raw_record(type, value, 0);

        assert_int_equal(wire_send(f->peer, &record, -1), 0);
}

size_t try_hear(const struct fixture *f, struct record *records)
{
        ssize_t n = recv(
                f->peer, records, RECORD_BATCH_MAX * sizeof(*records), MSG_DONTWAIT | MSG_TRUNC);

        if (n < 0) {
                assert_int_equal(errno, EAGAIN);
                return 0;
        }
        assert_in_range(n, sizeof(*records), RECORD_BATCH_MAX * sizeof(*records));
        assert_int_equal((size_t)n % sizeof(*records), 0);
        for (size_t i = 0; i < (size_t)n / sizeof(*records); i++)
                assert_null(record_check_to_dispatcher(&records[i]));

        return (size_t)n / sizeof(*records);
}

size_t hear(const struct fixture *f, struct record *records)
{
        size_t n = try_hear(f, records);

        assert_true(n > 0);
        return n;
}

void assert_silent(const struct fixture *f)
{
        struct record records[RECORD_BATCH_MAX];

        assert_int_equal(try_hear(f, records), 0);
}

void assert_record(const struct record *record, uint8_t type, uint64_t id)
{
        assert_int_equal(record->type, type);
        assert_int_equal(record->id, id);
}

void expect_ready(const struct fixture *f, uint32_t capacity, uint64_t features)
{
        struct record records[RECORD_BATCH_MAX];

        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_READY, features);
        assert_int_equal(records[0].value, capacity);
}

void expect_one(const struct fixture *f, uint8_t type, uint32_t value)
{
        struct record records[RECORD_BATCH_MAX];

        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], type, 0);
        assert_int_equal(records[0].value, value);
}

/* --- The worker's side --- */

void be_ready(const struct fixture *f, unsigned capacity)
{
        assert_int_equal(acceptd_worker_ready(f->worker, capacity), (int)capacity);
        expect_one(f, RECORD_READY, capacity);
}

struct acceptd_connection receive_one(const struct fixture *f)
{
        struct acceptd_connection c;

        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_CONNECTION);
        return c;
}

void receive_nothing(const struct fixture *f)
{
        struct acceptd_connection c;

        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_NOTHING);
}

bool wakes(const struct fixture *f)
{
        struct pollfd pollfd = { .fd = acceptd_worker_get_fd(f->worker), .events = POLLIN };

        return poll(&pollfd, 1, 0) == 1;
}

void expect_end(const struct fixture *f, uint8_t type, uint64_t id)
{
        struct record records[RECORD_BATCH_MAX];

        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], type, id);
}

void hold_range(const struct fixture *f, uint64_t from, uint64_t to)
{
        for (uint64_t id = from; id <= to; id++) {
                struct acceptd_connection c;

                hand_over(f, id);
                c = receive_one(f);
                assert_int_equal(c.id, id);
                fd_close(c.fd);
        }
}

void finish_range(const struct fixture *f, uint64_t from, uint64_t to)
{
        for (uint64_t id = from; id <= to; id++)
                assert_int_equal(acceptd_worker_done(f->worker, id), 0);
}

void shrink_channel(const struct fixture *f)
{
        int size = 1;

        assert_int_equal(setsockopt(f->channel, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

void fill_channel(const struct fixture *f, uint64_t n)
{
        be_ready(f, (unsigned)n);
        hold_range(f, 1, n);
        shrink_channel(f);
        for (uint64_t id = 1; id <= n; id++) {
                finish_range(f, id, id);
                assert_in_range(acceptd_worker_flush(f->worker), 0, 1);
        }
}
