/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptd-echo as a process of its own, with the test as its dispatcher: a channel on descriptor 3,
 * and connections whose other ends the test plays too.
 */

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/time.h"
#include "wire/wire.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define DEADLINE_SEC   120
#define DRAIN_MSEC     10000
#define OWN_FDS        5 /* stdin, stdout, stderr, channel, epoll */
#define MIB            (1024 * 1024UL)
#define NAMES          "stream:seqpacket:tcp"
#define CAPACITY_USUAL 1024

enum listener {
        STREAM,
        SEQPACKET,
        TCP,
};

struct fixture {
        int n_fds;
        pid_t pid;
        int pidfd;
        int channel;
        uint64_t last_id;
};

/* --- the process --- */

static void get_program(char *path, size_t size)
{
        ssize_t n = readlink("/proc/self/exe", path, size - 1);
        char *slash = NULL;

        assert_in_range(n, 1, size - 32);
        path[n] = '\0';
        for (int i = 0; i < 3; i++) {
                slash = strrchr(path, '/');
                assert_non_null(slash);
                *slash = '\0';
        }
        strcpy(slash, "/acceptd-echo");
}

static pid_t spawn(const char *const *options, int channel, int error)
{
        char program[4096];
        char *argv[8] = { program };
        char *environment[] = { (char[]){ "ACCEPTD_CHANNEL=3" },
                (char[]){ "ACCEPTD_LISTENERS=" NAMES }, NULL };
        posix_spawn_file_actions_t actions;
        pid_t pid;

        get_program(program, sizeof(program));
        for (size_t i = 0; options && options[i]; i++)
                argv[i + 1] = (char *)(uintptr_t)options[i];

        assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
        assert_int_equal(
                posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0), 0);
        if (error >= 0)
                assert_int_equal(posix_spawn_file_actions_adddup2(&actions, error, 2), 0);
        if (channel >= 0)
                assert_int_equal(posix_spawn_file_actions_adddup2(&actions, channel, 3), 0);
        assert_int_equal(
                posix_spawn_file_actions_addclosefrom_np(&actions, channel >= 0 ? 4 : 3), 0);
        assert_int_equal(posix_spawn(&pid, program, &actions, NULL, argv,
                                 channel >= 0 ? environment : &environment[2]),
                0);
        posix_spawn_file_actions_destroy(&actions);
        return pid;
}

/* Reads one datagram, of any number of records, and returns the first record. */
static struct record hear_some(const struct fixture *f, struct record *records, size_t *ret_n)
{
        ssize_t n = recv(f->channel, records, RECORD_BATCH_MAX * sizeof(*records), 0);

        assert_in_range(n, sizeof(*records), RECORD_BATCH_MAX * sizeof(*records));
        *ret_n = (size_t)n / sizeof(*records);
        for (size_t i = 0; i < *ret_n; i++)
                assert_null(record_check_to_dispatcher(&records[i]));
        return records[0];
}

static struct record hear(const struct fixture *f)
{
        struct record records[RECORD_BATCH_MAX], first;
        size_t n;

        first = hear_some(f, records, &n);
        assert_int_equal(n, 1);
        return first;
}

static void start_with(struct fixture *f, const char *const *options, unsigned capacity)
{
        struct record record;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f->channel = pair[0];
        f->pid = spawn(options, pair[1], -1);
        fd_close(pair[1]);
        f->pidfd = pidfd_open(f->pid, 0);
        assert_true(f->pidfd >= 0);

        record = hear(f);
        assert_int_equal(record.type, RECORD_READY);
        assert_int_equal(record.value, capacity);
}

static int setup_plain(void **state)
{
        static struct fixture fixture;

        alarm(DEADLINE_SEC);
        fixture = (struct fixture){ .n_fds = fd_count(), .pidfd = -1, .channel = -1 };
        *state = &fixture;
        return 0;
}

static int setup(void **state)
{
        setup_plain(state);
        start_with(*state, NULL, CAPACITY_USUAL);
        return 0;
}

