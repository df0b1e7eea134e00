/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The load generator: many connections to one echo service, and a count of what became of each.
 * Used by tests and measurements; knows nothing of acceptd.
 *
 * Held connections exchange bytes again and again, short ones once; every byte that comes back is
 * compared with what was sent. One process, one loop, few system calls a connection, so that what
 * is measured is the service: a short connection takes socket, connect, send, epoll_ctl, recv,
 * close, and its share of epoll_wait. It talks to this machine only.
 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"

/* Connections take their bytes from one table, each from a place of its own; the end repeats the
 * begin, so that no piece has to be put together. */
#define TABLE_SIZE  (1U << 20)
#define CHUNK_MAX   65536U
#define IN_FLIGHT   16384U /* short connections at once, at the most */
#define EVENTS_MAX  256
#define NOBODY      UINT32_MAX
#define SOURCES_MAX 65536U

/* Logarithmic, with 32 steps for each power of two: latencies are off by 3 % at most. */
#define STEPS   32U
#define BUCKETS (64U * STEPS)

enum outcome {
        OUTCOME_OK,
        OUTCOME_REFUSED, /* nobody listens */
        OUTCOME_EOF,     /* end of file before all came back */
        OUTCOME_RESET,
        OUTCOME_TIMEOUT,
        OUTCOME_WRONG, /* other bytes than were sent */
        OUTCOME_ERROR, /* anything else; this machine's fault, most likely */
        OUTCOMES,
};

static const char *const outcome_names[OUTCOMES] = { "ok", "refused", "eof", "reset", "timeout",
        "wrong", "error" };

enum kind { KIND_SHORT, KIND_HELD, KINDS };

enum state {
        STATE_NONE,
        STATE_RETRY,    /* connect() said EAGAIN: the backlog of an AF_UNIX listener is full */
        STATE_EXCHANGE, /* connecting, sending or receiving */
        STATE_IDLE,     /* held: all came back, the next exchange is not due */
        STATE_ENDING,   /* all was sent and shut down; end of file is to come */
};

struct connection {
        int fd;
        enum kind kind;
        enum state state;
        bool connected; /* and counted */
        bool wants_out;
        uint32_t place; /* in the table */
        uint64_t sent, received, goal;
        usec_t begun;            /* of the connection or the exchange */
        uint32_t previous, next; /* in the list of those that a timeout threatens */
};

struct list {
        uint32_t first, last;
};

struct load {
        /* options */
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_un un;
        } to;
        socklen_t to_size;
        int type;
        uint32_t sources, destinations;
        uint32_t n_held, n_clients;
        uint32_t held_bytes, short_bytes;
        usec_t held_interval, duration, timeout, slow;
        double rate;
        uint64_t count;
        bool half_close;
        bool held_fixed; /* each exchange is held_bytes */
        bool unchecked;  /* any bytes will do */

        int epoll_fd, signal_fd;
        struct connection *connections;
        uint32_t n_connections;
        uint32_t *free_short;
        uint32_t n_free;
        struct list waiting[KINDS], retries;

        usec_t now, begin, stop_at, reported_at;
        bool stopping;
        uint64_t held_turns;
        uint64_t random;

        uint32_t n_active;
        uint64_t started, short_started, connected, retried, exchanges, held_total;
        uint64_t outcomes[KINDS][OUTCOMES];
        uint64_t latencies[BUCKETS], max_latency, n_slow;
        int first_error;
};

static uint8_t table[TABLE_SIZE + CHUNK_MAX];

