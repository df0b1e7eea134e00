/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What happens on the connections of the load generator: they connect, send, and compare what comes
 * back. Called by load.c.
 */

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "load.h"

static uint8_t table[TABLE_SIZE + CHUNK_MAX];

/* splitmix64: enough to tell bytes apart, and the same in each run. */
static uint64_t next_random(uint64_t *state)
{
        uint64_t z = (*state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

void load_fill_table(void)
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
        if (outcome != OUTCOME_OK && l->failures)
                load_note_failure(l, c, outcome);
        if (c->kind != KIND_SHORT)
                return;

        l->free_short[l->n_free++] = (uint32_t)(c - l->connections);
        if (outcome == OUTCOME_OK)
                load_count_latency(l, l->now - c->begun);
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

        if (l->failures)
                (void)getsockname(
                        c->fd, (struct sockaddr *)&c->here, &(socklen_t){ sizeof(c->here) });
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
                .opened = l->now,
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

void load_start_short(struct load *l)
{
        l->short_started++;
        start(l, &l->connections[l->free_short[--l->n_free]], KIND_SHORT);
}

void load_take_turn(struct load *l, struct connection *c)
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

void load_end_held(struct load *l, struct connection *c)
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
                load_end_held(l, c);
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

void load_on_event(struct load *l, struct connection *c, uint32_t events)
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
void load_retry(struct load *l)
{
        while (l->retries.first != NOBODY) {
                uint64_t before = l->retried;

                try_connect(l, &l->connections[l->retries.first]);
                if (l->retried != before)
                        return; /* still full, for all of them */
        }
}

void load_end_overdue(struct load *l, const struct list *list)
{
        while (list->first != NOBODY) {
                struct connection *c = &l->connections[list->first];

                if (l->now - c->begun < l->timeout)
                        return;
                finish(l, c, OUTCOME_TIMEOUT);
        }
}
