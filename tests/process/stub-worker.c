/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker for tests, written on the bare wire: it behaves well unless told otherwise, and has one
 * misbehaviour for each way in which a worker can break its contract. Started by the dispatcher, so
 * what it is to do stands on its command line, or comes from a client (--serve=obey). What it does
 * is said on stderr, one line a deed, for the test to await.
 *
 * A "deed" happens once, at a chosen moment (--at=); a "habit" is how the worker is all the time.
 */

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "wire/wire.h"

#define CONNECTIONS_MAX 4096
#define REPORT_MAX      65536

enum serve {
        SERVE_LINE,   /* write the line, close, DONE */
        SERVE_ECHO,   /* the same after one request was given back */
        SERVE_HOLD,   /* write the line, DONE when the client closes */
        SERVE_OBEY,   /* as hold; each line that the client writes is a deed */
        SERVE_REPORT, /* write what this process looks like from inside, close, DONE */
};

static const char *const serve_names[] = { "line", "echo", "hold", "obey", "report" };

struct connection {
        int fd;
        uint16_t listener;
        uint64_t id;
};

struct stub {
        int channel;
        const char *number;
        uint32_t capacity;
        enum serve serve;
        const struct deed *deed;
        const char *deed_arg;
        unsigned at; /* after so many connections; 0: after READY; UINT_MAX: at start */
        int ready_delay;
        bool never_ready, never_receive, ignore_term, ignore_drain, no_done, wrong_pong;

        bool draining;
        unsigned received;
        size_t n_connections;
        struct connection connections[CONNECTIONS_MAX];
        struct connection *current; /* the connection that a deed is about, or NULL */
        char report[REPORT_MAX];
};

struct deed {
        const char *name;
        int arg; /* as getopt's has_arg */
        const char *help;
        void (*run)(struct stub *stub, const char *arg);
};

/* The leak check of a sanitizer's build starts a process at the end of this one. A stub that is
 * killed just then would leave it behind. */
int __lsan_is_turned_off(void);
__attribute__((visibility("default"))) int __lsan_is_turned_off(void)
{
        return 1;
}

/* All that a test reads from stderr comes in one write, so that lines of workers do not mix. */
_printf_(2, 3) static void say(const struct stub *stub, const char *format, ...)
{
        char text[256];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);

        dprintf(STDERR_FILENO, "stub worker=%s pid=%d: %s\n", stub->number, (int)getpid(), text);
}

_printf_(2, 3) static void die(const struct stub *stub, const char *format, ...)
{
        char text[256];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);

        say(stub, "cannot go on: %s", text);
        exit(99);
}

static unsigned long parse(const char *text, unsigned long otherwise)
{
        return text && *text ? strtoul(text, NULL, 0) : otherwise;
}

/* Sends raw bytes; what the dispatcher makes of them is the test. */
static void send_bytes(const struct stub *stub, const void *data, size_t size)
{
        while (send(stub->channel, data, size, MSG_NOSIGNAL) < 0)
                if (errno != EINTR) {
                        say(stub, "send: %s", strerror(errno));
                        return;
                }
}

static void send_record(const struct stub *stub, enum record_type type, uint32_t value, uint64_t id)
{
        struct record record = {
                .version = RECORD_VERSION,
                .type = (uint8_t)type,
                .value = value,
                .id = id,
        };

        send_bytes(stub, &record, sizeof(record));
}

static void finish(struct stub *stub, struct connection *connection)
{
        connection->fd = fd_close(connection->fd);
        if (!stub->no_done)
                send_record(stub, RECORD_DONE, 0, connection->id);

        if (stub->current == connection)
                stub->current = NULL;
        *connection = stub->connections[--stub->n_connections];
        stub->connections[stub->n_connections].fd = -1;
}

/* Deeds. Each does its thing once and returns, if it can. */

static void do_exit(struct stub *stub _unused_, const char *arg)
{
        exit((int)parse(arg, 0));
}

