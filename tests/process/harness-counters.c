/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The counters of a dispatcher under test, as it writes them on SIGUSR1.
 */

#include <inttypes.h>
#include <poll.h>
#include <signal.h>

#include "harness.h"

static uint64_t parse_counter(const char *line, const char *key)
{
        char pattern[32];
        const char *at;

        (void)snprintf(pattern, sizeof(pattern), " %s=", key);
        at = strstr(line, pattern);
        if (!at)
                fail_msg("no %s in \"%s\"", key, line);

        return strtoull(at + strlen(pattern), NULL, 10);
}

struct counters harness_counters(struct harness *h)
{
        size_t cursor = h->log.cursor;
        struct counters c;
        const char *line;

        (void)harness_wait(h, -1, 0);
        h->log.cursor = h->log.size;
        assert_int_equal(kill(h->pid, SIGUSR1), 0);
        line = harness_await_line(h, "counters: ");
        h->log.cursor = cursor; /* what came in between is still to be found */

        line = strstr(line, "counters: ") + strlen("counters:");
        c = (struct counters){
                .accepted = parse_counter(line, "accepted"),
                .open = parse_counter(line, "open"),
                .done = parse_counter(line, "done"),
                /* a dispatcher of an earlier version has none */
                .failed = strstr(line, " failed=") ? parse_counter(line, "failed") : 0,
                .lost = parse_counter(line, "lost"),
                .lost_idle = strstr(line, " lost-idle=") ? parse_counter(line, "lost-idle") : 0,
                .refused = parse_counter(line, "refused"),
                .taken_back = parse_counter(line, "taken-back"),
        };
        if (c.accepted != c.open + c.done + c.failed + c.lost + c.refused)
                fail_msg("accepted = open + done + failed + lost + refused does not hold:%s", line);

        return c;
}

struct counters harness_await_counter_at(
        struct harness *h, const char *name, size_t offset, uint64_t value)
{
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);

        for (int pause = 1;; pause = MIN(2 * pause, 100)) {
                struct counters c = harness_counters(h);
                uint64_t now;

                memcpy(&now, (const char *)&c + offset, sizeof(now));
                if (now == value)
                        return c;
                if (usec_now() >= deadline)
                        fail_msg("counter %s is %" PRIu64 ", not %" PRIu64, name, now, value);
                (void)poll(NULL, 0, pause);
        }
}
