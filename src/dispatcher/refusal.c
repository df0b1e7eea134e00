/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Refusing a connection: closing it, counting it, telling of it. Whether one is refused is decided
 * elsewhere.
 */

#include <inttypes.h>

#include "dispatcher/refusal.h"
#include "os/journal.h"
#include "os/listener.h"

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

void refusal_carry_out(struct pool *pool, struct slot *slot, int fd_consume,
        const struct source *source, enum refusal reason)
{
        usec_t now = slot->accepted_at;

        pool_refused(pool, slot, reason);
        listener_reset(fd_consume);
        tell(pool, source, reason, now);
}
