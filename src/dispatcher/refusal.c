/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Refusing a connection: closing it, counting it, telling of it. Whether one is refused is decided
 * elsewhere.
 *
 * A reply (OverloadReply=) has to be read, too. What has come in unread when a TCP socket is closed
 * makes it a reset, and so does what comes in later; a client that is just sending sees that, and
 * not the reply. So what is there is thrown away, the reply is sent, the end of it told by
 * shutdown(), and then the client has a second to see it and close: until then what it still sends
 * is thrown away, up to a bound.
 */

#include <inttypes.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "dispatcher/refusal.h"
#include "os/journal.h"
#include "os/listener.h"
#include "policy/pool-limit.h"

static const char *explain(enum refusal reason)
{
        return reason == REFUSED_RATE ? "RateLimitPerSource= is exceeded"
                                      : "MaxConnectionsPerSource= is reached";
}

static void tell(struct pool *pool, const struct source *source, enum refusal reason, usec_t now)
{
        uint64_t n = pool_take_untold(pool, source, now);
        const char *why = explain(reason);
        char text[SOURCE_FORMAT_SIZE];

        if (n == 0)
                return;

        source_format_short(source, pool->sources.prefixes, text);
        journal_event(MESSAGE_SOURCE_REFUSED,
                JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_SOURCE", text),
                        JOURNAL_NUMBER("ACCEPTD_COUNT", n), JOURNAL_TEXT("ACCEPTD_REASON", why)),
                "%" PRIu64 " connection%s from %s refused: %s.", n, n == 1 ? "" : "s", text, why);
}

/* --- Lingering --- */

#define LINGER_USEC USEC_PER_SEC
#define READ_SIZE   65536U
#define READS_MAX   64 /* of READ_SIZE; a stream may bring less each time */

static struct lingering *get(struct refusals *r, uint32_t i)
{
        return &r->lingering[(r->first + i) % REFUSAL_LINGER_MAX];
}

static void end(struct lingering *l)
{
        l->source = sd_event_source_disable_unref(l->source);
        l->fd = fd_close(l->fd);
}

/* Those that have ended leave the ring when all before them have. */
static void forget_ended(struct refusals *r)
{
        while (r->n > 0 && r->lingering[r->first].fd < 0) {
                r->first = (r->first + 1) % REFUSAL_LINGER_MAX;
                r->n--;
        }
}

/* Without a timer they linger until others come. */
static void set_timer(struct refusals *r)
{
        if (r->n == 0)
                return;

        (void)sd_event_source_set_time(r->timer, r->lingering[r->first].until);
        (void)sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct refusals *r = userdata;
        usec_t now = usec_now();

        for (uint32_t i = 0; i < r->n && get(r, i)->until <= now; i++)
                end(get(r, i));
        forget_ended(r);
        set_timer(r);
        return 0;
}

/* Throws away what came. Returns false at the end of it. */
static bool discard(int fd)
{
        static uint8_t nowhere[READ_SIZE];
        ssize_t n = recv(fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);

        return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static int on_input(
        sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata)
{
        struct lingering *l = userdata;
        struct refusals *r = l->refusals;

        if (l->n_reads-- == 0 || !discard(fd)) {
                end(l);
                forget_ended(r);
        }

        return 0;
}

static bool linger(struct refusals *r, int fd_consume)
{
        struct lingering *l;

        if (!r->timer && loop_add_timer(r->loop, &r->timer, on_timer, r) < 0)
                return false;
        if (r->n == REFUSAL_LINGER_MAX) {
                end(get(r, 0));
                forget_ended(r);
        }

        l = get(r, r->n);
        *l = (struct lingering){ .refusals = r,
                .fd = fd_consume,
                .until = usec_add(usec_now(), LINGER_USEC),
                .n_reads = READS_MAX };
        if (loop_add_io(r->loop, &l->source, l->fd, on_input, l, PRIORITY_TIMER) < 0) {
                l->fd = -1;
                return false;
        }

        if (r->n++ == 0)
                set_timer(r);
        return true;
}

static void reply(struct refusals *r, int fd_consume, const char *text)
{
        _cleanup_(fd_closep) int fd = fd_consume;
        bool more = discard(fd);

        (void)send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        if (more && linger(r, fd))
                (void)TAKE_FD(fd);
}

/* --- */

void refusals_init(struct refusals *r, struct pool *pool, struct loop *loop)
{
        *r = (struct refusals){ .pool = pool, .loop = loop };
}

void refusals_deinit(struct refusals *r)
{
        for (uint32_t i = 0; i < r->n; i++)
                end(get(r, i));
        r->timer = sd_event_source_disable_unref(r->timer);
}

void refusals_add(struct refusals *r, struct slot *slot, int fd_consume,
        const struct source *source, enum refusal reason)
{
        char *const *file = r->pool->settings->overload_reply;
        usec_t now = slot->accepted_at;

        pool_refused(r->pool, slot, reason);
        if (file && file[1])
                reply(r, fd_consume, file[1]);
        else
                listener_reset(fd_consume);
        tell(r->pool, source, reason, now);
}
