/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptd-echo as a process of its own, and both ends of its connections. Called by test-echo.c and
 * test-echo-*.c.
 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"
#include "echo-fixture.h"
#include "harness.h"
#include "procfs.h"
#include "wire/wire.h"

#define DEADLINE_SEC 120
#define DRAIN_MSEC   10000
#define NAMES        "stream:seqpacket:tcp"

/* --- The process --- */

pid_t echo_spawn(const char *const *options, int channel, int error)
{
        const char *program = harness_path("../../acceptd-echo");
        char *argv[8] = { (char *)(uintptr_t)program };
        char *environment[] = { (char[]){ "ACCEPTD_CHANNEL=3" },
                (char[]){ "ACCEPTD_LISTENERS=" NAMES }, NULL };
        posix_spawn_file_actions_t actions;
        pid_t pid;

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

struct record echo_hear(const struct fixture *f, struct record *records, size_t *ret_n)
{
        ssize_t n = recv(f->channel, records, RECORD_BATCH_MAX * sizeof(*records), 0);

        assert_in_range(n, sizeof(*records), RECORD_BATCH_MAX * sizeof(*records));
        *ret_n = (size_t)n / sizeof(*records);
        for (size_t i = 0; i < *ret_n; i++)
                assert_null(record_check_to_dispatcher(&records[i]));
        return records[0];
}

static struct record hear_one(const struct fixture *f)
{
        struct record records[RECORD_BATCH_MAX], first;
        size_t n;

        first = echo_hear(f, records, &n);
        assert_int_equal(n, 1);
        return first;
}

void echo_start(struct fixture *f, const char *const *options, unsigned capacity)
{
        struct record record;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f->channel = pair[0];
        f->pid = echo_spawn(options, pair[1], -1);
        fd_close(pair[1]);
        f->pidfd = pidfd_open(f->pid, 0);
        assert_true(f->pidfd >= 0);

        record = hear_one(f);
        assert_int_equal(record.type, RECORD_READY);
        assert_int_equal(record.value, capacity);
}

int echo_setup_plain(void **state)
{
        static struct fixture fixture;

        alarm(DEADLINE_SEC);
        fixture = (struct fixture){ .n_fds = fd_count(), .pidfd = -1, .channel = -1 };
        *state = &fixture;
        return 0;
}

int echo_setup(void **state)
{
        echo_setup_plain(state);
        echo_start(*state, NULL, ECHO_CAPACITY);
        return 0;
}

void echo_expect_exit(struct fixture *f, int status)
{
        siginfo_t info = { 0 };

        assert_int_equal(waitid(P_PID, (id_t)f->pid, &info, WEXITED), 0);
        f->pid = 0;
        assert_int_equal(info.si_code, CLD_EXITED);
        assert_int_equal(info.si_status, status);
}

/* A test that did not end its worker itself leaves a healthy one, which drains. */
int echo_teardown(void **state)
{
        struct fixture *f = *state;

        if (f->pid > 0) {
                struct pollfd pollfd = { .fd = f->pidfd, .events = POLLIN };

                assert_int_equal(shutdown(f->channel, SHUT_WR), 0);
                if (poll(&pollfd, 1, DRAIN_MSEC) != 1) /* a failed test left connections open */
                        kill(f->pid, SIGKILL);
                echo_expect_exit(f, 0);
        }
        fd_close(f->channel);
        fd_close(f->pidfd);
        assert_int_equal(fd_count(), f->n_fds);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        alarm(0);
        return 0;
}

unsigned echo_count_fds(const struct fixture *f, unsigned expected)
{
        _cleanup_(freep) char *descriptors = procfs_descriptors(f->pid);

        if (!descriptors && errno == EACCES && geteuid() != 0)
                return expected;
        assert_non_null(descriptors);
        return (unsigned)procfs_lines(descriptors);
}

/* --- Connections --- */

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

void echo_make_pair(enum echo_listener listener, int pair[2])
{
        int type = listener == ECHO_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;

        if (listener == ECHO_TCP)
                tcp_pair(pair);
        else
                assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(fd_set_nonblock(pair[1]), 0);
}

void echo_hand_over(struct fixture *f, enum echo_listener listener, int fd)
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

int echo_connect(struct fixture *f, enum echo_listener listener)
{
        int pair[2];

        echo_make_pair(listener, pair);
        echo_hand_over(f, listener, pair[1]);
        fd_close(pair[1]);
        return pair[0];
}

void say(int fd, const void *data, size_t size)
{
        assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

void expect_bytes(int fd, const void *data, size_t size)
{
        char *got = malloc(size);

        assert_non_null(got);
        assert_int_equal(recv(fd, got, size, MSG_WAITALL), (ssize_t)size);
        assert_memory_equal(got, data, size);
        free(got);
}

void expect_end(int fd)
{
        char byte;

        assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

void echo_expect_done(const struct fixture *f, size_t n)
{
        while (n > 0) {
                struct record records[RECORD_BATCH_MAX];
                size_t got;

                echo_hear(f, records, &got);
                for (size_t i = 0; i < got; i++) {
                        assert_int_equal(records[i].type, RECORD_DONE);
                        assert_in_range(records[i].id, 1, f->last_id);
                }
                assert_in_range(got, 1, n);
                n -= got;
        }
}

/* --- The channel --- */

void echo_ask(const struct fixture *f, uint8_t type, uint32_t value)
{
        struct record record = { .version = RECORD_VERSION, .type = type, .value = value };

        assert_int_equal(wire_send(f->channel, &record, -1), 0);
}

void echo_ping(const struct fixture *f)
{
        struct record record;

        echo_ask(f, RECORD_PING, 7);
        record = hear_one(f);
        assert_int_equal(record.type, RECORD_PONG);
        assert_int_equal(record.value, 7);
}
