/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The figures of the load generator: how many connections ended how, and how long they took. Called
 * by load.c and load-connection.c.
 */

#include <arpa/inet.h>
#include <inttypes.h>
#include <time.h>

#include "load.h"

static const char *const outcome_names[OUTCOMES] = { "ok", "refused", "eof", "reset", "timeout",
        "wrong", "error" };
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

void load_note_clock(const struct load *l)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_REALTIME, &t);
        fprintf(l->failures, "clock %" PRIu64 " %" PRIu64 "\n", usec_now(),
                (uint64_t)((usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000));
}

void load_note_failure(const struct load *l, const struct connection *c, enum outcome outcome)
{
        char address[INET_ADDRSTRLEN] = "";

        (void)inet_ntop(AF_INET, &c->here.sin_addr, address, sizeof(address));
        fprintf(l->failures, "%s %s %s:%u %" PRIu64 " %" PRIu64 "\n",
                c->kind == KIND_SHORT ? "short" : "held", outcome_names[outcome], address,
                ntohs(c->here.sin_port), c->opened, l->now);
}

void load_count_latency(struct load *l, usec_t latency)
{
        l->latencies[bucket_of(latency)]++;
        l->max_latency = MAX(l->max_latency, latency);
        l->n_slow += latency > l->slow;
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
void load_report_progress(struct load *l)
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
uint64_t load_print_result(const struct load *l)
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