/* splitmix64: enough to tell bytes apart, and the same in each run. */
static uint64_t next_random(uint64_t *state)
{
        uint64_t z = (*state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

static void fill_table(void)
{
        uint64_t state = 1, value;

        for (size_t i = 0; i < TABLE_SIZE; i += sizeof(value)) {
                value = next_random(&state);
                memcpy(table + i, &value, sizeof(value));
        }
        memcpy(table + TABLE_SIZE, table, CHUNK_MAX);
}

static const uint8_t *bytes_at(const struct connection *c, uint64_t position)
{
        return table + ((c->place + position) & (TABLE_SIZE - 1));
}

/* Latencies */

static uint32_t bucket_of(uint64_t value)
{
        unsigned shift;

        if (value < STEPS)
                return (uint32_t)value;
        shift = 63U - (unsigned)__builtin_clzll(value) - 5U;
        return (shift + 1) * STEPS + (uint32_t)((value >> shift) - STEPS);
}

/* The largest value of a bucket. */
static uint64_t value_of(uint32_t bucket)
{
        uint32_t shift;

        if (bucket < STEPS)
                return bucket;
        shift = bucket / STEPS - 1;
        return (((uint64_t)bucket % STEPS + STEPS + 1) << shift) - 1;
}

static uint64_t percentile(const struct load *l, double fraction)
{
        uint64_t wanted = (uint64_t)(fraction * (double)l->outcomes[KIND_SHORT][OUTCOME_OK] + 0.5);
        uint64_t seen = 0;

        for (uint32_t i = 0; i < BUCKETS; i++) {
                seen += l->latencies[i];
                if (seen > 0 && seen >= wanted)
                        return MIN(value_of(i), l->max_latency);
        }

        return 0;
}

/* Lists */

static void list_append(struct load *l, struct list *list, uint32_t index)
{
        struct connection *c = &l->connections[index];

        c->previous = list->last;
        c->next = NOBODY;
        if (list->last == NOBODY)
                list->first = index;
        else
                l->connections[list->last].next = index;
        list->last = index;
}

static void list_remove(struct load *l, struct list *list, uint32_t index)
{
        struct connection *c = &l->connections[index];

        if (c->previous == NOBODY)
                list->first = c->next;
        else
                l->connections[c->previous].next = c->next;
        if (c->next == NOBODY)
                list->last = c->previous;
        else
                l->connections[c->next].previous = c->previous;
}

static struct list *list_of(struct load *l, const struct connection *c)
{
        switch (c->state) {
        case STATE_RETRY:
                return &l->retries;
        case STATE_EXCHANGE:
        case STATE_ENDING:
                return &l->waiting[c->kind];
        case STATE_NONE:
        case STATE_IDLE:
        default:
                return NULL;
        }
}

static void set_state(struct load *l, struct connection *c, enum state state)
{
        uint32_t index = (uint32_t)(c - l->connections);
        struct list *list = list_of(l, c);

        if (list)
                list_remove(l, list, index);
        c->state = state;
        list = list_of(l, c);
        if (list)
                list_append(l, list, index);
}

/* Connections */

static enum outcome outcome_of(struct load *l, int error)
{
        switch (error) {
        case ECONNREFUSED:
        case ENOENT:
                return OUTCOME_REFUSED;
        case ECONNRESET:
        case EPIPE:
                return OUTCOME_RESET;
        case ETIMEDOUT:
                return OUTCOME_TIMEOUT;
        default:
                if (l->first_error == 0)
                        l->first_error = error;
                return OUTCOME_ERROR;
        }
}

static void finish(struct load *l, struct connection *c, enum outcome outcome)
{
        c->fd = fd_close(c->fd);
        set_state(l, c, STATE_NONE);
        l->n_active--;
        l->outcomes[c->kind][outcome]++;
        if (c->kind != KIND_SHORT)
                return;

        l->free_short[l->n_free++] = (uint32_t)(c - l->connections);
        if (outcome == OUTCOME_OK) {
                uint64_t latency = l->now - c->begun;

                l->latencies[bucket_of(latency)]++;
                l->max_latency = MAX(l->max_latency, latency);
                l->n_slow += latency > l->slow;
        }
}

static void fail(struct load *l, struct connection *c, int error)
{
        finish(l, c, outcome_of(l, error));
}

static void watch(struct load *l, struct connection *c, int operation, bool out)
{
        struct epoll_event event = {
                .events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0U),
                .data.u32 = (uint32_t)(c - l->connections),
        };

        c->wants_out = out;
        if (epoll_ctl(l->epoll_fd, operation, c->fd, &event) < 0)
                fail(l, c, errno);
}

/* Sends what is due. Returns 0, or -errno: -EAGAIN where it has to wait. */
static int send_due(struct load *l, struct connection *c)
{
        while (c->sent < c->goal) {
                size_t size = (size_t)MIN(c->goal - c->sent, CHUNK_MAX);
                ssize_t n = send(c->fd, bytes_at(c, c->sent), size, MSG_NOSIGNAL);

                if (n < 0)
                        return -errno;
                c->sent += (uint64_t)n;
                if (!c->connected) {
                        c->connected = true;
                        l->connected++;
                }
        }

        if (l->half_close && c->kind == KIND_SHORT && c->state == STATE_EXCHANGE) {
                (void)shutdown(c->fd, SHUT_WR);
                set_state(l, c, STATE_ENDING);
        }
        return 0;
}

static int open_socket(struct load *l, uint64_t number)
{
        _cleanup_(fd_closep) int fd = -1;
        int one = 1;

        fd = socket(l->to.any.sa_family, l->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;

        if (l->sources > 0) {
                struct sockaddr_in source = {
                        .sin_family = AF_INET,
                        .sin_addr.s_addr =
                                htonl(INADDR_LOOPBACK + 1 + (uint32_t)(number % l->sources)),
                };

                /* The port is chosen by connect(), which looks at all four numbers. */
                if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
                        bind(fd, (const struct sockaddr *)&source, sizeof(source)) < 0)
                        return -errno;
        }

        return TAKE_FD(fd);
}

static int connect_socket(struct load *l, int fd, uint64_t number)
{
        struct sockaddr_in spread;

        if (l->destinations > 0) {
                spread = l->to.in;
                spread.sin_addr.s_addr =
                        htonl(ntohl(spread.sin_addr.s_addr) + (uint32_t)(number % l->destinations));
                return connect(fd, (const struct sockaddr *)&spread, sizeof(spread));
        }

        return connect(fd, &l->to.any, l->to_size);
}

/* Connects and sends at once: on loopback the handshake is over when connect() returns. */
static void try_connect(struct load *l, struct connection *c)
{
        int r;

        if (connect_socket(l, c->fd, l->started) == 0) {
                c->connected = true;
                l->connected++;
        } else if (errno == EAGAIN) {
                l->retried++;
                if (c->state != STATE_RETRY)
                        set_state(l, c, STATE_RETRY);
                return;
        } else if (errno != EINPROGRESS) {
                fail(l, c, errno);
                return;
        }

        set_state(l, c, STATE_EXCHANGE);
        r = send_due(l, c);
        if (r < 0 && r != -EAGAIN) {
                fail(l, c, -r);
                return;
        }
        watch(l, c, EPOLL_CTL_ADD, r == -EAGAIN);
}

static void start(struct load *l, struct connection *c, enum kind kind)
{
        int one = 1;

        *c = (struct connection){
                .fd = open_socket(l, ++l->started),
                .kind = kind,
                .place = (uint32_t)next_random(&l->random) & (TABLE_SIZE - 1),
                .goal = kind == KIND_SHORT ? l->short_bytes : 1,
                .begun = l->now,
        };
        l->n_active++;
        if (c->fd < 0) {
                int error = -TAKE_FD(c->fd);

                fail(l, c, error);
                return;
        }

        /* a held one sends again before the last bytes are acknowledged */
        if (kind == KIND_HELD && l->to.any.sa_family != AF_UNIX)
                (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        try_connect(l, c);
}

static void start_short(struct load *l)
{
        l->short_started++;
        start(l, &l->connections[l->free_short[--l->n_free]], KIND_SHORT);
}

/* A held connection's turn: the next exchange, or another try. One that has not finished its last
 * exchange goes without. */
static void take_turn(struct load *l, struct connection *c)
{
        int r;

        if (c->state == STATE_NONE)
                start(l, c, KIND_HELD);
        if (c->state != STATE_IDLE)
                return;

        c->begun = l->now;
        c->goal += l->held_fixed ? l->held_bytes : 1 + next_random(&l->random) % l->held_bytes;
        set_state(l, c, STATE_EXCHANGE);
        r = send_due(l, c);
        if (r < 0 && r != -EAGAIN)
                fail(l, c, -r);
        else if (r == -EAGAIN)
                watch(l, c, EPOLL_CTL_MOD, true);
}

static void end_held(struct load *l, struct connection *c)
{
        c->begun = l->now;
        (void)shutdown(c->fd, SHUT_WR);
        set_state(l, c, STATE_ENDING);
}

/* All that was sent came back. */
static void on_complete(struct load *l, struct connection *c)
{
        if (c->kind == KIND_SHORT) {
                if (c->state == STATE_EXCHANGE)
                        finish(l, c, OUTCOME_OK);
                return;
        }

        if (c->state != STATE_EXCHANGE)
                return;
        l->exchanges++;
        set_state(l, c, STATE_IDLE);
        if (l->stopping)
                end_held(l, c);
}

static void on_end_of_file(struct load *l, struct connection *c)
{
        finish(l, c, c->state == STATE_ENDING && c->received == c->goal ? OUTCOME_OK : OUTCOME_EOF);
}

static void receive(struct load *l, struct connection *c)
{
        static uint8_t data[CHUNK_MAX];
        ssize_t n = recv(c->fd, data, sizeof(data), 0);

        if (n < 0) {
                if (errno != EAGAIN)
                        fail(l, c, errno);
                return;
        }
        if (n == 0) {
                on_end_of_file(l, c);
                return;
        }

        if (!l->unchecked && (c->received + (uint64_t)n > c->sent ||
                                     memcmp(data, bytes_at(c, c->received), (size_t)n) != 0)) {
                finish(l, c, OUTCOME_WRONG);
                return;
        }
        c->received += (uint64_t)n;
        if (c->kind == KIND_HELD)
                l->held_total += (uint64_t)n;
        if (c->received == c->goal)
                on_complete(l, c);
}

static void on_event(struct load *l, struct connection *c, uint32_t events)
{
        int r;

        if (c->state == STATE_NONE)
                return; /* it ended earlier in this round */

        if (events & EPOLLOUT && c->wants_out) {
                r = send_due(l, c);
                if (r < 0 && r != -EAGAIN) {
                        fail(l, c, -r);
                        return;
                }
                if (r == 0)
                        watch(l, c, EPOLL_CTL_MOD, false);
                if (c->state == STATE_NONE)
                        return;
        }

        if (events & ~(uint32_t)EPOLLOUT)
                receive(l, c);
}

/* What is due */

static void retry(struct load *l)
{
        while (l->retries.first != NOBODY) {
                uint64_t before = l->retried;

                try_connect(l, &l->connections[l->retries.first]);
                if (l->retried != before)
                        return; /* still full, for all of them */
        }
}

static void end_overdue(struct load *l, const struct list *list)
{
        while (list->first != NOBODY) {
                struct connection *c = &l->connections[list->first];

                if (l->now - c->begun < l->timeout)
                        return;
                finish(l, c, OUTCOME_TIMEOUT);
        }
}

static void start_due(struct load *l)
{
        usec_t since = l->now - l->begin;
        uint64_t wanted = l->count, turns = l->held_turns + l->n_held;

        if (l->held_interval > 0)
                turns = since * l->n_held / l->held_interval;
        for (; l->held_turns < turns; l->held_turns++)
                take_turn(l, &l->connections[l->held_turns % l->n_held]);

        if (l->rate > 0)
                wanted = MIN(wanted, (uint64_t)((double)since * l->rate / (double)USEC_PER_SEC));
        /* bounded, for the case that each ends at once */
        for (int i = 0; i < EVENTS_MAX && l->n_free > 0 && l->short_started < wanted; i++)
                start_short(l);
}

static void stop(struct load *l)
{
        l->stopping = true;
        l->stop_at = l->now;
        for (uint32_t i = 0; i < l->n_held; i++)
                if (l->connections[i].state == STATE_IDLE)
                        end_held(l, &l->connections[i]);
}

static bool is_time_to_stop(const struct load *l)
{
        struct signalfd_siginfo info;

        return l->now >= l->begin + l->duration ||
               (l->short_started == l->count && l->n_free == l->n_connections - l->n_held) ||
               read(l->signal_fd, &info, sizeof(info)) > 0;
}

static void report_progress(struct load *l)
{
        uint64_t failures = 0;

        if (l->now - l->reported_at < USEC_PER_SEC)
                return;
        l->reported_at = l->now;
        for (int kind = 0; kind < KINDS; kind++)
                for (int i = OUTCOME_OK + 1; i < OUTCOMES; i++)
                        failures += l->outcomes[kind][i];
        fprintf(stderr,
                "\r%3" PRIu64 " s: %" PRIu64 " short ones, %" PRIu64
                " MiB through held ones, %" PRIu64 " failures ",
                (uint64_t)((l->now - l->begin) / USEC_PER_SEC), l->outcomes[KIND_SHORT][OUTCOME_OK],
                l->held_total >> 20, failures);
}

/* When to look again if nothing comes, as what is due comes at its own time and not in heaps. */
static struct timespec time_to_wait(const struct load *l)
{
        usec_t next = l->now + 20 * USEC_PER_MSEC;

        if (l->retries.first != NOBODY)
                next = l->now + USEC_PER_MSEC;
        if (!l->stopping && l->rate > 0 && l->n_free > 0)
                next = MIN(next,
                        l->begin + (usec_t)((double)(l->short_started + 1) *
                                            (double)USEC_PER_SEC / l->rate));
        if (!l->stopping && l->n_held > 0 && l->held_interval > 0)
                next = MIN(next, l->begin + (l->held_turns + 1) * l->held_interval / l->n_held);

        next = next > l->now ? next - l->now : 0;
        return (struct timespec){
                .tv_sec = (time_t)(next / USEC_PER_SEC),
                .tv_nsec = (long)(next % USEC_PER_SEC * 1000),
        };
}

static void run(struct load *l)
{
        bool progress = isatty(STDERR_FILENO);

        (void)prctl(PR_SET_TIMERSLACK, 1UL);
        l->begin = l->now = usec_now();
        while (!l->stopping || l->n_active > 0) {
                struct epoll_event events[EVENTS_MAX];
                struct timespec wait;
                int n;

                if (!l->stopping && is_time_to_stop(l))
                        stop(l);
                if (!l->stopping)
                        start_due(l);

                wait = time_to_wait(l);
                n = epoll_pwait2(l->epoll_fd, events, EVENTS_MAX, &wait, NULL);
                l->now = usec_now();
                for (int i = 0; i < n; i++)
                        on_event(l, &l->connections[events[i].data.u32], events[i].events);

                retry(l);
                end_overdue(l, &l->waiting[KIND_SHORT]);
                end_overdue(l, &l->waiting[KIND_HELD]);
                end_overdue(l, &l->retries);
                if (progress)
                        report_progress(l);
        }
        if (progress)
                fprintf(stderr, "\n");
}

/* One line of key=value. Returns the number of failures. */
static uint64_t print_result(const struct load *l)
{
        static const char *const kinds[KINDS] = { "short", "held" };
        uint64_t failures = 0, wanted = l->short_started;

        printf("seconds=%.2f connected=%" PRIu64, (double)(l->stop_at - l->begin) / 1e6,
                l->connected);
        for (int kind = 0; kind < KINDS; kind++)
                for (int i = 0; i < OUTCOMES; i++) {
                        printf(" %s_%s=%" PRIu64, kinds[kind], outcome_names[i],
                                l->outcomes[kind][i]);
                        if (i != OUTCOME_OK)
                                failures += l->outcomes[kind][i];
                }

        if (l->rate > 0)
                wanted = MIN(l->count, (uint64_t)((double)(l->stop_at - l->begin) * l->rate /
                                                  (double)USEC_PER_SEC));
        printf(" short_behind=%" PRIu64 " short_retries=%" PRIu64 " held_exchanges=%" PRIu64
               " held_bytes=%" PRIu64,
                wanted - MIN(wanted, l->short_started), l->retried, l->exchanges, l->held_total);
        if (l->slow != USEC_INFINITY)
                printf(" short_slow=%" PRIu64, l->n_slow);
        printf(" p50_us=%" PRIu64 " p90_us=%" PRIu64 " p99_us=%" PRIu64 " p999_us=%" PRIu64
               " max_us=%" PRIu64 " failures=%" PRIu64 "\n",
                percentile(l, 0.5), percentile(l, 0.9), percentile(l, 0.99), percentile(l, 0.999),
                l->max_latency, failures);
        if (l->first_error != 0)
                fprintf(stderr, "load: first error: %s\n", strerror(l->first_error));

        return failures;
}

/* Setting up */

static void __attribute__((noreturn)) refuse(const char *what, const char *allowed)
{
        fprintf(stderr, "load: %s; allowed: %s. Try --help.\n", what, allowed);
        exit(EX_USAGE);
}

static void parse_unix(struct load *l, const char *path)
{
        size_t length = strlen(path);

        if (length == 0 || length >= sizeof(l->to.un.sun_path))
                refuse("bad path", "1 to 107 characters, or @NAME");
        l->to.un.sun_family = AF_UNIX;
        memcpy(l->to.un.sun_path, path, length);
        if (path[0] == '@')
                l->to.un.sun_path[0] = '\0';
        l->to_size =
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] != '@'));
}

