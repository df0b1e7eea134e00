/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workers: starting them, hearing what they say, seeing them end. What should happen to a worker is
 * the pool's to decide; what follows from what it did is for the callbacks of its context. So it
 * must not know of the dispatcher.
 */

#include <inttypes.h>
#include <signal.h>

#include "base/stop-point.h"
#include "base/words.h"
#include "dispatcher/finished.h"
#include "dispatcher/worker-log.h"
#include "os/journal.h"
#include "os/store.h"

static_assert(POOL_BATCH_MAX == RECORD_BATCH_MAX, "a batch is one datagram");
static_assert((int)POOL_DRAIN_STOP == RECORD_DRAIN_STOP &&
                      (int)POOL_DRAIN_RELOAD == RECORD_DRAIN_RELOAD &&
                      (int)POOL_DRAIN_RECYCLE == RECORD_DRAIN_RECYCLE &&
                      (int)POOL_DRAIN_RETIRE == RECORD_DRAIN_RETIRE,
        "reasons go on the wire as they are");

static struct pool *pool_of(struct worker *w)
{
        return w->context->pool;
}

static const struct worker_row *row_of(struct worker *w)
{
        return pool_of(w)->workers[w->row].record;
}

static enum worker_state state_of(struct worker *w)
{
        return row_of(w)->state;
}

void worker_init(struct worker *w, struct worker_context *context, uint32_t row)
{
        *w = (struct worker){
                .context = context,
                .row = row,
                .pidfd = -1,
                .channel = CHANNEL_NULL,
        };
}

void worker_deinit(struct worker *w)
{
        w->channel_source = sd_event_source_disable_unref(w->channel_source);
        w->exit_source = sd_event_source_disable_unref(w->exit_source);
        w->ticket = 0;
        channel_close(&w->channel);
        w->pidfd = fd_close(w->pidfd);
}

void worker_bury(struct worker *w)
{
        uint32_t lost = pool_emptied(pool_of(w), w->row);
        uint32_t idle = finished_count_idle(&w->channel, lost);

        if (w->has_old_names)
                store_forget_old_worker(w->number);
        else
                store_forget_worker(w->row);
        worker_deinit(w);
        pool_lost_were_idle(pool_of(w), idle);
        worker_log_lost(
                w, lost, idle, "had received and not finished", "the worker died with them");
}

/* --- Its queue --- */

void worker_queue_empty(struct worker *w)
{
        if (state_of(w) == WORKER_DEAD)
                worker_bury(w);
        else
                worker_log_taken(w, pool_queue_done(pool_of(w), w->row));
}

void worker_sample(struct worker *w)
{
        struct pool *pool = pool_of(w);
        bool take = pool->workers[w->row].taking_back;

        worker_log_taken(
                w, pool_sampled(pool, w->row, channel_count_queued(&w->channel), usec_now()));
        if (!take && pool->workers[w->row].taking_back)
                channel_reclaim(&w->channel);
}

/* One start after another that fails alike is told once, until workers start again. `why` stays
 * valid, and is compared with what was told. */
static bool is_news(struct worker *w, const char **told, const char *why)
{
        const char *before = *told;

        if (row_of(w)->capacity > 0 || pool_is_on_trial(pool_of(w), w->row))
                return true;

        *told = why;
        return !before || !streq(before, why) || !backoff_is_failing(&pool_of(w)->backoff);
}

/* --- What it says --- */

void worker_violates(struct worker *w, const char *what)
{
        if (is_news(w, &w->context->told, what))
                worker_log_violated(w, what);
        w->fault = what;
        worker_kill(w);
}

int worker_cannot_talk(struct worker *w, int error)
{
        if (channel_is_broken(error))
                return log_error_errno(
                        error, "The channel of worker %" PRIu64 " cannot be used: %m", w->number);

        worker_log_unreachable(w, strerror(-error));
        worker_kill(w);
        return 0;
}

