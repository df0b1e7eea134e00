/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the journal says of one worker. It must not change anything, nor know why something happens.
 */

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#include "dispatcher/worker-log.h"
#include "os/journal.h"
#include "os/oom.h"

/* The fields of a message about a worker. */
#define ABOUT(w)                                                                                   \
        JOURNAL_NUMBER("ACCEPTD_WORKER", (w)->number),                                             \
                JOURNAL_NUMBER("ACCEPTD_WORKER_PID", (w)->pid),                                    \
                JOURNAL_NUMBER("ACCEPTD_GENERATION", row_of(w)->generation)

static const struct worker_row *row_of(const struct worker *w)
{
        return w->context->pool->workers[w->row].record;
}

void worker_log_ready(const struct worker *w)
{
        uint32_t capacity = row_of(w)->capacity;

        if (!w->context->pool->settings->accept) {
                journal_event(MESSAGE_WORKER_READY, JOURNAL_FIELDS(ABOUT(w)),
                        "Worker %" PRIu64 " (PID %d) is ready.", w->number, w->pid);
                return;
        }

        journal_event(MESSAGE_WORKER_READY,
                JOURNAL_FIELDS(ABOUT(w), JOURNAL_NUMBER("ACCEPTD_CAPACITY", capacity)),
                "Worker %" PRIu64 " (PID %d) is ready for %" PRIu32 " connection%s.", w->number,
                w->pid, capacity, capacity == 1 ? "" : "s");
}

void worker_log_violated(const struct worker *w, const char *what)
{
        journal_event(MESSAGE_WORKER_VIOLATED,
                JOURNAL_FIELDS(ABOUT(w), JOURNAL_TEXT("ACCEPTD_REASON", what)),
                "Worker %" PRIu64 " (PID %d) broke the protocol: %s. It is killed.", w->number,
                w->pid, what);
}

void worker_log_unreachable(const struct worker *w, const char *why)
{
        journal_event(MESSAGE_WORKER_UNREACHABLE,
                JOURNAL_FIELDS(ABOUT(w), JOURNAL_TEXT("ACCEPTD_REASON", why)),
                "Worker %" PRIu64 " (PID %d) cannot be reached: %s. It is killed.", w->number,
                w->pid, why);
}

void worker_log_taken(const struct worker *w, uint32_t taken)
{
        if (taken > 0)
                journal_event(MESSAGE_QUEUE_TAKEN,
                        JOURNAL_FIELDS(ABOUT(w), JOURNAL_NUMBER("ACCEPTD_COUNT", taken)),
                        "%" PRIu32 " connection%s that worker %" PRIu64
                        " (PID %d) did not receive in time went to others.",
                        taken, taken == 1 ? "" : "s", w->number, w->pid);
}

void worker_log_lost(
        const struct worker *w, uint64_t lost, uint64_t idle, const char *what, const char *why)
{
        char of_these[48] = "";

        if (lost == 0)
                return;
        if (idle > 0)
                (void)snprintf(of_these, sizeof(of_these), " (%" PRIu64 " of them idle)", idle);
        journal_event(MESSAGE_CONNECTIONS_LOST,
                JOURNAL_FIELDS(ABOUT(w), JOURNAL_NUMBER("ACCEPTD_COUNT", lost),
                        JOURNAL_NUMBER("ACCEPTD_IDLE", idle), JOURNAL_TEXT("ACCEPTD_REASON", why)),
                "%" PRIu64 " connection%s that worker %" PRIu64 " %s %s lost%s.", lost,
                lost == 1 ? "" : "s", w->number, what, lost == 1 ? "is" : "are", of_these);
}

/* In words, and with the key of acceptd.conf(5). */
static void format_recycling(const struct worker *w, usec_t now, char *text, size_t size)
{
        const struct pool *pool = w->context->pool;
        uint64_t handed_over = row_of(w)->handed_over;
        usec_t lived = now - row_of(w)->started_at;
        usec_t unit = lived < 10 * USEC_PER_SEC ? USEC_PER_MSEC : USEC_PER_SEC;
        char age[USEC_FORMAT_SIZE];

        switch (pool_why_recycle(pool, w->row, now)) {
        case RECYCLE_SIZE:
                (void)snprintf(text, size, "it grew to %" PRIu64 "M (RecycleMemory=)",
                        pool->workers[w->row].size >> 20);
                return;
        case RECYCLE_AGE:
                (void)snprintf(
                        text, size, "%s (RecycleSec=)", usec_format(lived / unit * unit, age));
                return;
        case RECYCLE_CONNECTIONS:
        case RECYCLE_NONE:
        default:
                (void)snprintf(text, size, "%" PRIu64 " connection%s", handed_over,
                        handed_over == 1 ? "" : "s");
        }
}