static void expect_exit(struct fixture *f, int status)
{
        siginfo_t info = { 0 };

        assert_int_equal(waitid(P_PID, (id_t)f->pid, &info, WEXITED), 0);
        f->pid = 0;
        assert_int_equal(info.si_code, CLD_EXITED);
        assert_int_equal(info.si_status, status);
}

/* A test that did not end its worker itself leaves a healthy one, which drains. */
static int teardown(void **state)
{
        struct fixture *f = *state;

        if (f->pid > 0) {
                struct pollfd pollfd = { .fd = f->pidfd, .events = POLLIN };

                assert_int_equal(shutdown(f->channel, SHUT_WR), 0);
                if (poll(&pollfd, 1, DRAIN_MSEC) != 1) /* a failed test left connections open */
                        kill(f->pid, SIGKILL);
                expect_exit(f, 0);
        }
        fd_close(f->channel);
        fd_close(f->pidfd);
        assert_int_equal(fd_count(), f->n_fds);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        alarm(0);
        return 0;
}

/* The worker makes itself undumpable. Where its descriptors are not for this user to see, there are
 * as many as expected. */
static unsigned count_worker_fds(const struct fixture *f, unsigned expected)
{
        char path[64];
        unsigned n = 0;
        DIR *d;

        snprintf(path, sizeof(path), "/proc/%d/fd", (int)f->pid);
        d = opendir(path);
        if (!d && errno == EACCES && geteuid() != 0)
                return expected;
        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n - 2;
}

/* Sums the lines of a /proc file of the worker that start with `name`, in bytes. */
static size_t get_memory(const struct fixture *f, const char *file, const char *name)
{
        char path[64], line[256];
        size_t sum = 0;
        FILE *stream;

        snprintf(path, sizeof(path), "/proc/%d/%s", (int)f->pid, file);
        stream = fopen(path, "re");
        if (!stream && errno == EACCES && geteuid() != 0)
                skip();
        assert_non_null(stream);
        while (fgets(line, sizeof(line), stream))
                if (startswith(line, name))
                        sum += strtoul(strchr(line, ':') + 1, NULL, 10) * 1024;
        fclose(stream);
        return sum;
}

/* --- connections --- */

static void tcp_pair(int pair[2])
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof(address);
        _cleanup_(fd_closep) int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0) {
                fd_close(TAKE_FD(listener));
                skip();
        }
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
        pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(pair[0], (struct sockaddr *)&address, length), 0);
        pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(pair[1] >= 0);
}

/* Makes a connection; [0] is the client's end. */
static void make_pair(enum listener listener, int pair[2])
{
        int type = listener == SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;

        if (listener == TCP)
                tcp_pair(pair);
        else
                assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(fd_set_nonblock(pair[1]), 0);
}

static void hand_over(struct fixture *f, enum listener listener, int fd)
{
        struct record record = {
                .version = RECORD_VERSION,
                .type = RECORD_CONNECTION,
                .listener = (uint16_t)listener,
                .value = (uint32_t)usec_now(),
                .id = ++f->last_id,
        };

        assert_int_equal(wire_send(f->channel, &record, fd), 0);
}

/* Returns the client's end of a new connection. */
static int client_new(struct fixture *f, enum listener listener)
{
        int pair[2];

        make_pair(listener, pair);
        hand_over(f, listener, pair[1]);
        fd_close(pair[1]);
        return pair[0];
}

