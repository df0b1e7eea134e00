/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A client of journald's native protocol that never blocks (sd_journal_send() would, for as long as
 * journald does not read), and lines on stderr where there is no journal. Knows nothing of the
 * dispatcher.
 */

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/journal.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* A datagram; longer ones are cut. Below PIPE_BUF, so that a pipe that poll() calls writable takes
 * a whole line. */
#define ENTRY_SIZE 4096U
#define TEXT_SIZE  2048U

/* Of one kind of message, in one interval. A worker or a client that can make the dispatcher say
 * something can make it say that often. */
#define BURST_MAX      1000
#define BURST_INTERVAL (10 * USEC_PER_SEC)

static const struct {
        const char *name, *id;
        int priority;
} infos[MESSAGE_COUNT] = {
#define MESSAGE_INFO(name, id, priority) [MESSAGE_##name] = { #name, id, priority },
        MESSAGES(MESSAGE_INFO)
#undef MESSAGE_INFO
};

static struct {
        const char *instance;
        struct journal_last lasts[MESSAGE_COUNT];
        journal_listener_t listener;
        void *userdata;         /* of the listener */
        int fd;                 /* connected to journald; -1: lines on stderr */
        bool lines;             /* on stderr, whoever reads there */
        const char *begin_line; /* NULL: <N>, the priority */
        uint64_t n_dropped;
        struct {
                usec_t since;
                uint32_t n;
                uint64_t n_suppressed;
        } bursts[MESSAGE_COUNT];
} journal = { .fd = -1 };

struct entry {
        char data[ENTRY_SIZE];
        size_t len;
};

/* Who set $JOURNAL_STREAM reads what is written there, and understands <N>: sd-daemon(3). */
static bool stderr_is_journal(bool *ret_is_socket)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2 ||
                fstat(STDERR_FILENO, &st) < 0 || st.st_dev != dev || st.st_ino != ino)
                return false;

        *ret_is_socket = S_ISSOCK(st.st_mode);
        return true;
}

static int connect_journal(void)
{
        static const struct sockaddr_un address = {
                .sun_family = AF_UNIX,
                .sun_path = JOURNAL_SOCKET,
        };
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -1;

        return TAKE_FD(fd);
}

void journal_open(const char *instance)
{
        bool is_socket = false;

        journal.instance = instance;
        journal.begin_line = stderr_is_journal(&is_socket) ? NULL
                             : isatty(STDERR_FILENO)       ? "acceptd: "
                                                           : "";
        /* journald itself reads from sockets, and nobody but it has the fields. */
        if (is_socket && !journal.lines && journal.fd < 0)
                journal.fd = connect_journal();
}

void journal_use_lines(void)
{
        journal.lines = true;
        journal.fd = fd_close(journal.fd);
}

/* Appends NAME=text and a newline. A newline within would end the field: it becomes a space. */
static void append(struct entry *e, const char *name, const char *text)
{
        size_t begin;
        int n;

        if (e->len >= sizeof(e->data) - 1)
                return;

        begin = e->len + strlen(name);
        n = snprintf(e->data + e->len, sizeof(e->data) - e->len - 1, "%s=%s", name, text);
        e->len = MIN(e->len + (size_t)n, sizeof(e->data) - 2);
        for (size_t i = begin; i < e->len; i++)
                if (e->data[i] == '\n')
                        e->data[i] = ' ';
        e->data[e->len++] = '\n';
}

static void append_number(struct entry *e, const char *name, uint64_t number)
{
        char text[24];

        (void)snprintf(text, sizeof(text), "%" PRIu64, number);
        append(e, name, text);
}

