/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * libacceptd, driven over a real channel: the test plays the dispatcher at the other end. Around
 * each test, the descriptors of the process are the same before and after.
 */

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/time.h"
#include "libacceptd/acceptd.h"
#include "wire/wire.h"

#define DEADLINE_SEC 60
#define SPARE_FDS    8 /* as in environment.c */

struct fixture {
        int n_fds;
        int peer;    /* the dispatcher's end */
        int channel; /* the worker's; owned by `worker` once that is there */
        struct acceptd_worker *worker;
        struct rlimit limit;
};

static void set_variable(const char *name, const char *format, ...) _printf_(2, 3);

static void set_variable(const char *name, const char *format, ...)
{
        char value[64];
        va_list ap;

        va_start(ap, format);
        vsnprintf(value, sizeof(value), format, ap);
        va_end(ap);
        assert_int_equal(setenv(name, value, 1), 0);
}

static int setup_channel(void **state)
{
        static struct fixture fixture;
        int pair[2];

        alarm(DEADLINE_SEC);
        fixture = (struct fixture){ .n_fds = fd_count() };
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &fixture.limit), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fixture.peer = pair[0];
        fixture.channel = pair[1];
        set_variable("ACCEPTD_CHANNEL", "%d", fixture.channel);
        set_variable("ACCEPTD_LISTENERS", "http:local");
        *state = &fixture;
        return 0;
}

static int setup_worker(void **state)
{
        struct fixture *f;

        setup_channel(state);
        f = *state;
        assert_int_equal(acceptd_worker_open(&f->worker), 0);
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(setrlimit(RLIMIT_NOFILE, &f->limit), 0);
        if (f->worker)
                acceptd_worker_free(f->worker);
        else
                fd_close(f->channel);
        fd_close(f->peer);
        unsetenv("ACCEPTD_CHANNEL");
        unsetenv("ACCEPTD_LISTENERS");
        assert_int_equal(fd_count(), f->n_fds);
        alarm(0);
        return 0;
}

/* --- the dispatcher's side --- */

static struct record make(uint8_t type, uint32_t value, uint64_t id)
{
        return (struct record){ .version = RECORD_VERSION, .type = type, .value = value, .id = id };
}

static void hand_over_fd(const struct fixture *f, uint64_t id, int fd)
{
        struct record record = make(RECORD_CONNECTION, (uint32_t)usec_now(), id);

        assert_int_equal(wire_send(f->peer, &record, fd), 0);
}

static void hand_over(const struct fixture *f, uint64_t id)
{
        _cleanup_(fd_closep) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        hand_over_fd(f, id, fd);
}

static void ask(const struct fixture *f, uint8_t type, uint32_t value)
{
        struct record record = make(type, value, 0);

        assert_int_equal(wire_send(f->peer, &record, -1), 0);
}

/* Reads one datagram, if there is one. Returns the number of records, 0 for none. */
static size_t try_hear(const struct fixture *f, struct record *records)
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

static size_t hear(const struct fixture *f, struct record *records)
{
        size_t n = try_hear(f, records);

        assert_true(n > 0);
        return n;
}

static void assert_silent(const struct fixture *f)
{
        struct record records[RECORD_BATCH_MAX];

        assert_int_equal(try_hear(f, records), 0);
}

static void assert_record(const struct record *record, uint8_t type, uint64_t id)
{
        assert_string_equal(record_type_name(record->type), record_type_name(type));
        assert_int_equal(record->id, id);
}

static void expect_one(const struct fixture *f, uint8_t type, uint32_t value)
{
        struct record records[RECORD_BATCH_MAX];

        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], type, 0);
        assert_int_equal(records[0].value, value);
}

/* --- the worker's side --- */

static void be_ready(const struct fixture *f, unsigned capacity)
{
        assert_int_equal(acceptd_worker_ready(f->worker, capacity), (int)capacity);
        expect_one(f, RECORD_READY, capacity);
}

static struct acceptd_connection receive_one(const struct fixture *f)
{
        struct acceptd_connection c;

        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_CONNECTION);
        return c;
}

/* Holds connections from..to; their descriptors do not matter. */
static void hold_range(const struct fixture *f, uint64_t from, uint64_t to)
{
        for (uint64_t id = from; id <= to; id++) {
                struct acceptd_connection c;

                hand_over(f, id);
                c = receive_one(f);
                assert_int_equal(c.id, id);
                fd_close(c.fd);
        }
}