static void say(int fd, const void *data, size_t size)
{
        assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void expect_bytes(int fd, const void *data, size_t size)
{
        char *got = malloc(size);

        assert_non_null(got);
        assert_int_equal(recv(fd, got, size, MSG_WAITALL), (ssize_t)size);
        assert_memory_equal(got, data, size);
        free(got);
}

static void expect_end(int fd)
{
        char byte;

        assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

/* Waits until `n` connections are said to be done. */
static void expect_done(const struct fixture *f, size_t n)
{
        while (n > 0) {
                struct record records[RECORD_BATCH_MAX];
                size_t got;

                hear_some(f, records, &got);
                for (size_t i = 0; i < got; i++) {
                        assert_int_equal(records[i].type, RECORD_DONE);
                        assert_in_range(records[i].id, 1, f->last_id);
                }
                assert_in_range(got, 1, n);
                n -= got;
        }
}

static void ask(const struct fixture *f, uint8_t type, uint32_t value)
{
        struct record record = { .version = RECORD_VERSION, .type = type, .value = value };

        assert_int_equal(wire_send(f->channel, &record, -1), 0);
}

/* An answer also says that what was handed over before was received. */
static void ping(const struct fixture *f)
{
        struct record record;

        ask(f, RECORD_PING, 7);
        record = hear(f);
        assert_int_equal(record.type, RECORD_PONG);
        assert_int_equal(record.value, 7);
}

/* --- tests --- */

static void echo_over(struct fixture *f, enum listener listener)
{
        _cleanup_(fd_closep) int fd = client_new(f, listener);

        say(fd, "hello\r\n", 7);
        expect_bytes(fd, "hello\r\n", 7);
        say(fd, "again", 5);
        expect_bytes(fd, "again", 5);
        say(fd, "last", 4);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        expect_bytes(fd, "last", 4);
        expect_end(fd);
        expect_done(f, 1);
}

static void test_stream(void **state)
{
        echo_over(*state, STREAM);
}

static void test_seqpacket(void **state)
{
        echo_over(*state, SEQPACKET);
}

static void test_tcp(void **state)
{
        echo_over(*state, TCP);
}

/* What the client sent before the worker saw the connection, and its end with it. */
static void test_all_said_before(void **state)
{
        struct fixture *f = *state;

        for (enum listener listener = STREAM; listener <= SEQPACKET; listener++) {
                int pair[2];

                make_pair(listener, pair);
                say(pair[0], "early", 5);
                assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
                hand_over(f, listener, pair[1]);
                fd_close(pair[1]);
                expect_bytes(pair[0], "early", 5);
                expect_end(pair[0]);
                fd_close(pair[0]);
                expect_done(f, 1);
        }
}

static void test_client_gone_before(void **state)
{
        struct fixture *f = *state;

        for (enum listener listener = STREAM; listener <= SEQPACKET; listener++) {
                int pair[2];

                make_pair(listener, pair);
                fd_close(pair[0]);
                hand_over(f, listener, pair[1]);
                fd_close(pair[1]);
                expect_done(f, 1);
        }
}

/* Sends a message and expects it back in one piece. */
static void echo_message(int fd, size_t size)
{
        char *sent = malloc(size + 1), *got = malloc(size + 1);

        assert_non_null(sent);
        assert_non_null(got);
        for (size_t i = 0; i < size; i++)
                sent[i] = (char)(i * 7 + size);
        say(fd, sent, size);
        assert_int_equal(recv(fd, got, size + 1, 0), (ssize_t)size);
        assert_memory_equal(sent, got, size);
        free(sent);
        free(got);
}

static void test_message_edges(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int fd = client_new(f, SEQPACKET);
        char got[16];

        say(fd, "one", 3);
        say(fd, "three", 5);
        say(fd, "", 0);
        say(fd, "!", 1);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 3);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 5);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 1);
        echo_message(fd, 65535);
        echo_message(fd, 65536);
        echo_message(fd, 65537);
        echo_message(fd, 200000);
        /* an empty message, more behind it, and the end, all at once */
        say(fd, "", 0);
        say(fd, "end", 3);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 3);
        expect_end(fd);
        expect_done(f, 1);
}

/* Larger than the send buffer that the worker's end was born with. */
static void test_message_beyond_send_buffer(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int fd = client_new(f, SEQPACKET);
        int wanted = 300000, got = 0;
        socklen_t length = sizeof(got);

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted)), 0);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &got, &length), 0);
        echo_message(fd, MIN((size_t)got - 1024, 500000UL));
}

/* Messages that wait because the client does not read keep their edges and their order. */
static void test_messages_to_slow_reader(void **state)
{
        enum { N = 2000, SIZE = 1000 };
        struct fixture *f = *state;
        _cleanup_(fd_closep) int fd = client_new(f, SEQPACKET);
        uint32_t n_sent = 0, n_got = 0, message[SIZE / 4] = { 0 };

        while (n_got < N) {
                while (n_sent < N) {
                        message[0] = n_sent;
                        if (send(fd, message, n_sent % (SIZE - 3) + 4, MSG_DONTWAIT) < 0)
                                break;
                        n_sent++;
                }
                assert_int_equal(
                        recv(fd, message, sizeof(message), 0), (ssize_t)(n_got % (SIZE - 3) + 4));
                assert_int_equal(message[0], n_got);
                n_got++;
        }
}

