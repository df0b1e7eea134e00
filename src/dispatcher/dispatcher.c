/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Carries out what the pool decides, and takes each connection its way: accept, choose, note, send,
 * close. Called by start.c; what workers do comes in through worker.c.
 */

#include <inttypes.h>
#include <stdarg.h>

#include "base/stop-point.h"
#include "dispatcher/dispatcher.h"
#include "os/journal.h"

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

static void touch(struct dispatcher *d)
{
        d->health.is_exhausted = d->exhausted;
        health_touch(&d->health);
}

static int on_listener(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_,
        void *userdata)
{
        struct listener *l = userdata;
        struct dispatcher *d = l->userdata;
        int r;

        for (int i = 0; i < ACCEPT_BURST && pool_may_accept(&d->pool); i++) {
                if (accept_one(d, l) == ACCEPT_EMPTY)
                        break;
        }

        touch(d);
        r = loop_go_to_the_end(&d->loop, l->source);
        if (r < 0)
                return log_error_errno(r, "Cannot change the event loop: %m");

        return dispatcher_carry_out(d);
}

static void take_back(struct dispatcher *d, struct worker *w)
{
        uint32_t i = d->pool.n_in_hand;
        struct slot *slot;
        bool dropped;
        uint64_t id;
        int fd, r;

        pool_taking(&d->pool, w->row, true);
        r = channel_take_back(&w->channel, &id, &fd, &dropped);
        if (r == 0)
                STOP_POINT("taken-back");
        else
                pool_taking(&d->pool, w->row, false);
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

static void trial_ends(struct dispatcher *d, const char *trouble)
{
        if (d->pool.state->trial)
                d->on_trial_end(d->userdata, trouble);
}

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

static void start_failed(struct dispatcher *d, bool on_trial, const char *trouble)
{
        if (on_trial)
                trial_ends(d, trouble);
        else
                health_failing(&d->health, trouble);
}

static void start_worker(struct dispatcher *d, struct worker *w)
{
        char trouble[HEALTH_TROUBLE_MAX];
        int r = worker_start(w);

        if (r < 0) {
                pool_spawn_failed(&d->pool, usec_now());
                (void)snprintf(trouble, sizeof(trouble), "cannot start %s: %s",
                        d->context.process.argv[0], strerror(-r));
                start_failed(d, d->pool.state->trial, trouble);
        }
}

static int do_action(struct dispatcher *d, const struct pool_action *action)
{
        struct worker *w = &d->workers[action->worker];

        switch (action->type) {
        case POOL_SPAWN:
                /* When one could not be started, the rest of the list is not tried either. */
                if (pool_may_spawn(&d->pool, usec_now()))
                        start_worker(d, w);
                return 0;
        case POOL_DRAIN:
                worker_drain(w);
                return 0;
        case POOL_RETIRE:
                worker_retire(w);
                return 0;
        case POOL_RECYCLE:
                worker_recycle(w);
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
        case POOL_ASK_LIST:
                return worker_ask(w, QUESTION_LIST);
        case POOL_ASK_PING:
                return worker_ask(w, QUESTION_PING);
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

int dispatcher_carry_out(struct dispatcher *d)
{
        struct pool_decision decision = { .wake_at = USEC_INFINITY };
        int r;

        if (!d->pool.dirty)
                return 0;

        for (int i = 0; i < DECIDE_BURST && d->pool.dirty; i++) {
                pool_decide(&d->pool, usec_now(), &decision);
                for (size_t k = 0; k < decision.n_actions; k++) {
                        r = do_action(d, &decision.actions[k]);
                        if (r < 0)
                                return r;
                }
        }

        log_refused(d);
        if (!backoff_is_failing(&d->pool.backoff))
                health_recovered(&d->health);
        touch(d);
        if (decision.finished)
                return sd_event_exit(d->loop.event, 0);

        return set_timer(d, d->pool.dirty ? 0 : decision.wake_at);
}

static int on_worker_channel(sd_event_source *source _unused_, int fd _unused_,
        uint32_t revents _unused_, void *userdata)
{
        struct worker *w = userdata;
        struct dispatcher *d = w->context->userdata;
        int r;

        r = worker_hear(w);
        if (r < 0)
                return r;
        if (r > 0) {
                health_ready(&d->health);
                if (pool_is_on_trial(&d->pool, w->row))
                        trial_ends(d, NULL);
        }

        return dispatcher_carry_out(d);
}

static int on_worker_exit(sd_event_source *source _unused_, int fd _unused_,
        uint32_t revents _unused_, void *userdata)
{
        struct worker *w = userdata;
        struct dispatcher *d = w->context->userdata;
        bool on_trial = pool_is_on_trial(&d->pool, w->row);
        char trouble[WORKER_TROUBLE_MAX];

        if (worker_end(w, d->health.trouble, trouble))
                start_failed(d, on_trial, trouble);

        return dispatcher_carry_out(d);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct dispatcher *d = userdata;

        d->pool.dirty = true;
        return dispatcher_carry_out(d);
}

/* --- Putting it together --- */

static int add_listeners(struct dispatcher *d)
{
        for (size_t i = 0; i < d->n_listeners; i++) {
                struct listener *l = &d->listeners[i];
                int r;

                r = ledger_add_name(&d->ledger, l->name);
                if (r < 0)
                        return r;
                l->index = (uint16_t)r;
                l->userdata = d;

                r = loop_add_io(&d->loop, &l->source, l->fd, on_listener, l, PRIORITY_LISTENER);
                if (r < 0)
                        return r;
                r = sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int set_up_loop(struct dispatcher *d)
{
        int r;

        r = loop_init(&d->loop, d->n_listeners > 1);
        if (r < 0)
                return r;
        r = loop_add_timer(&d->loop, &d->timer, on_timer, d);
        if (r < 0)
                return r;
        r = health_set_up(&d->health, &d->loop);
        if (r < 0)
                return r;

        return add_listeners(d);
}

static int set_up_workers(struct dispatcher *d, char **argv, const char *instance)
{
        _cleanup_(freep) char *names = ledger_join_names(&d->ledger);
        int r;

        if (!names)
                return -ENOMEM;
        r = process_template_init(&d->context.process, argv, instance, names);
        if (r < 0)
                return r;

        d->workers = calloc(d->pool.n_rows, sizeof(*d->workers));
        if (!d->workers)
                return -ENOMEM;
        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                worker_init(&d->workers[i], &d->context, i);

        return 0;
}

void dispatcher_init(struct dispatcher *d, const struct settings *settings,
        const struct settings *old, struct listener *listeners, size_t n_listeners)
{
        uint32_t rows = pool_rows_needed(settings), old_rows = old ? pool_rows_needed(old) : 0;

        *d = (struct dispatcher){
                .settings = settings,
                .rows_needed = MAX(rows, old_rows),
                .listeners = listeners,
                .n_listeners = n_listeners,
                .ledger = LEDGER_NULL,
                .connection_log = { .pool = &d->pool, .ledger = &d->ledger },
                .context = { .pool = &d->pool,
                        .loop = &d->loop,
                        .on_channel = on_worker_channel,
                        .on_exit = on_worker_exit,
                        .userdata = d },
                .health.pool = &d->pool,
        };
}

int dispatcher_set_up(struct dispatcher *d, char **argv, const char *instance)
{
        int r;

        connection_log_set(&d->connection_log);
        r = set_up_loop(d);
        if (r < 0)
                return r;

        return set_up_workers(d, argv, instance);
}

void dispatcher_deinit(struct dispatcher *d)
{
        for (uint32_t i = 0; d->workers && i < d->pool.n_rows; i++)
                worker_deinit(&d->workers[i]);
        free(TAKE_PTR(d->workers));
        for (size_t i = 0; i < d->n_listeners; i++)
                d->listeners[i].source = sd_event_source_disable_unref(d->listeners[i].source);
        d->timer = sd_event_source_disable_unref(d->timer);
        health_deinit(&d->health);
        loop_deinit(&d->loop);
        for (uint32_t i = 0; i < d->pool.n_in_hand; i++)
                fd_close(d->hand[i].fd);
        pool_deinit(&d->pool);
        process_template_done(&d->context.process);
        ledger_done(&d->ledger);
}

/* --- Serving --- */

int dispatcher_run(struct dispatcher *d)
{
        struct pool_figures figures;
        int r;

        pool_get_figures(&d->pool, &figures);
        if (figures.workers > 0) /* adopted; not before the control socket is there, too */
                health_ready(&d->health);
        r = dispatcher_carry_out(d);
        if (r >= 0)
                r = sd_event_loop(d->loop.event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");

        return 0;
}

int dispatcher_stop(struct dispatcher *d)
{
        journal_event(MESSAGE_STOPPING,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_OPEN", d->pool.slots.n_used)),
                "Stopping, with %" PRIu32 " open connections.", d->pool.slots.n_used);
        trial_ends(d, "the instance is stopping");
        pool_stop(&d->pool, usec_now());
        health_stopping(&d->health);
        return dispatcher_carry_out(d);
}