static void do_abort(struct stub *stub _unused_, const char *arg _unused_)
{
        abort();
}

static void do_kill(struct stub *stub _unused_, const char *arg)
{
        (void)raise((int)parse(arg, SIGKILL));
}

static void do_stop(struct stub *stub _unused_, const char *arg _unused_)
{
        (void)raise(SIGSTOP);
}

static void do_wait(struct stub *stub, const char *arg)
{
        _cleanup_(fd_closep) int fd = open(arg ?: "", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                die(stub, "%s: %s", arg ?: "", strerror(errno));
}

static void do_ready(struct stub *stub, const char *arg)
{
        stub->capacity = (uint32_t)parse(arg, 1);
        send_record(stub, RECORD_READY, stub->capacity, 0);
}

static void do_flood_ready(struct stub *stub, const char *arg)
{
        for (unsigned long n = parse(arg, 20); n > 0; n--)
                send_record(stub, RECORD_READY, stub->capacity, 0);
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

        for (unsigned long n = parse(arg, 100000); n > 0; n--)
                if (send(stub->channel, records, sizeof(records), MSG_NOSIGNAL) < 0)
                        return;
}

static void do_size(struct stub *stub, const char *arg)
{
        static uint8_t bytes[2 * RECORD_BATCH_MAX * sizeof(struct record)] = {
                RECORD_VERSION,
                RECORD_DONE,
        };

        send_bytes(stub, bytes, MIN(parse(arg, 15), sizeof(bytes)));
}

static void do_empty(struct stub *stub, const char *arg _unused_)
{
        send_bytes(stub, "", 0);
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
        send_bytes(stub, records, sizeof(records));
}

static void do_version(struct stub *stub, const char *arg)
{
        struct record record = {
                .version = (uint8_t)parse(arg, RECORD_VERSION + 1),
                .type = RECORD_READY,
                .value = stub->capacity,
        };

        send_bytes(stub, &record, sizeof(record));
}

static void do_type(struct stub *stub, const char *arg)
{
        send_record(stub, (enum record_type)parse(arg, 99), 1, 0);
}

static void do_wrong_way(struct stub *stub, const char *arg _unused_)
{
        send_record(stub, RECORD_CONNECTION, 1, 1);
}

static void do_pong(struct stub *stub, const char *arg)
{
        send_record(stub, RECORD_PONG, (uint32_t)parse(arg, 1), 0);
}

static void do_held(struct stub *stub, const char *arg)
{
        uint64_t own = stub->n_connections > 0 ? stub->connections[0].id : 1;

        send_record(stub, RECORD_HELD, 0, parse(arg, own));
}

static void do_foreign(struct stub *stub, const char *arg)
{
        send_record(stub, RECORD_DONE, 0, parse(arg, UINT64_MAX - 1));
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
        finish(stub, stub->current);
        send_record(stub, RECORD_DONE, 0, id);
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
                say(stub, "the descriptor could not be sent");
}

static void do_shutdown(struct stub *stub, const char *arg)
{
        int how = streq(arg ?: "", "read")    ? SHUT_RD
                  : streq(arg ?: "", "write") ? SHUT_WR
                                              : SHUT_RDWR;

        if (shutdown(stub->channel, how) < 0)
                say(stub, "shutdown: %s", strerror(errno));
}

static void do_close(struct stub *stub, const char *arg _unused_)
{
        stub->channel = fd_close(stub->channel);
        for (;;)
                (void)pause();
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
                die(stub, "pipe2: %s", strerror(errno));
        reader = both[0];
        writer = both[1];

        pid = fork();
        if (pid < 0)
                die(stub, "fork: %s", strerror(errno));
        if (pid == 0) {
                (void)prctl(PR_SET_NAME, "grandchild");
                if (own_session)
                        (void)setsid();
                for (size_t i = 0; i < stub->n_connections; i++)
                        fd_close(stub->connections[i].fd);
                if (!leak)
                        stub->channel = fd_close(stub->channel);
                say(stub, "grandchild is there");
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
                exit((int)parse(arg, 0));

        ended = (struct pollfd){ .fd = stub->channel };
        while (poll(&ended, 1, -1) < 0 && errno == EINTR)
                ;
        say(stub, "grandchild sees the end of the channel");
        _exit(0);
}

static void do_grandchild(struct stub *stub, const char *arg _unused_)
{
        if (fork_grandchild(stub, false, false) > 0)
                return;

        for (;;)
                (void)pause();
}

static void do_hang(struct stub *stub _unused_, const char *arg _unused_)
{
        for (;;)
                (void)pause();
}

static const struct deed deeds[] = {
        { "exit", optional_argument, "[=N]: exit with status N (0)", do_exit },
        { "abort", no_argument, ": abort()", do_abort },
        { "kill", optional_argument, "[=N]: die of signal N (9)", do_kill },
        { "stop", no_argument, ": SIGSTOP itself", do_stop },
        { "hang", no_argument, ": never look at anything again", do_hang },
        { "wait", required_argument, "=FIFO: until somebody opens FIFO for writing", do_wait },
        { "ready", required_argument, "=N: another READY, with capacity N", do_ready },
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

static void run_deed(struct stub *stub, const struct deed *deed, const char *arg)
{
        say(stub, "does %s", deed->name);
        deed->run(stub, arg);
}

static const struct deed *find_deed(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(deeds); i++)
                if (streq(deeds[i].name, name))
                        return &deeds[i];

        return NULL;
}

/* A client's line "deed [argument]", or several with ";" in between; "done" finishes the
 * connection and must come last. */
static void obey(struct stub *stub, struct connection *connection, char *line)
{
        char *next = line;

        stub->current = connection;
        while ((line = strsep(&next, ";\n")) && *line) {
                const char *name = strsep(&line, " ");
                const struct deed *deed = find_deed(name);

                if (deed)
                        run_deed(stub, deed, line);
                else if (streq(name, "done"))
                        finish(stub, connection);
                else
                        say(stub, "knows no deed \"%s\"", name);
        }
        stub->current = NULL;
}

/* The report: what a test wants to know of a worker's surroundings, one fact a line. */

_printf_(2, 3) static void add(struct stub *stub, const char *format, ...)
{
        size_t used = strlen(stub->report);
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(stub->report + used, sizeof(stub->report) - used, format, ap);
        va_end(ap);
}

static void report_descriptors(struct stub *stub)
{
        DIR *dir = opendir("/proc/self/fd");
        struct dirent *entry;

        if (!dir)
                return;
        while ((entry = readdir(dir))) {
                char target[PATH_MAX];
                ssize_t n;

                if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
                        continue;
                n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));
                add(stub, "fd %s %.*s\n", entry->d_name, n > 0 ? (int)n : 0, target);
        }
        closedir(dir);
}