static const char *hear_ready(struct worker *w, const struct record *record)
{
        uint32_t features = (uint32_t)record->id;

        if (features != record->id) /* this version has no such bits */
                return "READY names features that were not offered";

        switch (pool_ready(pool_of(w), w->row, record->value, features, usec_now())) {
        case 0:
                return NULL;
        case POOL_READY_FLOOD:
                return "more than 10 READY in a second";
        case POOL_READY_FOR_NOTHING:
                return "the first READY with capacity 0 (allowed: 1 or more)";
        case POOL_BAD_FEATURES:
        default:
                return "READY names features that were not offered, or others than the first one";
        }
}

/* Returns what is wrong with the record, or NULL. */
static const char *hear_record(struct worker *w, const struct record *record)
{
        bool was_starting = state_of(w) == WORKER_STARTING;
        uint64_t lost = pool_of(w)->counters->lost;
        const char *why;
        int r;

        switch ((enum record_type)record->type) {
        case RECORD_DONE:
                STOP_POINT("heard");
                waiting_add(&w->context->waiting, record->value);
                if (pool_done(pool_of(w), w->row, record->id) != 0)
                        return "DONE for a connection that it does not have";
                return NULL;

        case RECORD_FAILED:
                if (!(row_of(w)->features & RECORD_FEATURE_FAILED))
                        return "FAILED, a feature that it did not take";
                if (pool_failed(pool_of(w), w->row, record->id) != 0)
                        return "FAILED for a connection that it does not have";
                return NULL;

        case RECORD_READY:
                why = hear_ready(w, record);
                if (!why && was_starting) {
                        worker_log_ready(w);
                        finished_share(pool_of(w), w->row, &w->channel);
                }
                return why;

        case RECORD_PONG:
                if (pool_pong(pool_of(w), w->row, record->value, usec_now()) != 0)
                        return "PONG for a question that was not asked";
                /* An adopted worker has told what it holds, and the rest is settled: a crash came
                 * between noting and sending, or between receiving from its queue and noting. */
                worker_log_lost(w, pool_of(w)->counters->lost - lost, 0,
                        "had not got when the last dispatcher died",
                        "the dispatcher died with them");
                return NULL;

        case RECORD_HELD:
                r = pool_held(pool_of(w), w->row, record->id);
                if (r == POOL_NOT_ASKED)
                        return "HELD for a question that was not asked";
                return r == 0 ? NULL : "HELD for a connection that it does not have";

        case RECORD_NOT_STARTED:
                if (!was_starting || w->start_error != 0)
                        return "NOT_STARTED after it was ready, or twice";
                w->start_error = (int)record->value;
                return NULL;

        case RECORD_CONNECTION:
        case RECORD_PING:
        case RECORD_LIST:
        case RECORD_DRAIN:
        case RECORD_FINISHED:
        default:
                return "a record that goes the other way";
        }
}

/* One that leaves may shut its end down before it exits, as some runtimes do with each socket that
 * they close. What it holds and said nothing of is lost when it ends, as with any other death. */
static bool may_hang_up(struct worker *w)
{
        return state_of(w) > WORKER_READY;
}

/* Nothing that it says counts any more, and it may be saying a lot. */
static void stop_hearing(struct worker *w)
{
        w->ticket = 0;
        (void)sd_event_source_set_enabled(w->channel_source, SD_EVENT_OFF);
}

/* Whoever takes over after a crash finds its three descriptors, before it has a connection: it gets
 * none before it is ready, and is not ready before it is heard. */
static void store(struct worker *w)
{
        w->ticket = store_worker(w->row, w->pidfd, w->channel.fd, w->channel.queue_fd);
        if (w->ticket != 0)
                (void)sd_event_source_set_enabled(w->channel_source, SD_EVENT_OFF);
}

void worker_look_at_store(struct worker *w)
{
        if (w->ticket == 0 || !store_is_done_with(w->ticket))
                return;

        w->ticket = 0;
        (void)sd_event_source_set_enabled(w->channel_source, SD_EVENT_ON);
}

