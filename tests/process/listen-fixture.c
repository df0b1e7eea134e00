/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptd-listen as a process of its own: its channel, its listening sockets, what it writes.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"
#include "harness.h"
#include "listen-fixture.h"
#include "procfs.h"
#include "wire/wire.h"

#define DEADLINE_SEC  120
#define DEADLINE_MSEC 20000
#define ARGUMENTS_MAX 32
#define TEXT_MAX      (1 << 16)

static int open_listener(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address.sun_family)), 0);
        assert_int_equal(listen(fd, 16), 0);
        return fd;
}

int listen_setup(void **state)
{
        static struct listen l;

        alarm(DEADLINE_SEC);
        l = (struct listen){ .n_fds = fd_count(), .channel = -1, .output = -1 };
        l.text = calloc(1, TEXT_MAX + 1);
        assert_non_null(l.text);
        for (size_t i = 0; i < ELEMENTSOF(l.listeners); i++)
                l.listeners[i] = open_listener();
        *state = &l;
        return 0;
}

int listen_teardown(void **state)
{
        struct listen *l = *state;

        if (l->pid > 0) {
                print_error("%s", l->text);
                kill(l->pid, SIGKILL);
                (void)waitpid(l->pid, NULL, 0);
        }
        free(l->text);
        fd_close(l->channel);
        fd_close(l->output);
        for (size_t i = 0; i < ELEMENTSOF(l->listeners); i++)
                fd_close(l->listeners[i]);
        assert_int_equal(fd_count(), l->n_fds);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        alarm(0);
        return 0;
}

/* Channel, listening sockets and output where they belong, by way of places above all of them. */
static void set_descriptors(
        posix_spawn_file_actions_t *actions, struct listen *l, int channel, int output, int n)
{
        int high[2] = { 50, 51 };

        posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(actions, channel, 52);
        posix_spawn_file_actions_adddup2(actions, output, 53);
        for (int i = 0; i < n; i++)
                posix_spawn_file_actions_adddup2(actions, l->listeners[i], high[i]);
        posix_spawn_file_actions_adddup2(actions, 53, 1);
        posix_spawn_file_actions_adddup2(actions, 53, 2);
        posix_spawn_file_actions_adddup2(actions, 52, 3);
        for (int i = 0; i < n; i++)
                posix_spawn_file_actions_adddup2(actions, high[i], 4 + i);
        posix_spawn_file_actions_addclosefrom_np(actions, 4 + MAX(n, 0));
}

void listen_start_command(struct listen *l, const char *const *command, int n_listeners)
{
        char number[32];
        char *environment[] = { (char[]){ "ACCEPTD_CHANNEL=3" }, (char[]){ "ACCEPTD_WORKER=1" },
                (char[]){ "PATH=/usr/bin:/bin" }, (char[]){ "OWN=variable" }, number,
                (char[]){ "ACCEPTD_LISTEN_FDNAMES=web:admin" }, NULL };
        char *program = strdup(harness_path("../../acceptd-listen"));
        char *argv[ARGUMENTS_MAX] = { program };
        int pair[2], output[2];
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;

        for (size_t i = 0; command[i]; i++)
                argv[i + 1] = (char *)(uintptr_t)command[i];
        (void)snprintf(number, sizeof(number), "ACCEPTD_LISTEN_FDS=%d", n_listeners);
        if (n_listeners < 0)
                environment[4] = NULL;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(pipe2(output, O_CLOEXEC), 0);
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
        set_descriptors(&actions, l, pair[1], output[1], n_listeners);
        assert_int_equal(
                posix_spawn(&l->pid, program, &actions, &attributes, argv, environment), 0);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);

        fd_close(pair[1]);
        fd_close(output[1]);
        l->channel = pair[0];
        l->output = output[0];
        free(program);
}

void listen_start(struct listen *l, const char *const *options, const char *const *deeds)
{
        const char *command[ARGUMENTS_MAX] = { NULL };
        char *stub = strdup(harness_path("stub-server"));
        size_t n = 0;

        for (; *options; options++)
                command[n++] = *options;
        command[n++] = stub;
        for (; *deeds; deeds++)
                command[n++] = *deeds;
        listen_start_command(l, command, 2);
        free(stub);
}

