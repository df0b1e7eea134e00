/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The deeds of stub-worker. Each does its thing once and returns, if it can.
 */

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "stub-worker.h"

void stub_hang(void)
{
        for (;;)
                (void)pause();
}

static void do_exit(struct stub *stub _unused_, const char *arg)
{
        exit((int)stub_number(arg, 0));
}

static void do_abort(struct stub *stub _unused_, const char *arg _unused_)
{
        abort();
}

static void do_kill(struct stub *stub _unused_, const char *arg)
{
        (void)raise((int)stub_number(arg, SIGKILL));
}

static void do_stop(struct stub *stub _unused_, const char *arg _unused_)
{
        (void)raise(SIGSTOP);
}

static void do_wait(struct stub *stub, const char *arg)
{
        _cleanup_(fd_closep) int fd = open(arg ?: "", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                stub_die(stub, "%s: %s", arg ?: "", strerror(errno));
}

static void do_ready(struct stub *stub, const char *arg)
{
        stub->capacity = (uint32_t)stub_number(arg, 1);
        stub_send_ready(stub, stub->capacity);
}

static void do_features(struct stub *stub, const char *arg)
{
        stub->features = stub_number(arg, 0);
        stub_send_ready(stub, stub->capacity);
}

static void do_flood_ready(struct stub *stub, const char *arg)
{
        for (unsigned long n = stub_number(arg, 20); n > 0; n--)
                stub_send_ready(stub, stub->capacity);
}

static void do_flood_done(struct stub *stub, const char *arg)
{
        struct record records[RECORD_BATCH_MAX];

        for (size_t i = 0; i < ELEMENTSOF(records); i++)
                records[i] = (struct record){
                        .version = RECORD_VERSION,
                        .type = RECORD_DONE,
                        .id = UINT64_MAX - i,
                };

        for (unsigned long n = stub_number(arg, 100000); n > 0; n--)
                if (send(stub->channel, records, sizeof(records), MSG_NOSIGNAL) < 0)
                        return;
}

static void do_size(struct stub *stub, const char *arg)
{
        static uint8_t bytes[2 * RECORD_BATCH_MAX * sizeof(struct record)] = {
                RECORD_VERSION,
                RECORD_DONE,
        };

        stub_send(stub, bytes, MIN(stub_number(arg, 15), sizeof(bytes)));
}

static void do_empty(struct stub *stub, const char *arg _unused_)
{
        stub_send(stub, "", 0);
}

static void do_too_many(struct stub *stub, const char *arg _unused_)
{
        struct record records[RECORD_BATCH_MAX + 1];

        for (size_t i = 0; i < ELEMENTSOF(records); i++)
                records[i] = (struct record){
                        .version = RECORD_VERSION,
                        .type = RECORD_READY,
                        .value = stub->capacity,
                };
        stub_send(stub, records, sizeof(records));
}

static void do_version(struct stub *stub, const char *arg)
{
        struct record record = {
                .version = (uint8_t)stub_number(arg, RECORD_VERSION + 1),
                .type = RECORD_READY,
                .value = stub->capacity,
        };

        stub_send(stub, &record, sizeof(record));
}

static void do_type(struct stub *stub, const char *arg)
{
        stub_send_record(stub, (enum record_type)stub_number(arg, 99), 1, 0);
}

static void do_wrong_way(struct stub *stub, const char *arg _unused_)
{
        stub_send_record(stub, RECORD_CONNECTION, 1, 1);
}

static void do_pong(struct stub *stub, const char *arg)
{
        stub_send_record(stub, RECORD_PONG, (uint32_t)stub_number(arg, 1), 0);
}

static void do_held(struct stub *stub, const char *arg)
{
        uint64_t own = stub->n_connections > 0 ? stub->connections[0].id : 1;

        stub_send_record(stub, RECORD_HELD, 0, stub_number(arg, own));
}

static void do_foreign(struct stub *stub, const char *arg)
{
        stub_send_record(stub, RECORD_DONE, 0, stub_number(arg, UINT64_MAX - 1));
}

/* Talks to the client, which so sees that this worker still has its connection. */
static void do_answer(struct stub *stub, const char *arg)
{
        char line[128];
        int n = snprintf(line, sizeof(line), "%s\n", arg ?: "");

        if (stub->current)
                (void)!send(stub->current->fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void do_twice(struct stub *stub, const char *arg _unused_)
{
        uint64_t id;

        if (!stub->current)
                return;
        id = stub->current->id;
        stub_finish(stub, stub->current);
        stub_send_record(stub, RECORD_DONE, 0, id);
}

static void do_failed(struct stub *stub, const char *arg)
{
        if (stub->current)
                stub_fail(stub, stub->current, (uint32_t)stub_number(arg, RECORD_FAILURE_START));
}

static void do_foreign_failed(struct stub *stub, const char *arg)
{
        stub_send_record(stub, RECORD_FAILED, 0, stub_number(arg, UINT64_MAX - 1));
}

/* A record that would be sound, but with a descriptor. */
static void do_descriptor(struct stub *stub, const char *arg _unused_)
{
        struct record record = {
                .version = RECORD_VERSION,
                .type = RECORD_READY,
                .value = stub->capacity,
        };

        if (wire_send(stub->channel, &record, STDERR_FILENO) != 0)
                stub_say(stub, "the descriptor could not be sent");
}

static void do_shutdown(struct stub *stub, const char *arg)
{
        int how = streq(arg ?: "", "read")    ? SHUT_RD
                  : streq(arg ?: "", "write") ? SHUT_WR
                                              : SHUT_RDWR;

        if (shutdown(stub->channel, how) < 0)
                stub_say(stub, "shutdown: %s", strerror(errno));
}

static void do_close(struct stub *stub, const char *arg _unused_)
{
        stub->channel = fd_close(stub->channel);
        stub_hang();
}

/* Returns in the child, which holds nothing but stderr and, if asked, the channel; the parent
 * returns when the child is ready. */
static pid_t fork_grandchild(struct stub *stub, bool leak, bool own_session)
{
        _cleanup_(fd_closep) int reader = -1, writer = -1;
        int both[2];
        char byte;
        pid_t pid;

        if (pipe2(both, O_CLOEXEC) < 0)
                stub_die(stub, "pipe2: %s", strerror(errno));
        reader = both[0];
        writer = both[1];

        pid = fork();
        if (pid < 0)
                stub_die(stub, "fork: %s", strerror(errno));
        if (pid == 0) {
                (void)prctl(PR_SET_NAME, "grandchild");
                if (own_session)
                        (void)setsid();
                for (size_t i = 0; i < stub->n_connections; i++)
                        fd_close(stub->connections[i].fd);
                if (!leak)
                        stub->channel = fd_close(stub->channel);
                stub_say(stub, "grandchild is there");
                return 0;
        }

        writer = fd_close(writer);
        (void)!read(reader, &byte, 1); /* end of file: the child closed its copy */
        return pid;
}

/* The grandchild outlives its worker with the channel in its hands, in a session of its own, where
 * no signal to the worker's process group reaches it. It ends when nobody is on the other side. */
static void do_leak(struct stub *stub, const char *arg)
{
        struct pollfd ended;

        if (fork_grandchild(stub, true, true) > 0)
                exit((int)stub_number(arg, 0));

        ended = (struct pollfd){ .fd = stub->channel };
        while (poll(&ended, 1, -1) < 0 && errno == EINTR)
                ;
        stub_say(stub, "grandchild sees the end of the channel");
        _exit(0);
}

static void do_grandchild(struct stub *stub, const char *arg _unused_)
{
        if (fork_grandchild(stub, false, false) > 0)
                return;

        stub_hang();
}

static void do_grow(struct stub *stub, const char *arg)
{
        size_t size = (size_t)stub_number(arg, 1) << 20;
        static char *volatile memory; /* for good, and no leak */

        memory = malloc(size);
        if (!memory)
                stub_die(stub, "no memory");
        memset(memory, 1, size);
        stub_say(stub, "grew by %zu bytes, of %d", size, memory[size / 2]);
}

static void do_hang(struct stub *stub _unused_, const char *arg _unused_)
{
        stub_hang();
}

const struct deed stub_deeds[] = {
        { "exit", optional_argument, "[=N]: exit with status N (0)", do_exit },
        { "abort", no_argument, ": abort()", do_abort },
        { "kill", optional_argument, "[=N]: die of signal N (9)", do_kill },
        { "stop", no_argument, ": SIGSTOP itself", do_stop },
        { "grow", required_argument, "=N: take N MB of memory, for good", do_grow },
        { "hang", no_argument, ": never look at anything again", do_hang },
        { "wait", required_argument, "=FIFO: until somebody opens FIFO for writing", do_wait },
        { "ready", required_argument, "=N: another READY, with capacity N", do_ready },
        { "name-features", required_argument, "=N: another READY, that names features N",
                do_features },
        { "flood-ready", optional_argument, "[=N]: N (20) READYs at once", do_flood_ready },
        { "flood-done", optional_argument, "[=N]: N (100000) times 64 DONEs", do_flood_done },
        { "size", optional_argument, "[=N]: a datagram of N (15) bytes", do_size },
        { "empty", no_argument, ": a datagram without a byte", do_empty },
        { "too-many", no_argument, ": 65 records in one datagram", do_too_many },
        { "version", optional_argument, "[=N]: a record of version N (2)", do_version },
        { "type", optional_argument, "[=N]: a record of type N (99)", do_type },
        { "wrong-way", no_argument, ": a CONNECTION to the dispatcher", do_wrong_way },
        { "pong", optional_argument, "[=N]: a PONG that nobody asked for", do_pong },
        { "held", optional_argument, "[=ID]: a HELD that nobody asked for", do_held },
        { "foreign", optional_argument, "[=ID]: DONE with an id that it does not hold",
                do_foreign },
        { "failed", optional_argument, "[=N]: close the connection, FAILED for reason N (1)",
                do_failed },
        { "foreign-failed", optional_argument, "[=ID]: FAILED with an id that it does not hold",
                do_foreign_failed },
        { "answer", required_argument, "=WORD: a line with WORD to the client", do_answer },
        { "twice", no_argument, ": finish the connection, say DONE again", do_twice },
        { "descriptor", no_argument, ": a record with a descriptor", do_descriptor },
        { "shutdown", required_argument, "=read|write|both: shut its channel down", do_shutdown },
        { "close", no_argument, ": close its channel, and live on", do_close },
        { "leak", optional_argument,
                "[=N]: leave the channel to a grandchild that no signal reaches, exit with N (0)",
                do_leak },
        { "grandchild", no_argument, ": start a process that outlives it", do_grandchild },
};

const size_t stub_n_deeds = ELEMENTSOF(stub_deeds);

void stub_run_deed(struct stub *stub, const struct deed *deed, const char *arg)
{
        stub_say(stub, "does %s", deed->name);
        deed->run(stub, arg);
}

static const struct deed *find_deed(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(stub_deeds); i++)
                if (streq(stub_deeds[i].name, name))
                        return &stub_deeds[i];

        return NULL;
}

void stub_obey(struct stub *stub, struct connection *connection, char *line)
{
        char *next = line;

        stub->current = connection;
        while ((line = strsep(&next, ";\n")) && *line) {
                const char *name = strsep(&line, " ");
                const struct deed *deed = find_deed(name);

                if (deed)
                        stub_run_deed(stub, deed, line);
                else if (streq(name, "done"))
                        stub_finish(stub, connection);
                else
                        stub_say(stub, "knows no deed \"%s\"", name);
        }
        stub->current = NULL;
}