static void parse_tcp(struct load *l, const char *text)
{
        const char *colon = strrchr(text, ':');
        char host[64] = "", *end;
        unsigned long port;

        if (!colon || (size_t)(colon - text) >= sizeof(host))
                refuse("bad address", "tcp:127.0.0.1:PORT, tcp:[::1]:PORT");
        (void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
        port = strtoul(colon + 1, &end, 10);
        if (*end || port == 0 || port > UINT16_MAX)
                refuse("bad port", "1 to 65535");

        l->type = SOCK_STREAM;
        if (streq(host, "[::1]")) {
                l->to.in6 = (struct sockaddr_in6){
                        .sin6_family = AF_INET6,
                        .sin6_port = htons((uint16_t)port),
                        .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                };
                l->to_size = sizeof(l->to.in6);
        } else {
                l->to.in = (struct sockaddr_in){
                        .sin_family = AF_INET,
                        .sin_port = htons((uint16_t)port),
                };
                if (inet_pton(AF_INET, host, &l->to.in.sin_addr) != 1 ||
                        ntohl(l->to.in.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
                        refuse("another machine's address", "127.x.y.z, [::1]");
                l->to_size = sizeof(l->to.in);
        }
}

static void parse_destination(struct load *l, const char *text)
{
        const char *rest;

        l->type = SOCK_STREAM;
        if ((rest = startswith(text, "tcp:"))) {
                parse_tcp(l, rest);
        } else if ((rest = startswith(text, "unix:"))) {
                parse_unix(l, rest);
        } else if ((rest = startswith(text, "seqpacket:"))) {
                l->type = SOCK_SEQPACKET;
                parse_unix(l, rest);
        } else {
                refuse("bad destination", "tcp:ADDRESS:PORT, unix:PATH, seqpacket:PATH");
        }
}

static double parse_number(const char *option, const char *text, double least, double most)
{
        char *end, what[128], allowed[64];
        double value = strtod(text, &end);

        if (*end == '\0' && end != text && value >= least && value <= most)
                return value;

        (void)snprintf(what, sizeof(what), "--%s=%s", option, text);
        (void)snprintf(allowed, sizeof(allowed), "%g to %g", least, most);
        refuse(what, allowed);
}

static void help(void)
{
        puts("load --to=DESTINATION [OPTION]...: load for an echo service on this machine\n"
             "\n"
             "  --to=tcp:127.0.0.1:PORT, tcp:[::1]:PORT, unix:PATH, unix:@NAME, seqpacket:PATH\n"
             "  --sources=N         connect from N addresses, 127.0.0.2 and up: more ports\n"
             "  --destinations=N    connect to N addresses, from the given one up\n"
             "  --seconds=S         how long (10)\n"
             "  --timeout=S         for one exchange (10)\n"
             "  --slow=MS           count the short ones that take longer, too\n"
             "\n"
             "  --held=N            connections that last (0)\n"
             "  --held-bytes=N      each exchange is 1 to N bytes (4096)\n"
             "  --held-fixed        each exchange is N bytes\n"
             "  --held-interval=MS  between two exchanges of one connection; 0: none (100)\n"
             "\n"
             "  --rate=R            short connections a second, whatever becomes of them\n"
             "  --clients=C         or: C clients, each with one short connection after another\n"
             "  --count=N           end after so many short connections\n"
             "  --bytes=N           each sends N bytes and gets them back (64)\n"
             "  --unchecked         any bytes are taken for the right ones: for a service that\n"
             "                      answers something else\n"
             "  --half-close        says that that was all, and waits for the end of file\n"
             "\n"
             "Prints one line of key=value. Exit status 0: no failure, 1: some.");
}

static void parse_options(struct load *l, int argc, char *argv[])
{
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "to", required_argument, NULL, 't' },
                { "sources", required_argument, NULL, 's' },
                { "destinations", required_argument, NULL, 'd' },
                { "seconds", required_argument, NULL, 'S' },
                { "timeout", required_argument, NULL, 'T' },
                { "slow", required_argument, NULL, 'w' },
                { "held", required_argument, NULL, 'H' },
                { "held-bytes", required_argument, NULL, 'B' },
                { "held-interval", required_argument, NULL, 'i' },
                { "rate", required_argument, NULL, 'r' },
                { "clients", required_argument, NULL, 'c' },
                { "count", required_argument, NULL, 'n' },
                { "bytes", required_argument, NULL, 'b' },
                { "half-close", no_argument, NULL, 'x' },
                { "held-fixed", no_argument, NULL, 'f' },
                { "unchecked", no_argument, NULL, 'u' },
                {},
        };
        int c, at;

#define NUMBER(least, most) parse_number(options[at].name, optarg, least, most)
        while ((c = getopt_long(argc, argv, "", options, &at)) != -1)
                switch (c) {
                case 'h':
                        help();
                        exit(0);
                case 't':
                        parse_destination(l, optarg);
                        break;
                case 's':
                        l->sources = (uint32_t)NUMBER(1, SOURCES_MAX);
                        break;
                case 'd':
                        l->destinations = (uint32_t)NUMBER(1, SOURCES_MAX);
                        break;
                case 'S':
                        l->duration = (usec_t)(NUMBER(0.01, 1e6) * (double)USEC_PER_SEC);
                        break;
                case 'T':
                        l->timeout = (usec_t)(NUMBER(0.01, 1e6) * (double)USEC_PER_SEC);
                        break;
                case 'w':
                        l->slow = (usec_t)(NUMBER(0, 1e6) * (double)USEC_PER_MSEC);
                        break;
                case 'H':
                        l->n_held = (uint32_t)NUMBER(0, 1e6);
                        break;
                case 'B':
                        l->held_bytes = (uint32_t)NUMBER(1, CHUNK_MAX);
                        break;
                case 'i':
                        l->held_interval = (usec_t)(NUMBER(0, 1e6) * (double)USEC_PER_MSEC);
                        break;
                case 'r':
                        l->rate = NUMBER(0.001, 1e7);
                        break;
                case 'c':
                        l->n_clients = (uint32_t)NUMBER(1, IN_FLIGHT);
                        break;
                case 'n':
                        l->count = (uint64_t)NUMBER(1, 1e12);
                        break;
                case 'b':
                        l->short_bytes = (uint32_t)NUMBER(1, CHUNK_MAX);
                        break;
                case 'x':
                        l->half_close = true;
                        break;
                case 'f':
                        l->held_fixed = true;
                        break;
                case 'u':
                        l->unchecked = true;
                        break;
                default:
                        exit(EX_USAGE);
                }
#undef NUMBER

        if (optind < argc || l->to_size == 0)
                refuse("no destination, or more than options", "--to=DESTINATION [OPTION]...");
        if (l->rate > 0 && l->n_clients > 0)
                refuse("--rate and --clients", "one of them");
        if ((l->sources > 0 || l->destinations > 0) && l->to.any.sa_family != AF_INET)
                refuse("--sources, --destinations", "with tcp: and an IPv4 address");
        if (l->destinations > 0 &&
                (ntohl(l->to.in.sin_addr.s_addr) + l->destinations - 1) >> 24 != IN_LOOPBACKNET)
                refuse("--destinations beyond this machine", "127.x.y.z");
}

/* Returns how many descriptors there may be. */
static uint64_t raise_limit(void)
{
        struct rlimit limit = {};

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        return limit.rlim_cur;
}

static void set_up(struct load *l)
{
        uint64_t n_descriptors = raise_limit();
        uint32_t n_short = l->n_clients;
        sigset_t signals;

        if (l->rate > 0)
                n_short = IN_FLIGHT;
        if (l->n_held + 32 >= n_descriptors)
                refuse("--held", "fewer than RLIMIT_NOFILE");
        n_short = (uint32_t)MIN((uint64_t)n_short, n_descriptors - 32 - l->n_held);

        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGINT);
        (void)sigaddset(&signals, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL);
        l->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
        l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        l->n_connections = l->n_held + n_short;
        l->connections = calloc(l->n_connections, sizeof(*l->connections));
        l->free_short = calloc(n_short + 1, sizeof(*l->free_short));
        if (l->signal_fd < 0 || l->epoll_fd < 0 || !l->connections || !l->free_short) {
                perror("load");
                exit(EX_OSERR);
        }

        for (uint32_t i = 0; i < l->n_connections; i++)
                l->connections[i].fd = -1;
        for (uint32_t i = 0; i < n_short; i++)
                l->free_short[l->n_free++] = l->n_connections - 1 - i;
        fill_table();
}

int main(int argc, char *argv[])
{
        static struct load load = {
                .epoll_fd = -1,
                .signal_fd = -1,
                .held_bytes = 4096,
                .short_bytes = 64,
                .held_interval = 100 * USEC_PER_MSEC,
                .duration = 10 * USEC_PER_SEC,
                .timeout = 10 * USEC_PER_SEC,
                .slow = USEC_INFINITY,
                .count = UINT64_MAX,
                .waiting = { { NOBODY, NOBODY }, { NOBODY, NOBODY } },
                .retries = { NOBODY, NOBODY },
        };
        uint64_t failures;

        parse_options(&load, argc, argv);
        set_up(&load);
        run(&load);
        failures = print_result(&load);

        free(load.connections);
        free(load.free_short);
        fd_close(load.epoll_fd);
        fd_close(load.signal_fd);
        return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