static uint8_t get_pattern(size_t place)
{
        return (uint8_t)((place * 31) ^ (place >> 11));
}

/* Writes until the connection is full, then reads a little, and so on: the worker has to stop
 * reading, keep the order, and stay as small as it was. */
static void slow_reader(struct fixture *f, enum listener listener, size_t total)
{
        static uint8_t out[65536], in[16384];
        _cleanup_(fd_closep) int fd = client_new(f, listener);
        size_t n_sent = 0, n_got = 0, least = SIZE_MAX, most = 0;
        bool ended = false;

        while (n_got < total) {
                ssize_t n = 0;

                while (n_sent < total && n >= 0) {
                        for (size_t i = 0; i < sizeof(out); i++)
                                out[i] = get_pattern(n_sent + i);
                        n = send(fd, out, MIN(sizeof(out), total - n_sent), MSG_DONTWAIT);
                        n_sent += (size_t)MAX(n, 0);
                }
                if (n_sent == total && !ended) {
                        assert_int_equal(shutdown(fd, SHUT_WR), 0);
                        ended = true;
                }

                n = recv(fd, in, sizeof(in), 0);
                assert_true(n > 0);
                for (ssize_t i = 0; i < n; i++)
                        if (in[i] != get_pattern(n_got + (size_t)i))
                                fail_msg("wrong byte at %zu", n_got + (size_t)i);
                /* later the worker may be done, with the rest in the kernel's buffers */
                if (n_got / MIB != (n_got + (size_t)n) / MIB && n_got < total / 2) {
                        size_t memory = get_memory(f, "status", "VmRSS:");

                        ping(f);
                        least = MIN(least, memory);
                        most = MAX(most, memory);
                }
                n_got += (size_t)n;
        }

        expect_end(fd);
        expect_done(f, 1);
        if (!SANITIZED) /* which keeps what is freed */
                assert_in_range(most - least, 0, 256 * 1024);
}

static void test_slow_reader_stream(void **state)
{
        slow_reader(*state, STREAM, 64 * MIB);
}

static void test_slow_reader_tcp(void **state)
{
        slow_reader(*state, TCP, 64 * MIB);
}