static void finish_range(const struct fixture *f, uint64_t from, uint64_t to)
{
        for (uint64_t id = from; id <= to; id++)
                assert_int_equal(acceptd_worker_done(f->worker, id), 0);
}

/* Room for a handful of datagrams only. */
static void shrink_channel(const struct fixture *f)
{
        int size = 1;

        assert_int_equal(setsockopt(f->channel, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

/* --- opening --- */

static void assert_open_fails(const struct fixture *f, int error)
{
        struct acceptd_worker *worker = NULL;

        assert_int_equal(acceptd_worker_open(&worker), error);
        assert_null(worker);
        assert_int_equal(acceptd_exit_status(error), 64);
        assert_non_null(strstr(acceptd_worker_explain(NULL, error), "ACCEPTD_CHANNEL"));
        assert_int_equal(fcntl(f->channel, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void test_open_refuses(void **state)
{
        static const char *const bad[] = { "", "x", " 3", "+3", "-1", "3x", "4294967299",
                "99999999999999999999" };
        struct fixture *f = *state;
        _cleanup_(fd_closep) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        _cleanup_(fd_closep) int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_(fd_closep) int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        unsetenv("ACCEPTD_CHANNEL");
        assert_open_fails(f, -ENXIO);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                set_variable("ACCEPTD_CHANNEL", "%s", bad[i]);
                assert_open_fails(f, -EBADF);
        }
        set_variable("ACCEPTD_CHANNEL", "%d", 1 << 20);
        assert_open_fails(f, -EBADF);
        set_variable("ACCEPTD_CHANNEL", "%d", null);
        assert_open_fails(f, -EPROTOTYPE);
        set_variable("ACCEPTD_CHANNEL", "%d", stream);
        assert_open_fails(f, -EPROTOTYPE);
        if (inet >= 0) {
                set_variable("ACCEPTD_CHANNEL", "%d", inet);
                assert_open_fails(f, -EPROTOTYPE);
        }
}

static void test_open_takes_channel_and_names(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(fcntl(f->channel, F_SETFD, 0), 0);
        assert_int_equal(acceptd_worker_open(&f->worker), 0);
        assert_int_equal(fcntl(f->channel, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_null(getenv("ACCEPTD_CHANNEL"));
        assert_int_equal(acceptd_worker_get_fd(f->worker), f->channel);
        assert_int_equal(acceptd_worker_get_n_listeners(f->worker), 2);
        assert_string_equal(acceptd_worker_get_listener_name(f->worker, 0), "http");
        assert_string_equal(acceptd_worker_get_listener_name(f->worker, 1), "local");
        assert_null(acceptd_worker_get_listener_name(f->worker, 2));
        assert_silent(f);
}

static void test_open_without_names(void **state)
{
        struct fixture *f = *state;

        unsetenv("ACCEPTD_LISTENERS");
        assert_int_equal(acceptd_worker_open(&f->worker), 0);
        assert_int_equal(acceptd_worker_get_n_listeners(f->worker), 0);
        assert_null(acceptd_worker_get_listener_name(f->worker, 0));
}

static void test_free_takes_null(void **state)
{
        (void)state;
        acceptd_worker_free(NULL);
}

/* --- READY --- */

static void test_ready(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(acceptd_worker_ready(f->worker, 0), -EINVAL);
        assert_silent(f);
        be_ready(f, 1);
        be_ready(f, 100);
        be_ready(f, 3);
}

static void set_fd_limit(const struct fixture *f, int limit)
{
        struct rlimit new = { .rlim_cur = (rlim_t)limit, .rlim_max = f->limit.rlim_max };

        assert_int_equal(setrlimit(RLIMIT_NOFILE, &new), 0);
}

static void test_ready_under_fd_limit(void **state)
{
        struct fixture *f = *state;
        int used = fd_count();

        set_fd_limit(f, used + SPARE_FDS + 5);
        assert_int_equal(acceptd_worker_ready(f->worker, 1000), 5);
        expect_one(f, RECORD_READY, 5);
        assert_int_equal(acceptd_worker_ready(f->worker, 4), 4);
        expect_one(f, RECORD_READY, 4);

        set_fd_limit(f, used + SPARE_FDS);
        assert_int_equal(acceptd_worker_ready(f->worker, 1000), -EMFILE);
        assert_silent(f);
}

/* Connections in hand are part of the capacity, not of what the process needs for itself. */
static void test_ready_again_counts_held(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection held[3];

        set_fd_limit(f, fd_count() + SPARE_FDS + 5);
        assert_int_equal(acceptd_worker_ready(f->worker, 1000), 5);
        expect_one(f, RECORD_READY, 5);
        for (uint64_t i = 0; i < 3; i++) {
                hand_over(f, i + 1);
                held[i] = receive_one(f);
        }
        assert_int_equal(acceptd_worker_ready(f->worker, 1000), 5);
        for (size_t i = 0; i < 3; i++)
                fd_close(held[i].fd);
}

/* --- receiving and DONE --- */

static void test_receive(void **state)
{
        struct fixture *f = *state;
        struct record record = make(RECORD_CONNECTION, (uint32_t)usec_now() - 5000, 77);
        struct acceptd_connection c;
        int pair[2];
        char byte = 0;

        be_ready(f, 2);
        assert_int_equal(acceptd_worker_get_events(f->worker), POLLIN);
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);

        assert_int_equal(
                socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        record.listener = 1;
        assert_int_equal(wire_send(f->peer, &record, pair[0]), 0);
        fd_close(pair[0]);

        c = receive_one(f);
        assert_int_equal(c.id, 77);
        assert_int_equal(c.listener, 1);
        assert_in_range(c.waited_us, 5000, DEADLINE_SEC * USEC_PER_SEC);
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
        struct record record = make(RECORD_CONNECTION, (uint32_t)usec_now() + 1000000000, 5);
        struct record records[RECORD_BATCH_MAX];
        struct acceptd_connection c;

        be_ready(f, 1);
        assert_int_equal(wire_send(f->peer, &record, f->peer), 0);
        c = receive_one(f);
        fd_close(c.fd);
        assert_int_equal(c.waited_us, 0);
        finish_range(f, 5, 5);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 1);
        assert_int_equal(records[0].value, 0);
}

static void test_done_in_batches(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        be_ready(f, 200);
        hold_range(f, 1, 100);
        finish_range(f, 1, 3);
        assert_silent(f);
        assert_int_equal(acceptd_worker_get_events(f->worker), POLLIN | POLLOUT);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(acceptd_worker_get_events(f->worker), POLLIN);
        assert_int_equal(hear(f, records), 3);
        for (uint64_t i = 0; i < 3; i++) {
                assert_record(&records[i], RECORD_DONE, i + 1);
                assert_true(records[i].value > 0);
        }

        finish_range(f, 4, 66);
        assert_silent(f);
        finish_range(f, 67, 67); /* the 64th goes without flush */
        assert_int_equal(hear(f, records), 64);
        assert_silent(f);
        assert_int_equal(acceptd_worker_get_n_held(f->worker), 33);
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
        struct acceptd_connection c;

        be_ready(f, 1000);
        hold_range(f, 1, 1000);
        shrink_channel(f);
        for (uint64_t id = 1; id <= 1000; id++) {
                finish_range(f, id, id);
                assert_int_equal(acceptd_worker_flush(f->worker), 0);
        }
        assert_int_equal(acceptd_worker_get_n_held(f->worker), 0);
        assert_int_equal(acceptd_worker_get_events(f->worker), POLLIN | POLLOUT);
        /* room for records is no condition to receive */
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);

        while (acceptd_worker_get_events(f->worker) & POLLOUT) {
                note(records, hear(f, records), done, held, sizeof(done));
                assert_int_equal(acceptd_worker_flush(f->worker), 0);
        }
        for (size_t n; (n = try_hear(f, records)) > 0;)
                note(records, n, done, held, sizeof(done));
        for (size_t id = 1; id <= 1000; id++)
                assert_int_equal(done[id], 1);
}

/* --- PING and LIST --- */

static void test_ping_is_answered_at_once(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        struct acceptd_connection c;

        be_ready(f, 2);
        hold_range(f, 1, 1);
        ask(f, RECORD_PING, 4711);
        ask(f, RECORD_PING, 4712);
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);
        expect_one(f, RECORD_PONG, 4711);
        expect_one(f, RECORD_PONG, 4712);

        /* what waits goes along, before */
        finish_range(f, 1, 1);
        ask(f, RECORD_PING, 4713);
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);
        assert_int_equal(hear(f, records), 2);
        assert_record(&records[0], RECORD_DONE, 1);
        assert_record(&records[1], RECORD_PONG, 0);
}

static void test_list_of_none(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        ask(f, RECORD_LIST, 9);
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);
        expect_one(f, RECORD_PONG, 9);
        be_ready(f, 2);
        ask(f, RECORD_LIST, 10);
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);
        expect_one(f, RECORD_PONG, 10);
}

/* 63, 64 and 65 stand at the edges of a datagram. */
static void test_list_of_many(void **state)
{
        static const unsigned counts[] = { 1, 63, 64, 65, 127, 128, 150 };
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        struct acceptd_connection c;
        unsigned n_held = 0;

        be_ready(f, 200);
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                uint8_t done[201] = { 0 }, held[201] = { 0 };

                hold_range(f, n_held + 1, counts[i]);
                n_held = counts[i];
                ask(f, RECORD_LIST, n_held);
                assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);
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
        while (acceptd_worker_receive(f->worker, &c) == ACCEPTD_NOTHING) {
                assert_int_equal(acceptd_worker_get_events(f->worker), POLLOUT);
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
        assert_int_equal(acceptd_worker_get_events(f->worker), POLLIN);
}

/* --- the end --- */

static void test_drain(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
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
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_DRAIN);
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_DRAIN);
        assert_int_equal(acceptd_worker_get_events(f->worker), 0);
        assert_false(acceptd_worker_is_finished(f->worker));

        finish_range(f, 1, 2);
        assert_false(acceptd_worker_is_finished(f->worker));
        assert_int_equal(acceptd_worker_get_events(f->worker), POLLOUT);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_true(acceptd_worker_is_finished(f->worker));
        assert_int_equal(hear(f, records), 2);
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
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_DRAIN);
        finish_range(f, 2, 80);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_true(acceptd_worker_is_finished(f->worker));
        assert_int_equal(acceptd_worker_get_events(f->worker), 0);
}

