/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker for tests, written on the bare wire: it behaves well unless told otherwise, and has one
 * misbehaviour for each way in which a worker can break its contract. Started by the dispatcher, so
 * what it is to do stands on its command line, or comes from a client (--serve=obey). What it does
 * is said on stderr, one line a deed, for the test to await.
 *
 * A "deed" happens once, at a chosen moment (--at=); a "habit" is how the worker is all the time.
 */

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "stub-worker.h"

/* The leak check of a sanitizer's build starts a process at the end of this one. A stub that is
 * killed just then would leave it behind. */
int __lsan_is_turned_off(void);
__attribute__((visibility("default"))) int __lsan_is_turned_off(void)
{
        return 1;
}

/* All that a test reads from stderr comes in one write, so that lines of workers do not mix. */
void stub_say(const struct stub *stub, const char *format, ...)
{
        char text[256];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);

        dprintf(STDERR_FILENO, "stub worker=%s pid=%d: %s\n", stub->number, (int)getpid(), text);
}

void stub_die(const struct stub *stub, const char *format, ...)
{
        char text[256];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);

        stub_say(stub, "cannot go on: %s", text);
        exit(99);
}

void stub_send(const struct stub *stub, const void *data, size_t size)
{
        while (send(stub->channel, data, size, MSG_NOSIGNAL) < 0)
                if (errno != EINTR) {
                        stub_say(stub, "send: %s", strerror(errno));
                        return;
                }
}

void stub_send_record(const struct stub *stub, enum record_type type, uint32_t value, uint64_t id)
{
        struct record record = {
                .version = RECORD_VERSION,
                .type = (uint8_t)type,
                .value = value,
                .id = id,
        };

        stub_send(stub, &record, sizeof(record));
}

void stub_send_ready(const struct stub *stub, uint32_t capacity)
{
        stub_send_record(stub, RECORD_READY, capacity, stub->features);
}

static void forget(struct stub *stub, struct connection *connection)
{
        if (stub->current == connection)
                stub->current = NULL;
        *connection = stub->connections[--stub->n_connections];
        stub->connections[stub->n_connections].fd = -1;
}

void stub_finish(struct stub *stub, struct connection *connection)
{
        connection->fd = fd_close(connection->fd);
        if (!stub->no_done)
                stub_send_record(stub, RECORD_DONE, 0, connection->id);
        forget(stub, connection);
}

void stub_fail(struct stub *stub, struct connection *connection, uint32_t reason)
{
        connection->fd = fd_close(connection->fd);
        stub_send_record(stub, RECORD_FAILED, reason, connection->id);
        forget(stub, connection);
}

/* --- Serving --- */

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

        if (stub->n_connections == STUB_CONNECTIONS_MAX)
                stub_die(stub, "more connections than fit");
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
        if (stub->serve == SERVE_RACE)
                stub_race(stub, connection->fd);
        if (stub->serve == SERVE_LINE || stub->serve == SERVE_REPORT || stub->serve == SERVE_RACE)
                stub_finish(stub, connection);

        if (++stub->received == stub->at && stub->deed)
                stub_run_deed(stub, stub->deed, stub->deed_arg);
        stub->current = NULL;
}

static void on_client(struct stub *stub, struct connection *connection)
{
        char data[4096];
        ssize_t n = recv(connection->fd, data, sizeof(data) - 1, MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n <= 0) {
                stub_finish(stub, connection);
                return;
        }

        if (stub->serve == SERVE_ECHO) {
                answer(connection, data, (size_t)n);
                stub_finish(stub, connection);
        } else if (stub->serve == SERVE_OBEY) {
                data[n] = '\0';
                stub_obey(stub, connection, data);
        }
}

static void on_drain(const struct stub *stub, const struct record *record)
{
        if (!(stub->features & RECORD_FEATURE_DRAIN))
                stub_die(stub, "DRAIN, which it did not take");

        stub_say(stub, "is told to drain: reason=%u deadline=%llu", record->value,
                (unsigned long long)record->id);
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
                stub_say(stub, "drains");
                stub->draining = true;
                return;
        default:
                stub_die(stub, "receive: %d %s", r, why ?: "");
        }

        switch (record.type) {
        case RECORD_CONNECTION:
                on_connection(stub, &record, fd);
                break;
        case RECORD_DRAIN:
                on_drain(stub, &record);
                break;
        case RECORD_LIST:
                for (size_t i = 0; i < stub->n_connections; i++)
                        stub_send_record(stub, RECORD_HELD, 0, stub->connections[i].id);
                stub_send_record(stub, RECORD_PONG, record.value, 0);
                break;
        default:
                stub_send_record(stub, RECORD_PONG, record.value + stub->wrong_pong, 0);
        }
}

static void serve(struct stub *stub)
{
        static struct pollfd fds[STUB_CONNECTIONS_MAX + 1];

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
                        stub_die(stub, "poll: %s", strerror(errno));
                }

                /* from the end: finishing one moves the last into its place */
                for (size_t i = n; i-- > 0;)
                        if (fds[i].revents)
                                on_client(stub, &stub->connections[i]);
                if (fds[n].revents)
                        on_channel(stub);
        }
}

static void say_ready(struct stub *stub)
{
        if (stub->ready_delay > 0)
                (void)poll(NULL, 0, stub->ready_delay);

        if (!stub->never_ready) {
                stub_send_ready(stub, stub->capacity);
                stub_say(stub, "ready");
        }
        if (stub->deed && stub->at == 0)
                stub_run_deed(stub, stub->deed, stub->deed_arg);
}

int main(int argc, char *argv[])
{
        static struct stub stub = { .channel = -1, .capacity = 1 };
        const struct rlimit no_core = {};

        stub_report(&stub); /* before anything here changes what it tells */
        stub.number = getenv("ACCEPTD_WORKER") ?: "?";
        stub_options(&stub, argc, argv);
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (stub.ignore_term)
                (void)signal(SIGTERM, SIG_IGN);

        stub.channel = (int)stub_number(getenv("ACCEPTD_CHANNEL"), 0);
        if (stub.channel <= STDERR_FILENO)
                stub_die(&stub, "no channel in the environment");
        (void)fd_set_cloexec(stub.channel, true);
        stub_say(&stub, "starts");

        if (stub.deed && stub.at == UINT_MAX)
                stub_run_deed(&stub, stub.deed, stub.deed_arg);
        say_ready(&stub);
        if (stub.never_receive)
                stub_hang();
        serve(&stub);

        stub_say(&stub, "ends");
        return 0;
}
