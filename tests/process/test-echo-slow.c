/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptd-echo with clients that do not read, or not fast enough: it has to wait for them, forget
 * nothing, and stay as small as it was. Also what many connections cost,
 * src/workers/acceptd-echo.c.
 */

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "echo-fixture.h"
#include "sanitized.h"

#define MIB (1024 * 1024UL)

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

/* Messages that wait because the client does not read keep their edges and their order. */
static void test_messages_to_slow_reader(void **state)
{
        enum { N = 2000, SIZE = 1000 };
        struct fixture *f = *state;
        _cleanup_(fd_closep) int fd = echo_connect(f, ECHO_SEQPACKET);
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
static void slow_reader(struct fixture *f, enum echo_listener listener, size_t total)
{
        static uint8_t out[65536], in[16384];
        _cleanup_(fd_closep) int fd = echo_connect(f, listener);
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

                        echo_ping(f);
                        least = MIN(least, memory);
                        most = MAX(most, memory);
                }
                n_got += (size_t)n;
        }

        expect_end(fd);
        echo_expect_done(f, 1);
        if (!SANITIZED) /* which keeps what is freed */
                assert_in_range(most - least, 0, 256 * 1024);
}

static void test_slow_reader_stream(void **state)
{
        slow_reader(*state, ECHO_STREAM, 64 * MIB);
}

static void test_slow_reader_tcp(void **state)
{
        slow_reader(*state, ECHO_TCP, 64 * MIB);
}

/* A client that never reads and goes away must not leave its buffer or its place behind. */
static void test_stalled_client_gone(void **state)
{
        static const uint8_t block[65536];
        struct fixture *f = *state;

        for (int i = 0; i < 20; i++) {
                int fd = echo_connect(f, i % 2 ? ECHO_STREAM : ECHO_SEQPACKET);
                struct pollfd pollfd = { .fd = fd, .events = POLLIN };

                while (send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
                        ;
                assert_int_equal(poll(&pollfd, 1, -1), 1);
                fd_close(fd);
                echo_expect_done(f, 1);
        }
        echo_ping(f);
        assert_int_equal(echo_count_fds(f, ECHO_FDS), ECHO_FDS);
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

        echo_ping(f);
        before = get_private(f);
        for (size_t i = 0; i < N; i++) {
                clients[i] = echo_connect(f, ECHO_STREAM);
                if (i % 100 == 0)
                        echo_ping(f); /* not more in flight than the channel has room for */
        }
        echo_ping(f);
        after = get_private(f);
        for (size_t i = 0; i < N; i++)
                fd_close(clients[i]);
        echo_expect_done(f, N);

        print_message("private memory: %zu KiB idle, %zu bytes a connection\n", before / 1024,
                (after - before) / N);
        assert_in_range(before, 1, MIB);
        assert_in_range((after - before) / N, 0, 2048);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WORKER(test_messages_to_slow_reader),
                WORKER(test_slow_reader_stream),
                WORKER(test_slow_reader_tcp),
                WORKER(test_stalled_client_gone),
                WORKER(test_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