/* --- violations --- */

static void assert_violation(const struct fixture *f, const char *word)
{
        struct acceptd_connection c;
        int before = fd_count(), r;

        do
                r = acceptd_worker_receive(f->worker, &c);
        while (r == ACCEPTD_CONNECTION && (fd_close(c.fd), true));
        assert_int_equal(r, -EPROTO);
        assert_non_null(strstr(acceptd_worker_explain(f->worker, r), word));
        assert_int_equal(acceptd_exit_status(r), 76);
        assert_int_equal(fd_count(), before);
}

static void send_bad(const struct fixture *f, const struct record *record, int fd)
{
        be_ready(f, 2);
        assert_int_equal(wire_send(f->peer, record, fd), 0);
}

static void test_bad_version(void **state)
{
        struct record record = make(RECORD_CONNECTION, 0, 1);

        record.version = 2;
        send_bad(*state, &record, 0);
        assert_violation(*state, "version");
}

static void test_bad_type(void **state)
{
        struct record record = make(RECORD_DONE, 0, 1);

        send_bad(*state, &record, 0);
        assert_violation(*state, "type");
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
        struct record records[2] = { make(RECORD_PING, 1, 0), make(RECORD_PING, 2, 0) };

        be_ready(f, 2);
        assert_int_equal(send(f->peer, records, sizeof(records), 0), sizeof(records));
        assert_violation(f, "length");
}

