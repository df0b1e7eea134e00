/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Carries out what the pool decides, and takes each connection its way: accept, choose, note, send,
 * close. Called by start.c; what workers do comes in through worker.c.
 */

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>

#include "base/stop-point.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/health.h"
#include "os/journal.h"
#include "os/notify.h"
#include "takeover/reload.h"

/* Connections that one listener may bring in before the loop looks at everything else again. */
#define ACCEPT_BURST 16

/* Decisions in a row, before the loop looks at everything else again. */
#define DECIDE_BURST 64

/* How long to wait when there was no descriptor or no memory for a connection. */
#define EXHAUSTED_USEC (100 * USEC_PER_MSEC)

/* --- The way of a connection --- */

/* Closes the copy here. At once: while it is open, the client does not see the worker's close(). */
static void drop_from_hand(struct dispatcher *d, uint32_t i)
{
        fd_close(d->hand[i].fd);
        memmove(&d->hand[i], &d->hand[i + 1], (POOL_HAND_MAX - 1 - i) * sizeof(d->hand[0]));
}

/* Returns true where it was sent; else nobody has credit, and it stays in hand. */
static bool send_from_hand(struct dispatcher *d, uint32_t i)
{
        struct slot *slot = d->hand[i].slot;
        int64_t row;

        while ((row = pool_choose(&d->pool)) >= 0) {
                struct worker *w = &d->workers[row];
                int r;

                pool_assign(&d->pool, slot, (uint32_t)row);
                STOP_POINT("reserved");
                r = channel_send_connection(&w->channel, slot->id, slot->listener,
                        (uint32_t)slot->accepted_at, d->hand[i].fd);
                if (r == 0) {
                        STOP_POINT("sent");
                        pool_sent(&d->pool, slot);
                        drop_from_hand(d, i);
                        return true;
                }

                pool_not_sent(&d->pool, slot, usec_now());
                /* Whatever a worker did to its channel is its own end, and not this program's. */
                if (r < 0)
                        worker_violates(w, strerror(-r));
                else if (r == WIRE_GONE)
                        worker_violates(
                                w, "its end of the channel is shut down, or takes no descriptors");
        }

        return false;
}

static void hand_over(struct dispatcher *d)
{
        for (uint32_t i = 0; i < d->pool.n_in_hand;)
                if (!send_from_hand(d, i))
                        i++;
}

static void pause_for_descriptors(struct dispatcher *d, int error)
{
        if (!d->exhausted) {
                errno = error;
                journal_event(MESSAGE_EXHAUSTED,
                        JOURNAL_FIELDS(
                                JOURNAL_TEXT("ACCEPTD_REASON", strerrorname_np(error) ?: "")),
                        "New connections wait: %m. LimitNOFILE= may be too low.");
        }
        d->exhausted = true;
        pool_pause(&d->pool, usec_add(usec_now(), EXHAUSTED_USEC));
}

/* Returns 0, or enum accept_result. */
static int accept_one(struct dispatcher *d, struct listener *l)
{
        int r = listener_accept(l, &d->hand[0].fd);

        if (r == ACCEPT_EXHAUSTED)
                pause_for_descriptors(d, errno);
        else
                d->exhausted = false;
        if (r != 0)
                return r;

        STOP_POINT("accepted");
        d->hand[0].slot = pool_accepted(&d->pool, l->index, usec_now());
        STOP_POINT("in-hand");
        hand_over(d);
        return 0;
}

/* The listener that was served longest ago goes first. sd-event alone is fair only while they stay
 * in the loop, and when credits come one by one they do not. */
static int go_to_the_end(struct dispatcher *d, struct listener *l)
{
        int r;

        if (d->n_listeners == 1)
                return 0;

        r = sd_event_source_set_priority(l->source, PRIORITY_LISTENER + ++d->listener_turn);
        if (r < 0)
                return log_error_errno(r, "Cannot change the event loop: %m");

        return 0;
}