/* --- What is written --- */

static bool has_words(const char *line, const char *const *words)
{
        for (; *words; words++)
                if (!strstr(line, *words))
                        return false;

        return true;
}

static void read_more(struct listen *l)
{
        struct pollfd pollfd = { .fd = l->output, .events = POLLIN };
        ssize_t n;

        if (poll(&pollfd, 1, DEADLINE_MSEC) != 1) {
                print_error("%s", l->text);
                fail_msg("nothing is written");
        }
        n = read(l->output, l->text + l->size, TEXT_MAX - l->size);
        if (n <= 0) {
                print_error("%s", l->text);
                fail_msg("nothing more will be written");
        }
        l->size += (size_t)n;
        l->text[l->size] = '\0';
}

const char *listen_await(struct listen *l, const char *const *words)
{
        static char line[4096];

        for (;;) {
                const char *start = l->text + l->cursor, *end = strchr(start, '\n');

                if (!end) {
                        read_more(l);
                        continue;
                }
                l->cursor += (size_t)(end - start) + 1;
                (void)snprintf(line, sizeof(line), "%.*s", (int)(end - start), start);
                if (has_words(line, words))
                        return line;
        }
}

int listen_await_number(struct listen *l, const char *what)
{
        char words[32];

        (void)snprintf(words, sizeof(words), "%s ", what);
        return atoi(strrchr(listen_await_line(l, words), ' '));
}

unsigned listen_count(const struct listen *l, const char *word)
{
        unsigned n = 0;

        for (const char *at = l->text; (at = strstr(at, word)); at++)
                n++;

        return n;
}

/* --- The channel --- */

struct record listen_hear(struct listen *l)
{
        struct pollfd pollfd = { .fd = l->channel, .events = POLLIN };
        struct record record = {};

        if (poll(&pollfd, 1, DEADLINE_MSEC) != 1)
                print_error("%s", l->text);
        assert_int_equal(recv(l->channel, &record, sizeof(record), MSG_DONTWAIT), sizeof(record));
        assert_null(record_check_to_dispatcher(&record));
        return record;
}

void listen_await_ready(struct listen *l)
{
        struct record record = listen_hear(l);

        assert_int_equal(record.type, RECORD_READY);
        assert_int_equal(record.value, 1);
}

void listen_hear_nothing(struct listen *l, int msec)
{
        struct pollfd pollfd = { .fd = l->channel, .events = POLLIN };

        assert_int_equal(poll(&pollfd, 1, msec), 0);
}

void listen_ask(struct listen *l, uint8_t type, uint32_t value)
{
        struct record record = { .version = RECORD_VERSION, .type = type, .value = value };

        assert_int_equal(wire_send(l->channel, &record, -1), 0);
}

void listen_drain(struct listen *l)
{
        assert_int_equal(shutdown(l->channel, SHUT_WR), 0);
}

/* --- Ends --- */

int listen_await_end(struct listen *l)
{
        int end;

        assert_int_equal(waitpid(l->pid, &end, 0), l->pid);
        l->pid = 0;
        return end;
}

void listen_expect_exit(struct listen *l, int status)
{
        int end = listen_await_end(l);

        assert_true(WIFEXITED(end));
        assert_int_equal(WEXITSTATUS(end), status);
}

void listen_await_stop(pid_t pid)
{
        usec_t deadline = usec_add(usec_now(), DEADLINE_MSEC * USEC_PER_MSEC);
        struct procfs_stat st;

        do {
                assert_true(usec_now() < deadline);
                (void)poll(NULL, 0, 1);
                assert_int_equal(procfs_stat(pid, &st), 0);
        } while (st.state != 'T');
}

void listen_await_death(pid_t pid)
{
        usec_t deadline = usec_add(usec_now(), DEADLINE_MSEC * USEC_PER_MSEC);
        struct procfs_stat st;

        /* It is no child of this process, and may be one of nobody's that reaps it late. */
        while (procfs_stat(pid, &st) == 0 && st.state != 'Z') {
                assert_true(usec_now() < deadline);
                (void)poll(NULL, 0, 10);
        }
}