static void test_bad_without_descriptor(void **state)
{
        struct record record = make(RECORD_CONNECTION, 0, 1);

        send_bad(*state, &record, -1);
        assert_violation(*state, "descriptor");
}

static void test_bad_ping_with_descriptor(void **state)
{
        struct record record = make(RECORD_PING, 0, 0);

        send_bad(*state, &record, 0);
        assert_violation(*state, "descriptor");
}

static void test_bad_id_zero(void **state)
{
        struct record record = make(RECORD_CONNECTION, 0, 0);

        send_bad(*state, &record, 0);
        assert_violation(*state, "id");
}

static void test_bad_id_twice(void **state)
{
        struct record record = make(RECORD_CONNECTION, 0, 7);

        send_bad(*state, &record, 0);
        send_bad(*state, &record, 0);
        assert_violation(*state, "held already");
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

/* --- at the descriptor limit --- */

static void test_fd_lost(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        struct acceptd_connection c;
        int pair[2], lowest;
        char byte;

        be_ready(f, 2);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        hand_over_fd(f, 8, pair[0]);
        fd_close(pair[0]);
        lowest = dup(f->peer); /* the lowest free number */
        fd_close(lowest);

        set_fd_limit(f, lowest);
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &f->limit), 0);

        assert_int_equal(acceptd_worker_get_n_fd_lost(f->worker), 1);
        assert_int_equal(acceptd_worker_get_n_held(f->worker), 0);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 8);
        assert_int_equal(read(pair[1], &byte, 1), 0);
        fd_close(pair[1]);
}