int worker_hear(struct worker *w)
{
        struct wire_batch *batch = &w->context->batch;
        bool was_starting = state_of(w) == WORKER_STARTING;
        /* After a crash, a worker that is on its way out cannot be asked to LIST what it has, and
         * one that pauses says only once that it goes on: what they say stays in their channels
         * until it is noted. A DONE that is heard again then changes nothing: its connection has
         * ended. */
        bool peek = state_of(w) > WORKER_READY || pool_is_paused(pool_of(w), w->row);
        const char *why = NULL;
        int r;

        r = peek ? wire_peek_batch(w->channel.fd, batch) : wire_receive_batch(w->channel.fd, batch);
        if (r < 0)
                return worker_cannot_talk(w, r);

        for (size_t i = 0; i < batch->n_records && !why; i++)
                why = hear_record(w, &batch->records[i]);
        if (r == WIRE_MALFORMED && !why)
                why = batch->why;
        if (r == WIRE_END && may_hang_up(w))
                stop_hearing(w);
        else if (r == WIRE_END)
                why = "an empty datagram, or its end of the channel is shut down";
        if (peek && r != WIRE_EMPTY)
                wire_drop_batch(w->channel.fd);
        if (why)
                worker_violates(w, why);

        return was_starting && state_of(w) == WORKER_READY ? 1 : 0;
}

/* --- Its end --- */

/* Returns how many connections it has received and not finished: what is queued goes to others
 * unharmed. */
static uint32_t count_received(struct worker *w)
{
        uint32_t open = pool_of(w)->workers[w->row].open;
        uint32_t queued = pool_count_waiting(pool_of(w), w->row, channel_count_queued(&w->channel));

        return open - MIN(open, queued);
}

static struct process_template choose_program(const struct worker_context *c, bool on_trial)
{
        struct process_template program = c->process;

        if (on_trial) {
                program.argv = c->trial_argv;
                program.leave_batch = c->trial_leaves_batch;
        }

        return program;
}

/* Its program could not be executed. Then the trouble says it all. */
static bool was_not_started(struct worker *w, enum worker_state before)
{
        return before == WORKER_STARTING && w->start_error != 0;
}

void worker_format_not_started(
        const struct worker_context *context, bool on_trial, int error, char *text)
{
        (void)snprintf(text, WORKER_TROUBLE_MAX, "cannot start %s: %s",
                choose_program(context, on_trial).argv[0], strerror(error));
        words_flatten(text);
}

bool worker_end(struct worker *w, const char *told, char *ret_trouble)
{
        struct process_end end = process_reap(w->pid, w->pidfd);
        enum worker_state before = state_of(w);
        char words[WORKER_END_MAX];
        uint32_t had;
        bool failed, was_starting;

        w->exit_source = sd_event_source_disable_unref(w->exit_source);
        /* Its last words were heard before: they have the higher priority. */
        w->channel_source = sd_event_source_disable_unref(w->channel_source);
        w->ticket = 0;

        worker_format_end(&end, before, words);
        worker_log_taken(w, pool_of(w)->workers[w->row].taken);
        if (was_not_started(w, before))
                worker_format_not_started(w->context, pool_is_on_trial(pool_of(w), w->row),
                        w->start_error, ret_trouble);
        else
                worker_format_trouble(w, words, ret_trouble);
        finished_hear(pool_of(w), w->row, &w->channel);
        had = count_received(w);
        failed = pool_exited(pool_of(w), w->row, usec_now());
        was_starting = before == WORKER_STARTING || row_of(w)->capacity == 0;
        if (!was_not_started(w, before) && (!failed || !was_starting || !streq(ret_trouble, told)))
                worker_log_end(w, &end, words, before, had);
        if (pool_count_waiting(pool_of(w), w->row, channel_count_queued(&w->channel)) == 0)
                worker_bury(w);
        else
                channel_reclaim(&w->channel);

        return failed;
}

/* --- What is done to it --- */

static int watch(struct worker *w)
{
        struct worker_context *c = w->context;
        int r;

        r = loop_add_io(
                c->loop, &w->channel_source, w->channel.fd, c->on_channel, w, PRIORITY_CHANNEL);
        if (r < 0)
                return r;

        return loop_add_io(c->loop, &w->exit_source, w->pidfd, c->on_exit, w, PRIORITY_EXIT);
}