static void report_status(struct stub *stub)
{
        _cleanup_(fclosep) FILE *status = fopen("/proc/self/status", "re");
        char line[512];

        while (status && fgets(line, sizeof(line), status))
                if (startswith(line, "Sig") || startswith(line, "ShdPnd"))
                        add(stub, "status %s", line);
}

static void make_report(struct stub *stub)
{
        struct rlimit limit;

        stub->report[0] = '\0';
        add(stub, "process pid=%d sid=%d pgid=%d ppid=%d\n", (int)getpid(), (int)getsid(0),
                (int)getpgid(0), (int)getppid());
        report_descriptors(stub);
        report_status(stub);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                add(stub, "nofile %llu %llu\n", (unsigned long long)limit.rlim_cur,
                        (unsigned long long)limit.rlim_max);
        for (char **e = environ; *e; e++)
                add(stub, "env %s\n", *e);
        add(stub, "end\n");
}

/* Serving */

static const char *listener_name(uint16_t index)
{
        static char name[256];
        const char *p = getenv("ACCEPTD_LISTENERS") ?: "";

        for (; index > 0; index--) {
                p = strchr(p, ':');
                if (!p)
                        return "?";
                p++;
        }

        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, ":"), p);
        return name;
}

static void answer(const struct connection *connection, const char *data, size_t size)
{
        /* What a client does not take is its own affair: all of this fits an empty socket. */
        (void)!send(connection->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void greet(struct stub *stub, const struct connection *connection)
{
        char line[512];
        int n = snprintf(line, sizeof(line), "worker=%s pid=%d listener=%s id=%llu\n", stub->number,
                (int)getpid(), listener_name(connection->listener),
                (unsigned long long)connection->id);

        answer(connection, line, (size_t)n);
}

static void on_connection(struct stub *stub, const struct record *record, int fd)
{
        struct connection *connection;

        if (stub->n_connections == CONNECTIONS_MAX)
                die(stub, "more connections than fit");
        connection = &stub->connections[stub->n_connections++];
        *connection = (struct connection){
                .fd = fd,
                .listener = record->listener,
                .id = record->id,
        };

        stub->current = connection;
        if (stub->serve == SERVE_REPORT)
                answer(connection, stub->report, strlen(stub->report));
        else
                greet(stub, connection);
        if (stub->serve == SERVE_LINE || stub->serve == SERVE_REPORT)
                finish(stub, connection);

        if (++stub->received == stub->at && stub->deed)
                run_deed(stub, stub->deed, stub->deed_arg);
        stub->current = NULL;
}

static void on_client(struct stub *stub, struct connection *connection)
{
        char data[4096];
        ssize_t n = recv(connection->fd, data, sizeof(data) - 1, MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n <= 0) {
                finish(stub, connection);
                return;
        }

        if (stub->serve == SERVE_ECHO) {
                answer(connection, data, (size_t)n);
                finish(stub, connection);
        } else if (stub->serve == SERVE_OBEY) {
                data[n] = '\0';
                obey(stub, connection, data);
        }
}

static void on_channel(struct stub *stub)
{
        struct record record;
        const char *why = NULL;
        int fd = -1, r;

        r = wire_receive(stub->channel, false, &record, &fd, &why);
        switch (r) {
        case 0:
                break;
        case WIRE_EMPTY:
                return;
        case WIRE_END:
                say(stub, "drains");
                stub->draining = true;
                return;
        default:
                die(stub, "receive: %d %s", r, why ?: "");
        }

        switch (record.type) {
        case RECORD_CONNECTION:
                on_connection(stub, &record, fd);
                break;
        case RECORD_LIST:
                for (size_t i = 0; i < stub->n_connections; i++)
                        send_record(stub, RECORD_HELD, 0, stub->connections[i].id);
                send_record(stub, RECORD_PONG, record.value, 0);
                break;
        default:
                send_record(stub, RECORD_PONG, record.value + stub->wrong_pong, 0);
        }
}

static void serve(struct stub *stub)
{
        static struct pollfd fds[CONNECTIONS_MAX + 1];

        while (!stub->draining || stub->ignore_drain || stub->n_connections > 0) {
                size_t n = 0;

                for (; n < stub->n_connections; n++)
                        fds[n] = (struct pollfd){
                                .fd = stub->connections[n].fd,
                                .events = POLLIN,
                        };
                fds[n] = (struct pollfd){
                        .fd = stub->draining ? -1 : stub->channel,
                        .events = POLLIN,
                };
                if (poll(fds, n + 1, -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        die(stub, "poll: %s", strerror(errno));
                }

                /* from the end: finishing one moves the last into its place */
                for (size_t i = n; i-- > 0;)
                        if (fds[i].revents)
                                on_client(stub, &stub->connections[i]);
                if (fds[n].revents)
                        on_channel(stub);
        }
}

/* Whether this process is one of the first `times` that come here with the folder `marks`. */
static bool take_mark(struct stub *stub, const char *marks, unsigned long times)
{
        char path[PATH_MAX];

        for (unsigned long i = 1; i <= times; i++) {
                _cleanup_(fd_closep) int fd = -1;

                (void)snprintf(path, sizeof(path), "%s/%lu", marks, i);
                fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
                if (fd >= 0)
                        return true;
                if (errno != EEXIST)
                        die(stub, "%s: %s", path, strerror(errno));
        }

        return false;
}

enum {
        OPT_HELP = 1,
        OPT_CAPACITY,
        OPT_SERVE,
        OPT_AT,
        OPT_MARKS,
        OPT_TIMES,
        OPT_NEVER_READY,
        OPT_READY_DELAY,
        OPT_NEVER_RECEIVE,
        OPT_IGNORE_TERM,
        OPT_IGNORE_DRAIN,
        OPT_NO_DONE,
        OPT_WRONG_PONG,
        OPT_DEED, /* and the deeds after it */
};

static const struct option habits[] = {
        { "help", no_argument, NULL, OPT_HELP },
        { "capacity", required_argument, NULL, OPT_CAPACITY },
        { "serve", required_argument, NULL, OPT_SERVE },
        { "at", required_argument, NULL, OPT_AT },
        { "marks", required_argument, NULL, OPT_MARKS },
        { "times", required_argument, NULL, OPT_TIMES },
        { "never-ready", no_argument, NULL, OPT_NEVER_READY },
        { "ready-delay", required_argument, NULL, OPT_READY_DELAY },
        { "never-receive", no_argument, NULL, OPT_NEVER_RECEIVE },
        { "ignore-term", no_argument, NULL, OPT_IGNORE_TERM },
        { "ignore-drain", no_argument, NULL, OPT_IGNORE_DRAIN },
        { "no-done", no_argument, NULL, OPT_NO_DONE },
        { "wrong-pong", no_argument, NULL, OPT_WRONG_PONG },
};

static void help(void)
{
        puts("stub-worker [OPTION]...: a worker for tests, started by the dispatcher\n"
             "\n"
             "  --capacity=N       as announced by READY (1)\n"
             "  --serve=line       on each connection: write one line that says worker, pid,\n"
             "                     listener and id, close, DONE (default)\n"
             "         =echo       the line, then give one request back, close, DONE\n"
             "         =hold       the line, then DONE when the client closes\n"
             "         =obey       as hold; a line from the client is a deed: \"exit 3\", or "
             "\"done\"\n"
             "         =report     descriptors, signals, limits, environment; close, DONE\n"
             "\n"
             "Habits:\n"
             "  --never-ready      never say READY\n"
             "  --ready-delay=MS   say it so much later\n"
             "  --never-receive    READY, but leave the queue as it is\n"
             "  --ignore-term      of SIGTERM\n"
             "  --ignore-drain     do not exit at the end of the channel\n"
             "  --no-done          never say DONE\n"
             "  --wrong-pong       answer PING with another number\n"
             "\n"
             "When, and in which worker:\n"
             "  --at=start         do the deed before READY\n"
             "  --at=ready         after READY (default)\n"
             "  --at=N             after the Nth connection\n"
             "  --marks=DIR        habits and deed are only those of the first worker that comes\n"
             "                     here with the empty folder DIR; later ones behave well\n"
             "  --times=N          of the first N workers\n"
             "\n"
             "Deeds:");
        for (size_t i = 0; i < ELEMENTSOF(deeds); i++)
                printf("  --%s%s\n", deeds[i].name, deeds[i].help);
}

static void parse_serve(struct stub *stub, const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(serve_names); i++)
                if (streq(serve_names[i], name)) {
                        stub->serve = (enum serve)i;
                        return;
                }
        die(stub, "--serve=%s is not among line, echo, hold, obey, report", name);
}

static unsigned parse_at(const char *text)
{
        if (streq(text, "start"))
                return UINT_MAX;
        if (streq(text, "ready"))
                return 0;
        return (unsigned)parse(text, 0);
}

static void behave_well(struct stub *stub)
{
        stub->deed = NULL;
        stub->ready_delay = 0;
        stub->never_ready = stub->never_receive = stub->ignore_term = false;
        stub->ignore_drain = stub->no_done = stub->wrong_pong = false;
}

static void parse_options(struct stub *stub, int argc, char *argv[])
{
        struct option options[ELEMENTSOF(habits) + ELEMENTSOF(deeds) + 1] = {};
        const char *marks = NULL;
        unsigned long times = 1;
        int c;

        memcpy(options, habits, sizeof(habits));
        for (size_t i = 0; i < ELEMENTSOF(deeds); i++)
                options[ELEMENTSOF(habits) + i] = (struct option){
                        .name = deeds[i].name,
                        .has_arg = deeds[i].arg,
                        .val = OPT_DEED + (int)i,
                };

        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
                switch (c) {
                case OPT_HELP:
                        help();
                        exit(0);
                case OPT_CAPACITY:
                        stub->capacity = (uint32_t)parse(optarg, 1);
                        break;
                case OPT_SERVE:
                        parse_serve(stub, optarg);
                        break;
                case OPT_AT:
                        stub->at = parse_at(optarg);
                        break;
                case OPT_MARKS:
                        marks = optarg;
                        break;
                case OPT_TIMES:
                        times = parse(optarg, 1);
                        break;
                case OPT_NEVER_READY:
                        stub->never_ready = true;
                        break;
                case OPT_READY_DELAY:
                        stub->ready_delay = (int)parse(optarg, 0);
                        break;
                case OPT_NEVER_RECEIVE:
                        stub->never_receive = true;
                        break;
                case OPT_IGNORE_TERM:
                        stub->ignore_term = true;
                        break;
                case OPT_IGNORE_DRAIN:
                        stub->ignore_drain = true;
                        break;
                case OPT_NO_DONE:
                        stub->no_done = true;
                        break;
                case OPT_WRONG_PONG:
                        stub->wrong_pong = true;
                        break;
                case '?':
                        exit(64);
                default:
                        stub->deed = &deeds[c - OPT_DEED];
                        stub->deed_arg = optarg;
                }

        if (marks && !take_mark(stub, marks, times))
                behave_well(stub);
        else if (marks)
                say(stub, "misbehaves");
}

static void say_ready(struct stub *stub)
{
        if (stub->ready_delay > 0)
                (void)poll(NULL, 0, stub->ready_delay);

        if (!stub->never_ready) {
                send_record(stub, RECORD_READY, stub->capacity, 0);
                say(stub, "ready");
        }
        if (stub->deed && stub->at == 0)
                run_deed(stub, stub->deed, stub->deed_arg);
}

int main(int argc, char *argv[])
{
        static struct stub stub = { .channel = -1, .capacity = 1 };
        const struct rlimit no_core = {};

        make_report(&stub); /* before anything here changes what it tells */
        stub.number = getenv("ACCEPTD_WORKER") ?: "?";
        parse_options(&stub, argc, argv);
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (stub.ignore_term)
                (void)signal(SIGTERM, SIG_IGN);

        stub.channel = (int)parse(getenv("ACCEPTD_CHANNEL"), 0);
        if (stub.channel <= STDERR_FILENO)
                die(&stub, "no channel in the environment");
        (void)fd_set_cloexec(stub.channel, true);
        say(&stub, "starts");

        if (stub.deed && stub.at == UINT_MAX)
                run_deed(&stub, stub.deed, stub.deed_arg);
        say_ready(&stub);
        if (stub.never_receive)
                do_hang(&stub, NULL);
        serve(&stub);

        say(&stub, "ends");
        return 0;
}