/* --- the blocking variant --- */

static void test_wait(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        struct acceptd_connection c;
        int pair[2];

        be_ready(f, 1);
        assert_int_equal(
                socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        ask(f, RECORD_PING, 1);
        hand_over_fd(f, 3, pair[0]);
        fd_close(pair[0]);
        fd_close(pair[1]);

        assert_int_equal(acceptd_worker_wait(f->worker, &c), ACCEPTD_CONNECTION);
        assert_int_equal(c.id, 3);
        assert_int_equal(fcntl(c.fd, F_GETFL) & O_NONBLOCK, 0);
        fd_close(c.fd);
        expect_one(f, RECORD_PONG, 1);

        finish_range(f, 3, 3);
        assert_silent(f);
        hand_over(f, 4);
        assert_int_equal(acceptd_worker_wait(f->worker, &c), ACCEPTD_CONNECTION);
        fd_close(c.fd);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 3);

        finish_range(f, 4, 4);
        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
        assert_int_equal(acceptd_worker_wait(f->worker, &c), ACCEPTD_DRAIN);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 4);
        assert_true(acceptd_worker_is_finished(f->worker));
}

static void test_wait_violation(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        be_ready(f, 1);
        assert_int_equal(send(f->peer, "short", 5, 0), 5);
        assert_int_equal(acceptd_worker_wait(f->worker, &c), -EPROTO);
}

/* Counts DONEs until there are 1000. */
static void *count_done(void *argument)
{
        const struct fixture *f = argument;
        struct record records[RECORD_BATCH_MAX];
        uintptr_t n_done = 0;

        while (n_done < 1000) {
                ssize_t n = recv(f->peer, records, sizeof(records), 0);

                if (n <= 0)
                        break;
                n_done += (size_t)n / sizeof(*records);
        }

        return (void *)n_done;
}

static void test_wait_with_full_channel(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        pthread_t thread;
        void *n_done;

        be_ready(f, 1000);
        hold_range(f, 1, 1000);
        shrink_channel(f);
        for (uint64_t id = 1; id <= 1000; id++) {
                finish_range(f, id, id);
                assert_int_equal(acceptd_worker_flush(f->worker), 0);
        }
        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
        assert_int_equal(pthread_create(&thread, NULL, count_done, f), 0);
        assert_int_equal(acceptd_worker_wait(f->worker, &c), ACCEPTD_DRAIN);
        assert_int_equal(pthread_join(thread, &n_done), 0);
        assert_int_equal((uintptr_t)n_done, 1000);
}

/* A channel that somebody made non-blocking must not turn waiting into spinning or failing. */
static void test_wait_on_nonblocking_channel(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        be_ready(f, 1);
        assert_int_equal(fd_set_nonblock(f->channel), 0);
        hand_over(f, 1);
        assert_int_equal(acceptd_worker_wait(f->worker, &c), ACCEPTD_CONNECTION);
        fd_close(c.fd);
}

/* --- against a model --- */

enum {
        MODEL_SIZE = 300,
        MODEL_STEPS = 20000,
};

struct model {
        uint64_t held[MODEL_SIZE];
        size_t n_held, n_unsaid;
        uint64_t next_id;
};

static void model_listen(const struct fixture *f, struct model *m, bool listed)
{
        struct record records[RECORD_BATCH_MAX];
        size_t n_held = 0;
        bool pong = false;

        for (size_t n; (n = try_hear(f, records)) > 0;)
                for (size_t i = 0; i < n; i++)
                        switch (records[i].type) {
                        case RECORD_DONE:
                                m->n_unsaid--;
                                break;
                        case RECORD_HELD: {
                                size_t at = 0;

                                while (at < m->n_held && m->held[at] != records[i].id)
                                        at++;
                                assert_true(at < m->n_held);
                                n_held++;
                                break;
                        }
                        case RECORD_PONG:
                                pong = true;
                                break;
                        default:
                                fail();
                        }
        assert_int_equal(pong, listed);
        assert_int_equal(n_held, listed ? m->n_held : 0);
}