int worker_start(struct worker *w, bool on_trial)
{
        struct process_template program = choose_program(w->context, on_trial);
        struct pool *pool = pool_of(w);
        int r;

        w->number = pool_next_number(pool);
        w->start_error = 0;
        w->fault = NULL;
        w->has_old_names = false;
        r = channel_open(&w->channel);
        if (r < 0)
                return r;

        r = process_spawn(&program, w->number, w->channel.queue_fd, &w->pid, &w->pidfd);
        if (r < 0) {
                worker_deinit(w);
                return r;
        }

        r = watch(w);
        if (r < 0) {
                process_signal(w->pidfd, SIGKILL);
                (void)process_reap(w->pid, w->pidfd);
                worker_deinit(w);
                return r;
        }

        STOP_POINT("spawned");
        pool_spawned(pool, w->row, w->pid, on_trial, usec_now());
        store(w);
        return 0;
}

int worker_adopt(struct worker *w, struct channel *channel_consume, int pidfd_consume)
{
        w->channel = TAKE(*channel_consume, CHANNEL_NULL);
        w->pidfd = pidfd_consume;
        w->number = row_of(w)->number;
        w->pid = row_of(w)->pid;
        if (state_of(w) == WORKER_DEAD)
                return 0;
        if (state_of(w) == WORKER_READY)
                finished_share(pool_of(w), w->row, &w->channel);

        return watch(w);
}

int worker_ask(struct worker *w, enum pool_question question)
{
        struct pool *pool = pool_of(w);
        uint32_t value;
        int r;

        /* The same decision may have drained it before: its channel takes nothing more. */
        if (state_of(w) != WORKER_READY)
                return 0;

        value = pool_next_question(pool);
        r = channel_ask(&w->channel, question == QUESTION_LIST ? RECORD_LIST : RECORD_PING, value);
        if (r == 0)
                pool_asked(pool, w->row, question, value, usec_now());
        else if (r == WIRE_FULL)
                pool_not_asked(pool, w->row, usec_now());
        else if (r == WIRE_GONE)
                worker_violates(w, "its end of the channel is shut down");
        else
                return worker_cannot_talk(w, r);

        return 0;
}

/* Returns true where the worker was told; else it sees the end of file alone. */
static bool tell_drain(struct worker *w, enum pool_drain reason, usec_t now)
{
        usec_t deadline = pool_get_drain_deadline(pool_of(w), now);

        if (!(row_of(w)->features & RECORD_FEATURE_DRAIN))
                return false;

        return channel_tell_drain(&w->channel, (enum record_drain)reason,
                       deadline == USEC_INFINITY ? 0 : deadline) == 0;
}

void worker_drain(struct worker *w, enum pool_drain reason)
{
        usec_t now = usec_now();
        bool told;

        worker_log_drain(w, reason);
        told = tell_drain(w, reason, now);
        /* In this order: after a crash, whoever takes over repeats the last step if this one was
         * taken, else all of them. */
        pool_drained(pool_of(w), w->row, told, now);
        STOP_POINT("drained");
        channel_shutdown(&w->channel);
}

void worker_terminate(struct worker *w)
{
        if (row_of(w)->deadline <= usec_now()) {
                if (state_of(w) != WORKER_STARTING || is_news(w, &w->context->told, "late"))
                        worker_log_terminated(w);
                if (state_of(w) == WORKER_STARTING)
                        w->fault = "not ready within TimeoutStartSec=";
        }
        process_signal(w->pidfd, SIGTERM);
        pool_terminated(pool_of(w), w->row, usec_now());
}

void worker_abort(struct worker *w)
{
        usec_t now = usec_now();

        /* The same decision may have drained it before, or killed it for a broken channel. */
        if (state_of(w) != WORKER_READY)
                return;

        worker_log_hung(w, now - pool_of(w)->workers[w->row].asked_at);
        process_signal(w->pidfd, SIGABRT);
        channel_reclaim(&w->channel);
        pool_aborted(pool_of(w), w->row, now);
}

void worker_kill(struct worker *w)
{
        enum worker_state state = state_of(w);

        if ((state == WORKER_TERMINATING || state == WORKER_ABORTED) &&
                row_of(w)->deadline <= usec_now() && is_news(w, &w->context->told_end, "late"))
                worker_log_killed(w);
        stop_hearing(w);
        process_signal(w->pidfd, SIGKILL);
        channel_reclaim(&w->channel);
        pool_killed(pool_of(w), w->row, usec_now());
}