static void log_recycled(const struct worker *w)
{
        const struct pool *pool = w->context->pool;
        char why[96];

        format_recycling(w, usec_now(), why, sizeof(why));
        journal_event(MESSAGE_WORKER_RECYCLED,
                JOURNAL_FIELDS(ABOUT(w),
                        JOURNAL_NUMBER("ACCEPTD_HANDED_OVER", row_of(w)->handed_over),
                        JOURNAL_NUMBER("ACCEPTD_MEMORY", pool->workers[w->row].size),
                        JOURNAL_TEXT("ACCEPTD_REASON", why)),
                "Worker %" PRIu64 " (PID %d) is recycled after %s.", w->number, w->pid, why);
}

void worker_log_drain(const struct worker *w, enum pool_drain reason)
{
        if (reason == POOL_DRAIN_RETIRE)
                journal_event(MESSAGE_WORKER_RETIRED, JOURNAL_FIELDS(ABOUT(w)),
                        "Worker %" PRIu64
                        " (PID %d) retires: it was idle, and is not needed any more.",
                        w->number, w->pid);
        else if (reason == POOL_DRAIN_RECYCLE)
                log_recycled(w);
}

void worker_log_terminated(const struct worker *w)
{
        journal_event(MESSAGE_WORKER_TERMINATED, JOURNAL_FIELDS(ABOUT(w)),
                "Worker %" PRIu64 " (PID %d) %s in time. It gets SIGTERM.", w->number, w->pid,
                row_of(w)->state == WORKER_STARTING ? "did not become ready"
                                                    : "did not finish its connections");
}

void worker_log_hung(const struct worker *w, usec_t hung)
{
        char time[USEC_FORMAT_SIZE];

        journal_event(MESSAGE_WORKER_HUNG,
                JOURNAL_FIELDS(ABOUT(w), JOURNAL_NUMBER("ACCEPTD_HUNG_USEC", hung)),
                "Worker %" PRIu64 " (PID %d) hangs: no answer for %s. It gets SIGABRT.", w->number,
                w->pid, usec_format(hung / USEC_PER_MSEC * USEC_PER_MSEC, time));
}

void worker_log_killed(const struct worker *w)
{
        journal_event(MESSAGE_WORKER_KILLED, JOURNAL_FIELDS(ABOUT(w)),
                "Worker %" PRIu64 " (PID %d) did not end in time. It gets SIGKILL.", w->number,
                w->pid);
}

void worker_log_end(const struct worker *w, const struct process_end *end, const char *words,
        enum worker_state before, uint32_t had)
{
        bool clean = end->code == CLD_EXITED && end->status == 0;
        char with[48] = "";

        if (had > 0)
                (void)snprintf(with, sizeof(with), ", with %" PRIu32 " connection%s", had,
                        had == 1 ? "" : "s");

        /* Expected is what was asked for, or what the protocol allows. */
        journal_event(had == 0 && (before > WORKER_READY || (clean && before == WORKER_READY))
                              ? MESSAGE_WORKER_ENDED
                              : MESSAGE_WORKER_DIED,
                JOURNAL_FIELDS(ABOUT(w), JOURNAL_NUMBER("ACCEPTD_COUNT", had),
                        JOURNAL_TEXT("ACCEPTD_END", words),
                        JOURNAL_NUMBER("ACCEPTD_END_CODE", end->code),
                        JOURNAL_NUMBER("ACCEPTD_END_STATUS", end->status)),
                "Worker %" PRIu64 " (PID %d) %s%s%s.", w->number, w->pid, words,
                before == WORKER_STARTING ? " before it was ready" : "", with);
}

void worker_format_end(const struct process_end *end, enum worker_state before, char *text)
{
        process_end_format(end, text);
        if (end->code == CLD_KILLED && end->status == SIGKILL && before != WORKER_KILLED &&
                oom_has_killed())
                (void)snprintf(
                        text + strlen(text), WORKER_END_MAX - strlen(text), " (out of memory)");
}

void worker_format_trouble(const struct worker *w, const char *words, char *text)
{
        (void)snprintf(text, WORKER_TROUBLE_MAX, "%s %s%s%s",
                pool_is_on_trial(w->context->pool, w->row) ? "a new worker" : "the last one", words,
                w->fault ? ": " : " before it had served", w->fault ?: "");
}

bool worker_is_silent(const struct worker *w)
{
        const char *path = w->context->process.argv[0], *slash = strrchr(path, '/');

        return w->start_error == 0 && row_of(w)->capacity == 0 &&
               !startswith(slash ? slash + 1 : path, "acceptd-");
}