/* A client that never reads and goes away must not leave its buffer or its place behind. */
static void test_stalled_client_gone(void **state)
{
        static const uint8_t block[65536];
        struct fixture *f = *state;

        for (int i = 0; i < 20; i++) {
                int fd = client_new(f, i % 2 ? STREAM : SEQPACKET);
                struct pollfd pollfd = { .fd = fd, .events = POLLIN };

                while (send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
                        ;
                assert_int_equal(poll(&pollfd, 1, -1), 1);
                fd_close(fd);
                expect_done(f, 1);
        }
        ping(f);
        assert_int_equal(count_worker_fds(f, OWN_FDS), OWN_FDS);
}

static void test_idle_timeout(void **state)
{
        static const char *const options[] = { "--idle-timeout=500ms", NULL };
        struct fixture *f = *state;
        _cleanup_(fd_closep) int idle = -1, active = -1;
        struct pollfd pollfd;

        start_with(f, options, CAPACITY_USUAL);
        active = client_new(f, STREAM);
        idle = client_new(f, STREAM);
        say(idle, "x", 1);
        expect_bytes(idle, "x", 1);
        pollfd = (struct pollfd){ .fd = idle, .events = POLLIN };
        do { /* older, and yet it stays */
                say(active, "y", 1);
                expect_bytes(active, "y", 1);
        } while (poll(&pollfd, 1, 1) == 0);
        expect_end(idle);
        expect_done(f, 1);
        say(active, "z", 1);
        expect_bytes(active, "z", 1);
        expect_end(active);
        expect_done(f, 1);
}

static void test_drain(void **state)
{
        struct fixture *f = *state;
        struct pollfd pollfd = { .fd = f->pidfd, .events = POLLIN };
        int clients[3];

        for (size_t i = 0; i < 3; i++)
                clients[i] = client_new(f, i == 0 ? SEQPACKET : STREAM);
        assert_int_equal(shutdown(f->channel, SHUT_WR), 0);
        for (size_t i = 0; i < 3; i++) {
                say(clients[i], "still", 5);
                expect_bytes(clients[i], "still", 5);
                assert_int_equal(poll(&pollfd, 1, 0), 0);
                fd_close(clients[i]);
                expect_done(f, 1);
        }
        expect_exit(f, 0);
}

/* The instance vanished: connections go on, and end the process with the last. */
static void test_instance_gone(void **state)
{
        struct fixture *f = *state;
        int fd = client_new(f, STREAM);

        say(fd, "a", 1);
        expect_bytes(fd, "a", 1);
        f->channel = fd_close(f->channel);
        say(fd, "b", 1);
        expect_bytes(fd, "b", 1);
        fd_close(fd);
        expect_exit(f, 0);
}

static void test_drain_at_once(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(shutdown(f->channel, SHUT_WR), 0);
        expect_exit(f, 0);
}

static void test_sigterm(void **state)
{
        struct fixture *f = *state;
        siginfo_t info = { 0 };

        assert_int_equal(kill(f->pid, SIGTERM), 0);
        assert_int_equal(waitid(P_PID, (id_t)f->pid, &info, WEXITED), 0);
        f->pid = 0;
        assert_int_equal(info.si_code, CLD_KILLED);
        assert_int_equal(info.si_status, SIGTERM);
}

static void test_garbage_on_channel(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int fd = client_new(f, STREAM);

        ping(f);
        say(f->channel, "garbage", 7);
        expect_exit(f, 76);
        expect_end(fd);
}

static void test_ping_and_list_while_holding(void **state)
{
        enum { N = 100 };
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        int clients[N];
        size_t n, n_held = 0;

        for (size_t i = 0; i < N; i++)
                clients[i] = client_new(f, STREAM);
        ping(f);
        assert_int_equal(count_worker_fds(f, OWN_FDS + N), OWN_FDS + N);

        ask(f, RECORD_LIST, 3);
        do {
                hear_some(f, records, &n);
                for (size_t i = 0; i < n; i++)
                        n_held += records[i].type == RECORD_HELD;
        } while (records[n - 1].type != RECORD_PONG);
        assert_int_equal(n_held, N);

        for (size_t i = 0; i < N; i++)
                fd_close(clients[i]);
        expect_done(f, N);
        assert_int_equal(count_worker_fds(f, OWN_FDS), OWN_FDS);
}

/* Somebody else keeps a copy of a connection that the worker has closed: epoll goes on to report
 * it, and the worker must neither fail nor take it for another connection. */
static void test_copy_kept_open(void **state)
{
        struct fixture *f = *state;
        _cleanup_(fd_closep) int other = -1;
        int pair[2];

        make_pair(STREAM, pair);
        hand_over(f, STREAM, pair[1]);
        say(pair[0], "x", 1);
        expect_bytes(pair[0], "x", 1);
        assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
        expect_done(f, 1);

        other = client_new(f, STREAM);
        ping(f);
        fd_close(pair[0]); /* an event for nobody */
        say(other, "y", 1);
        expect_bytes(other, "y", 1);
        fd_close(pair[1]);
        ping(f);
}

static void test_capacity(void **state)
{
        static const char *const options[] = { "--capacity=2", NULL };
        struct fixture *f = *state;

        start_with(f, options, 2);
        for (int i = 0; i < 100; i++) {
                _cleanup_(fd_closep) int a = client_new(f, STREAM);
                _cleanup_(fd_closep) int b = client_new(f, STREAM);

                say(a, "a", 1);
                say(b, "b", 1);
                expect_bytes(b, "b", 1);
                expect_bytes(a, "a", 1);
                a = fd_close(a);
                b = fd_close(b);
                expect_done(f, 2);
        }
}

static size_t get_private(const struct fixture *f)
{
        return get_memory(f, "smaps_rollup", "Private_");
}

static void test_memory(void **state)
{
        enum { N = 500 };
        struct fixture *f = *state;
        size_t before, after;
        int clients[N];

        if (SANITIZED)
                skip();

        ping(f);
        before = get_private(f);
        for (size_t i = 0; i < N; i++) {
                clients[i] = client_new(f, STREAM);
                if (i % 100 == 0)
                        ping(f); /* not more in flight than the channel has room for */
        }
        ping(f);
        after = get_private(f);
        for (size_t i = 0; i < N; i++)
                fd_close(clients[i]);
        expect_done(f, N);

        print_message("private memory: %zu KiB idle, %zu bytes a connection\n", before / 1024,
                (after - before) / N);
        assert_in_range(before, 1, MIB);
        assert_in_range((after - before) / N, 0, 2048);
}

/* Runs it without a channel and returns what it said. */
static const char *run_alone(struct fixture *f, const char *option, int status)
{
        static char said[1024];
        const char *const options[] = { option, NULL };
        ssize_t n;
        int pipes[2];

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        f->pid = spawn(options, -1, pipes[1]);
        fd_close(pipes[1]);
        expect_exit(f, status);
        n = read(pipes[0], said, sizeof(said) - 1);
        assert_true(n >= 0);
        said[n] = '\0';
        fd_close(pipes[0]);
        return said;
}

/* While connections come quickly, several ends are told together; but all are told, whether nothing
 * happens afterwards or something all the time. */
static void test_done_in_a_crowd(void **state)
{
        struct fixture *f = *state;
        int held = client_new(f, STREAM), clients[50];

        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                        clients[i] = client_new(f, STREAM);
                        say(clients[i], "x", 1);
                }
                for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                        expect_bytes(clients[i], "x", 1);
                        fd_close(clients[i]);
                }
                for (int i = 0; round == 1 && i < 100; i++) {
                        say(held, "y", 1);
                        expect_bytes(held, "y", 1);
                }
                expect_done(f, ELEMENTSOF(clients));
        }

        fd_close(held);
        expect_done(f, 1);
}