/* Returns false where it would have to wait. */
static bool send_entry(enum message message, const struct journal_field *fields, const char *text)
{
        struct entry e = {};

        append(&e, "MESSAGE", text);
        append(&e, "MESSAGE_ID", infos[message].id);
        append_number(&e, "PRIORITY", (uint64_t)infos[message].priority);
        append(&e, "SYSLOG_IDENTIFIER", "acceptd");
        if (journal.instance)
                append(&e, "ACCEPTD_INSTANCE", journal.instance);
        for (; fields && fields->name; fields++)
                if (fields->text)
                        append(&e, fields->name, fields->text);
                else
                        append_number(&e, fields->name, fields->number);

        if (send(journal.fd, e.data, e.len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return true;

        if (errno == ECONNREFUSED || errno == ECONNRESET || errno == ENOTCONN) {
                int fd = connect_journal();

                if (fd >= 0) {
                        fd_close(journal.fd);
                        journal.fd = fd;
                        return send(fd, e.data, e.len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
                }
        }

        return false;
}

static bool has_room(void)
{
        struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

        return poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}

/* Workers write to the same pipe: it may be full again. Linux before 6.4, and a terminal, cannot
 * say so. */
static ssize_t write_now(const char *line, size_t n)
{
        struct iovec iov = { .iov_base = (char *)(uintptr_t)line, .iov_len = n };
        ssize_t written = pwritev2(STDERR_FILENO, &iov, 1, -1, RWF_NOWAIT);

        if (written < 0 && (errno != EAGAIN || has_room()))
                return write(STDERR_FILENO, line, n);

        return written;
}

/* Returns false where it would have to wait. */
static bool write_line(enum message message, const char *text)
{
        char line[TEXT_SIZE + 32];
        int n;

        if (!has_room())
                return false;

        n = journal.begin_line
                    ? snprintf(line, sizeof(line), "%s%s\n", journal.begin_line, text)
                    : snprintf(line, sizeof(line), "<%d>%s\n", infos[message].priority, text);
        return write_now(line, (size_t)n) >= 0;
}

static bool deliver(enum message message, const struct journal_field *fields, const char *text)
{
        return journal.fd >= 0 ? send_entry(message, fields, text) : write_line(message, text);
}

/* Returns false where it has to be tried again. */
static bool report_suppressed(enum message message)
{
        char text[TEXT_SIZE];
        uint64_t n = journal.bursts[message].n_suppressed;

        if (n == 0)
                return true;

        (void)snprintf(text, sizeof(text),
                "%" PRIu64 " more messages of the kind %s were not logged: too many at once.", n,
                infos[message].id);
        if (!deliver(MESSAGE_SUPPRESSED,
                    JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", n),
                            JOURNAL_TEXT("ACCEPTD_SUPPRESSED_ID", infos[message].id)),
                    text))
                return false;

        journal.bursts[message].n_suppressed = 0;
        return true;
}

static bool is_over(enum message message, usec_t now)
{
        return now - journal.bursts[message].since >= BURST_INTERVAL;
}

/* Returns true where this one is too many. */
static bool suppress(enum message message)
{
        usec_t now = usec_now();

        /* What was asked for: by LogConnections=, by SIGUSR1 */
        if (message == MESSAGE_CONNECTION_ENDED || message == MESSAGE_COUNTERS)
                return false;

        if (is_over(message, now)) {
                /* Here, too: while they keep coming, journal_report() finds a young interval. */
                (void)report_suppressed(message);
                journal.bursts[message].since = now;
                journal.bursts[message].n = 0;
        }
        if (journal.bursts[message].n++ < BURST_MAX)
                return false;

        journal.bursts[message].n_suppressed++;
        return true;
}

static bool report_dropped(void)
{
        char text[TEXT_SIZE];

        if (journal.n_dropped == 0)
                return true;

        (void)snprintf(text, sizeof(text),
                "%" PRIu64 " messages were dropped: the journal did not take them in time.",
                journal.n_dropped);
        if (!deliver(MESSAGE_DROPPED,
                    JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", journal.n_dropped)), text))
                return false;

        journal.n_dropped = 0;
        return true;
}

bool journal_report(void)
{
        bool all = report_dropped();
        usec_t now = usec_now();

        for (enum message m = 0; m < MESSAGE_COUNT; m++)
                if (journal.bursts[m].n_suppressed > 0 &&
                        !(is_over(m, now) && report_suppressed(m)))
                        all = false;

        return !all;
}

void journal_flush(void)
{
        (void)report_dropped();
        for (enum message m = 0; m < MESSAGE_COUNT; m++)
                (void)report_suppressed(m);
}

/* What comes with each connection is too much to be kept, and nobody asks for the last one. */
static void keep(enum message message, const char *text)
{
        struct journal_last *last = &journal.lasts[message];

        if (message == MESSAGE_CONNECTION_ENDED)
                return;

        last->n++;
        last->at = usec_now();
        (void)snprintf(last->text, sizeof(last->text), "%.*s", (int)sizeof(last->text) - 1, text);
}

const struct journal_last *journal_get_last(enum message message)
{
        return &journal.lasts[message];
}

void journal_event(
        enum message message, const struct journal_field *fields, const char *format, ...)
{
        char text[TEXT_SIZE];
        int saved = errno;
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);

        keep(message, text);
        if (!suppress(message)) {
                if (journal.listener)
                        journal.listener(journal.userdata, message, fields, text);
                /* A gap is told where it is: before what comes after it. */
                if (!(report_dropped() && deliver(message, fields, text)))
                        journal.n_dropped++;
        }

        errno = saved;
}

void journal_listen(journal_listener_t listener, void *userdata)
{
        journal.listener = listener;
        journal.userdata = userdata;
}

const char *journal_get_name(enum message message)
{
        return infos[message].name;
}

const char *journal_get_id(enum message message)
{
        return infos[message].id;
}

int journal_get_priority(enum message message)
{
        return infos[message].priority;
}