int dispatcher_on_listener(sd_event_source *source _unused_, int fd _unused_,
        uint32_t revents _unused_, void *userdata)
{
        struct listener *l = userdata;
        struct dispatcher *d = l->userdata;
        int r;

        for (int i = 0; i < ACCEPT_BURST && pool_may_accept(&d->pool); i++) {
                if (accept_one(d, l) == ACCEPT_EMPTY)
                        break;
        }

        health_touch(d);
        r = go_to_the_end(d, l);
        return r < 0 ? r : dispatcher_settle(d);
}

static void take_back(struct dispatcher *d, struct worker *w)
{
        uint32_t i = d->pool.n_in_hand;
        struct slot *slot;
        bool dropped;
        uint64_t id;
        int fd, r;

        pool_set_in_transit(&d->pool, w->row, true);
        r = channel_take_back(&w->channel, &id, &fd, &dropped);
        if (r == 0)
                STOP_POINT("taken-back");
        else
                pool_set_in_transit(&d->pool, w->row, false);
        if (dropped)
                pool_question_dropped(&d->pool, w->row);
        if (r == WIRE_EMPTY) {
                worker_queue_empty(w);
                return;
        }
        if (r < 0) {
                pause_for_descriptors(d, -r);
                return;
        }

        d->exhausted = false;
        slot = pool_take_back(&d->pool, w->row, id);
        if (channel_count_queued(&w->channel) == 0)
                worker_queue_empty(w);
        if (!slot) { /* the worker said DONE for it without having received it */
                fd_close(fd);
                return;
        }

        d->hand[i].fd = fd;
        d->hand[i].slot = slot;
        hand_over(d);
}

static void sample(struct dispatcher *d)
{
        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                if (pool_is_in_doubt(&d->pool, i))
                        worker_sample(&d->workers[i]);
        pool_sampling_done(&d->pool);
}

/* --- Decisions and deeds --- */

static void refuse(struct dispatcher *d)
{
        while (d->pool.n_in_hand > 0) {
                pool_refused(&d->pool, d->hand[0].slot,
                        d->pool.stopping ? REFUSED_STOPPING : REFUSED_STRANDED);
                drop_from_hand(d, 0);
                d->n_refused++;
        }
}

/* They go through the hand two by two, and are told together. */
static void log_refused(struct dispatcher *d)
{
        uint32_t n = TAKE(d->n_refused, 0U);
        const char *why = d->pool.stopping ? "no worker was left when the instance stopped"
                                           : "workers died so fast that no other could take them";

        if (n > 0)
                journal_event(MESSAGE_CONNECTIONS_REFUSED,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", n),
                                JOURNAL_TEXT("ACCEPTD_REASON", why)),
                        "%" PRIu32 " connection%s closed unserved: %s.", n,
                        n == 1 ? " was" : "s were", why);
}

static int listen_on_off(struct dispatcher *d, bool on)
{
        if (d->listening == on)
                return 0;

        for (size_t i = 0; i < d->n_listeners; i++) {
                int r = sd_event_source_set_enabled(
                        d->listeners[i].source, on ? SD_EVENT_ON : SD_EVENT_OFF);

                if (r < 0)
                        return log_error_errno(r, "Cannot change the event loop: %m");
        }

        d->listening = on;
        return 0;
}

static void start_worker(struct dispatcher *d, struct worker *w)
{
        int r = worker_start(w);

        if (r < 0) {
                pool_spawn_failed(&d->pool, usec_now());
                errno = -r;
                dispatcher_start_failed(
                        d, d->pool.state->trial, "cannot start %s: %m", d->process.argv[0]);
        }
}