static void model_step(const struct fixture *f, struct model *m, unsigned what)
{
        struct acceptd_connection c;

        if (what < 50 && m->n_held + m->n_unsaid < MODEL_SIZE) {
                /* as the dispatcher's: a slot in the low bits, a serial above */
                uint64_t id = (m->next_id << 24) | (m->next_id % 7);

                m->next_id++;
                hold_range(f, id, id);
                m->held[m->n_held++] = id;
        } else if (what < 95 && m->n_held > 0) {
                size_t at = (size_t)rand() % m->n_held;

                finish_range(f, m->held[at], m->held[at]);
                m->held[at] = m->held[--m->n_held];
                m->n_unsaid++;
        } else if (what < 99)
                assert_int_equal(acceptd_worker_flush(f->worker), 0);
        else {
                ask(f, RECORD_LIST, 1);
                assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);
        }
        model_listen(f, m, what >= 99);
        assert_int_equal(acceptd_worker_get_n_held(f->worker), m->n_held);
}

static void test_random(void **state)
{
        static struct model m;
        struct fixture *f = *state;

        m = (struct model){ .next_id = 1 };
        srand(1);
        be_ready(f, 10);
        be_ready(f, MODEL_SIZE);
        for (unsigned i = 0; i < MODEL_STEPS; i++)
                model_step(f, &m, (unsigned)rand() % 100);
        while (m.n_held > 0)
                model_step(f, &m, 94);
        model_step(f, &m, 98);
        assert_int_equal(m.n_unsaid, 0);
}

/* The table keeps what it holds when a second READY makes it larger. */
static void test_capacity_grows_with_held(void **state)
{
        struct fixture *f = *state;
        uint8_t done[65] = { 0 }, held[65] = { 0 };
        struct record records[RECORD_BATCH_MAX];
        struct acceptd_connection c;

        be_ready(f, 3);
        hold_range(f, 1, 3);
        finish_range(f, 2, 2);
        assert_int_equal(acceptd_worker_ready(f->worker, 50), 50);
        assert_int_equal(hear(f, records), 2);
        assert_record(&records[0], RECORD_READY, 0);
        assert_record(&records[1], RECORD_DONE, 2);
        hold_range(f, 4, 50);
        ask(f, RECORD_LIST, 1);
        assert_int_equal(acceptd_worker_receive(f->worker, &c), ACCEPTD_NOTHING);
        assert_true(note(records, hear(f, records), done, held, sizeof(done)));
        for (size_t id = 1; id <= 50; id++)
                assert_int_equal(held[id], id != 2);
        finish_range(f, 1, 1);
        finish_range(f, 3, 50);
}

#define WITH_CHANNEL(test) cmocka_unit_test_setup_teardown(test, setup_channel, teardown)
#define WITH_WORKER(test)  cmocka_unit_test_setup_teardown(test, setup_worker, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_CHANNEL(test_open_refuses),
                WITH_CHANNEL(test_open_takes_channel_and_names),
                WITH_CHANNEL(test_open_without_names),
                WITH_CHANNEL(test_free_takes_null),
                WITH_WORKER(test_ready),
                WITH_WORKER(test_ready_under_fd_limit),
                WITH_WORKER(test_ready_again_counts_held),
                WITH_WORKER(test_receive),
                WITH_WORKER(test_unknown_waiting_time),
                WITH_WORKER(test_done_in_batches),
                WITH_WORKER(test_done_of_unknown),
                WITH_WORKER(test_done_with_full_channel),
                WITH_WORKER(test_ping_is_answered_at_once),
                WITH_WORKER(test_list_of_none),
                WITH_WORKER(test_list_of_many),
                WITH_WORKER(test_list_with_full_channel),
                WITH_WORKER(test_drain),
                WITH_WORKER(test_free_says_last_words),
                WITH_WORKER(test_peer_gone),
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
                WITH_WORKER(test_wait),
                WITH_WORKER(test_wait_violation),
                WITH_WORKER(test_wait_with_full_channel),
                WITH_WORKER(test_wait_on_nonblocking_channel),
                WITH_WORKER(test_random),
                WITH_WORKER(test_capacity_grows_with_held),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
