/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/worker.h"

/*
 * Messages about one worker, each with the fields that say which.
 */

void worker_log_ready(const struct worker *w);

/* It is killed, because of `what` or `why`. */
void worker_log_violated(const struct worker *w, const char *what);
void worker_log_unreachable(const struct worker *w, const char *why);

/* So many connections went from its queue to others, or are lost, `idle` of them without anything
 * to be done; nothing is said of 0. `what` continues "connections that worker 3". */
void worker_log_taken(const struct worker *w, uint32_t taken);
void worker_log_lost(
        const struct worker *w, uint64_t lost, uint64_t idle, const char *what, const char *why);

/* It is about to be drained; nothing is said where all are, at a stop or a reload. */
void worker_log_drain(const struct worker *w, enum pool_drain reason);

/* It took too long, and gets SIGTERM, SIGABRT or SIGKILL. */
void worker_log_terminated(const struct worker *w);
void worker_log_hung(const struct worker *w, usec_t hung);
void worker_log_killed(const struct worker *w);

/* Writes how it ended, in words; its state was `before`. */
#define WORKER_END_MAX (PROCESS_END_MAX + 32)
void worker_format_end(const struct process_end *end, enum worker_state before, char *text);

/* It ended as `words` say, with `had` connections; its state was `before`. */
void worker_log_end(const struct worker *w, const struct process_end *end, const char *words,
        enum worker_state before, uint32_t had);

/* Writes why it is a failed start, with room for WORKER_TROUBLE_MAX; it ended as `words` say. */
void worker_format_trouble(const struct worker *w, const char *words, char *text);

/* It was executed, never said READY, and is none of the bundled workers: perhaps it does not speak
 * the protocol. */
bool worker_is_silent(const struct worker *w);