static void test_bad_options(void **state)
{
        static const struct {
                const char *option, *words;
        } cases[] = {
                { "--capacity=0", "--capacity=0: allowed: a number from 1 to 1000000\n" },
                { "--capacity=1000001", "1 to 1000000\n" },
                { "--capacity=-1", "1 to 1000000\n" },
                { "--capacity=10x", "1 to 1000000\n" },
                { "--capacity=", "1 to 1000000\n" },
                { "--capacity", "--capacity=N" },
                { "--idle-timeout=soon", "--idle-timeout=soon: allowed: a time above 0" },
                { "--idle-timeout=0", "a time above 0" },
                { "--frobnicate", "--frobnicate: allowed: --capacity=N, --idle-timeout=TIME" },
                { "word", "word: allowed: --capacity=N" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *said = run_alone(f, cases[i].option, 64);

                assert_non_null(strstr(said, cases[i].words));
                assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
        }
}

static void test_without_channel(void **state)
{
        assert_non_null(strstr(run_alone(*state, NULL, 64), "run it from acceptd"));
}

#define WORKER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define PLAIN(test)  cmocka_unit_test_setup_teardown(test, setup_plain, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WORKER(test_stream),
                WORKER(test_seqpacket),
                WORKER(test_tcp),
                WORKER(test_all_said_before),
                WORKER(test_client_gone_before),
                WORKER(test_message_edges),
                WORKER(test_message_beyond_send_buffer),
                WORKER(test_messages_to_slow_reader),
                WORKER(test_slow_reader_stream),
                WORKER(test_slow_reader_tcp),
                WORKER(test_stalled_client_gone),
                PLAIN(test_idle_timeout),
                WORKER(test_drain),
                WORKER(test_instance_gone),
                WORKER(test_drain_at_once),
                WORKER(test_sigterm),
                WORKER(test_garbage_on_channel),
                WORKER(test_ping_and_list_while_holding),
                WORKER(test_copy_kept_open),
                PLAIN(test_capacity),
                WORKER(test_done_in_a_crowd),
                WORKER(test_memory),
                PLAIN(test_bad_options),
                PLAIN(test_without_channel),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
