/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A message for each connection that ends. The pool calls it while the slot is still in use; it
 * changes nothing.
 */

#include <inttypes.h>

#include "dispatcher/connection-log.h"
#include "os/journal.h"

static const char *name_outcome(enum outcome outcome)
{
        if (outcome >= OUTCOME_REFUSED)
                return "refused";

        if (outcome == OUTCOME_FAILED)
                return "failed";
        return outcome == OUTCOME_DONE ? "done" : "lost";
}

static const char *name_reason(enum outcome outcome)
{
        return outcome >= OUTCOME_REFUSED ? refusal_name(outcome - OUTCOME_REFUSED)
                                          : "on its way to one";
}

/* All of it, not only what is counted together. */
static void format_source(const struct slot *slot, char text[static SOURCE_FORMAT_SIZE])
{
        struct source source = slot_get_source(slot);

        text[0] = '\0';
        if (source.kind != SOURCE_UNKNOWN)
                (void)source_format_short(&source, SOURCE_WHOLE, text);
}

static void log_without_worker(
        const struct slot *slot, const char *listener, enum outcome outcome, uint64_t duration)
{
        const char *result = name_outcome(outcome), *reason = name_reason(outcome);
        char source[SOURCE_FORMAT_SIZE];

        format_source(slot, source);
        journal_event(MESSAGE_CONNECTION_ENDED,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_CONNECTION", slot->id),
                        JOURNAL_TEXT("ACCEPTD_LISTENER", listener),
                        JOURNAL_TEXT("ACCEPTD_RESULT", result),
                        JOURNAL_TEXT("ACCEPTD_REASON", reason),
                        JOURNAL_NUMBER("ACCEPTD_DURATION_USEC", duration),
                        JOURNAL_TEXT(*source ? "ACCEPTD_SOURCE" : NULL, source)),
                "Connection %" PRIu64 " of %s: %s (%s) after %" PRIu64 " us, without a worker.",
                slot->id, listener, result, reason, duration);
}

/* The slot may be from a dispatcher before this one. */
static const char *name_listener(const struct connection_log *log, uint16_t listener)
{
        const struct ledger_header *h = log->ledger->header;

        return listener < h->n_names ? h->names[listener] : "";
}

static void on_ended(void *userdata, const struct slot *slot, enum outcome outcome)
{
        const struct connection_log *log = userdata;
        usec_t now = usec_now();
        uint64_t duration = now - MIN(now, slot->accepted_at);
        const char *result = name_outcome(outcome), *listener = name_listener(log, slot->listener);
        char source[SOURCE_FORMAT_SIZE];
        uint32_t waited = TAKE(log->waiting->last, 0U);
        const struct worker_row *row;

        if (slot->worker == SLOT_NO_WORKER) {
                log_without_worker(slot, listener, outcome, duration);
                return;
        }
        format_source(slot, source);
        row = log->pool->workers[slot->worker].record;
        journal_event(MESSAGE_CONNECTION_ENDED,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_CONNECTION", slot->id),
                        JOURNAL_TEXT("ACCEPTD_LISTENER", listener),
                        JOURNAL_NUMBER("ACCEPTD_WORKER", row->number),
                        JOURNAL_NUMBER("ACCEPTD_WORKER_PID", row->pid),
                        JOURNAL_NUMBER("ACCEPTD_GENERATION", row->generation),
                        JOURNAL_NUMBER("ACCEPTD_ATTEMPT", slot->attempt),
                        JOURNAL_TEXT("ACCEPTD_RESULT", result),
                        JOURNAL_NUMBER("ACCEPTD_DURATION_USEC", duration),
                        JOURNAL_NUMBER("ACCEPTD_WAITED_USEC", waited),
                        JOURNAL_TEXT(*source ? "ACCEPTD_SOURCE" : NULL, source)),
                "Connection %" PRIu64 " of %s: %s after %" PRIu64 " us with worker %" PRIu64
                " (PID %" PRIi32 ").",
                slot->id, listener, result, duration, row->number, row->pid);
}

void connection_log_set(struct connection_log *log)
{
        log->pool->userdata = log;
        log->pool->ended = log->pool->settings->log_connections ? on_ended : NULL;
}