static int carry_out(struct dispatcher *d, const struct pool_action *action)
{
        struct worker *w = &d->workers[action->row];

        switch (action->type) {
        case POOL_SPAWN:
                /* When one could not be started, the rest of the list is not tried either. */
                if (pool_may_spawn(&d->pool, usec_now()))
                        start_worker(d, w);
                return 0;
        case POOL_DRAIN:
                if (action->drain == POOL_DRAIN_RETIRE)
                        worker_retire(w);
                else if (action->drain == POOL_DRAIN_RECYCLE)
                        worker_recycle(w);
                else
                        worker_drain(w);
                return 0;
        case POOL_TERMINATE:
                worker_terminate(w);
                return 0;
        case POOL_ABORT:
                worker_abort(w);
                return 0;
        case POOL_KILL:
                worker_kill(w);
                return 0;
        case POOL_TAKE_BACK:
                take_back(d, w);
                return 0;
        case POOL_ASK:
                worker_ask(w, action->question);
                return 0;
        case POOL_SAMPLE:
                sample(d);
                return 0;
        case POOL_HAND_OVER:
                hand_over(d);
                return 0;
        case POOL_REFUSE:
                refuse(d);
                return 0;
        case POOL_LISTEN_ON:
        case POOL_LISTEN_OFF:
        default:
                return listen_on_off(d, action->type == POOL_LISTEN_ON);
        }
}

static int set_timer(struct dispatcher *d, usec_t at)
{
        int r;

        r = sd_event_source_set_time(d->timer, at);
        if (r < 0)
                return log_error_errno(r, "Cannot set a timer: %m");
        r = sd_event_source_set_enabled(
                d->timer, at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        if (r < 0)
                return log_error_errno(r, "Cannot set a timer: %m");

        return 0;
}

int dispatcher_settle(struct dispatcher *d)
{
        struct pool_decision decision = { .wake_at = USEC_INFINITY };
        int r;

        if (!d->pool.dirty)
                return 0;

        for (int i = 0; i < DECIDE_BURST && d->pool.dirty; i++) {
                pool_decide(&d->pool, usec_now(), &decision);
                for (size_t k = 0; k < decision.n_actions; k++) {
                        r = carry_out(d, &decision.actions[k]);
                        if (r < 0)
                                return r;
                }
        }

        log_refused(d);
        if (d->trouble[0] && !backoff_is_failing(&d->pool.backoff)) {
                d->trouble[0] = '\0';
                journal_event(MESSAGE_POOL_RECOVERED,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", d->n_failed)),
                        "Workers start and serve again, after %" PRIu64 " failed start%s.",
                        d->n_failed, d->n_failed == 1 ? "" : "s");
                d->n_failed = 0;
        }
        health_touch(d);
        if (decision.finished)
                return sd_event_exit(d->event, 0);

        return set_timer(d, d->pool.dirty ? 0 : decision.wake_at);
}

int dispatcher_on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct dispatcher *d = userdata;

        d->pool.dirty = true;
        return dispatcher_settle(d);
}

int dispatcher_on_signal(
        sd_event_source *source _unused_, const struct signalfd_siginfo *info, void *userdata)
{
        struct dispatcher *d = userdata;

        if (info->ssi_signo == SIGUSR1) {
                health_log_counters(d, MESSAGE_COUNTERS);
                return 0;
        }
        /* In a terminal it says that the terminal is gone. */
        if (info->ssi_signo == SIGHUP && d->reload && notify_is_service()) {
                reload_run(NULL, d->reload);
                return 0;
        }

        journal_event(MESSAGE_STOPPING,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_OPEN", d->pool.slots.n_used)),
                "Stopping, with %" PRIu32 " open connections.", d->pool.slots.n_used);
        reload_gate(d->reload, "the instance is stopping");
        pool_stop(&d->pool, usec_now());
        health_stopping(d);
        return dispatcher_settle(d);
}

/* --- What worker.c reports --- */

void dispatcher_start_failed(struct dispatcher *d, bool on_trial, const char *format, ...)
{
        char trouble[sizeof(d->trouble)];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(trouble, sizeof(trouble), format, args);
        va_end(args);

        if (on_trial) {
                reload_gate(d->reload, trouble);
                return;
        }

        if (!streq(trouble, d->trouble))
                journal_event(MESSAGE_POOL_DEGRADED,
                        JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", trouble)),
                        "Workers fail: %s. The next start waits, longer each time, up to "
                        "RestartMaxDelaySec=.",
                        trouble);
        memcpy(d->trouble, trouble, sizeof(trouble));
        d->n_failed++;
        health_ready(d);
}
