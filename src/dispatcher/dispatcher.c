/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The dispatcher: one event loop in which nothing waits.
 *
 * Something happens: a listener has a connection, a worker has said something, a time has come. Its
 * callback first does the one thing that the event is about, and tells the pool. Whatever this
 * changes in what ought to be done sets pool.dirty.
 *
 * Each callback then ends with dispatcher_carry_out(), and so does the start. That asks
 * pool_decide() what is to be done now, and does it, action by action: start a worker, drain one,
 * take a connection back. Deeds change the pool again, so it asks again until there
 * is nothing left (or DECIDE_BURST times, and goes on in the next turn of the loop). The pool
 * decides from its state only. So an action that could not be carried out needs no memory here: it
 * is simply decided again. At last the timer is set to when the next decision is due by itself, and
 * the listeners go into the loop or out of it.
 *
 * While connections come and go nothing is dirty, and none of this runs but that last step.
 *
 * Events end here, also those of workers: worker.c and hand.c return what happened, and what
 * follows from it is written down in one place. What a reload is comes in as on_trial_end.
 *
 * An error that only this program can have caused ends the loop with -errno. The service manager
 * starts the next dispatcher, which takes over all workers and connections from the ledger.
 */

#include <inttypes.h>

#include "dispatcher/dispatcher.h"
#include "dispatcher/lending.h"
#include "dispatcher/weighing.h"
#include "dispatcher/worker-log.h"
#include "os/journal.h"
#include "os/notify.h"
#include "os/store.h"
#include "policy/pool-deeds.h"

/* Connections that one listener may bring in before the loop looks at everything else again. */
#define ACCEPT_BURST 16

/* Decisions in a row, before the loop looks at everything else again. */
#define DECIDE_BURST 64

static_assert(WORKER_TROUBLE_MAX == HEALTH_TROUBLE_MAX, "what worker.c says, health.c keeps");

/* --- Decisions and deeds --- */

static void touch(struct dispatcher *d)
{
        d->health.is_exhausted = hand_is_scarce(d->hand.exhausted);
        d->health.is_forbidden = d->hand.exhausted != 0 && !d->health.is_exhausted;
        health_touch(&d->health);
        crowd_touch(&d->crowd);
}

static void trial_ends(struct dispatcher *d, const char *trouble)
{
        if (d->pool.state->trial)
                d->on_trial_end(d->userdata, trouble);
}

static void start_failed(struct dispatcher *d, bool on_trial, const char *trouble, bool is_silent)
{
        char text[HEALTH_TROUBLE_MAX + sizeof(HEALTH_HINT)];

        (void)snprintf(text, sizeof(text), "%s%s", trouble, is_silent ? HEALTH_HINT : "");
        if (on_trial)
                trial_ends(d, text);
        else
                health_failing(&d->health, trouble, is_silent);
}

/* When one could not be started, the rest of the decision is not tried either. */
static void do_spawn(void *userdata, uint32_t row, bool on_trial)
{
        struct dispatcher *d = userdata;
        char trouble[WORKER_TROUBLE_MAX];
        int r;

        if (on_trial ? d->pool.state->trial == 0 : !pool_may_spawn(&d->pool, usec_now()))
                return;

        r = worker_start(&d->workers[row], on_trial);
        if (r < 0) {
                if (!on_trial)
                        pool_spawn_failed(&d->pool, usec_now());
                worker_format_not_started(&d->context, on_trial, -r, trouble);
                start_failed(d, on_trial, trouble, false);
        }
}

static void do_drain(void *userdata, uint32_t row, enum pool_drain reason)
{
        struct dispatcher *d = userdata;

        worker_drain(&d->workers[row], reason);
}

static void do_pass(void *userdata, uint32_t row _unused_)
{
        trial_ends(userdata, NULL);
}

static void do_terminate(void *userdata, uint32_t row)
{
        struct dispatcher *d = userdata;

        worker_terminate(&d->workers[row]);
}

static void do_abort(void *userdata, uint32_t row)
{
        struct dispatcher *d = userdata;

        worker_abort(&d->workers[row]);
}

static void do_kill(void *userdata, uint32_t row)
{
        struct dispatcher *d = userdata;

        worker_kill(&d->workers[row]);
}

static int do_take_back(void *userdata, uint32_t row)
{
        struct dispatcher *d = userdata;

        return hand_take_back(&d->hand, &d->workers[row]);
}

static int do_ask(void *userdata, uint32_t row, enum pool_question question)
{
        struct dispatcher *d = userdata;

        return worker_ask(&d->workers[row], question);
}

static void do_sample(void *userdata)
{
        struct dispatcher *d = userdata;

        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                if (pool_is_in_doubt(&d->pool, i))
                        worker_sample(&d->workers[i]);
        pool_sampling_done(&d->pool);
}

static void do_weigh(void *userdata)
{
        struct dispatcher *d = userdata;

        weighing_do(&d->pool);
}

static int do_hand_over(void *userdata)
{
        struct dispatcher *d = userdata;

        return hand_try_all(&d->hand);
}

static void do_refuse(void *userdata)
{
        struct dispatcher *d = userdata;

        hand_refuse(&d->hand);
}

static void do_rest(void *userdata)
{
        struct dispatcher *d = userdata;

        rest_begin(&d->rest);
}

static const struct pool_deeds deeds = {
        .spawn = do_spawn,
        .drain = do_drain,
        .pass = do_pass,
        .terminate = do_terminate,
        .abort = do_abort,
        .kill = do_kill,
        .take_back = do_take_back,
        .ask = do_ask,
        .sample = do_sample,
        .weigh = do_weigh,
        .hand_over = do_hand_over,
        .refuse = do_refuse,
        .rest = do_rest,
};

/* Has the listeners in the loop while the pool may accept. In a full pool this changes with each
 * connection, so it is no decision, which would look at all workers. */
static int listen_if_possible(struct dispatcher *d)
{
        bool on = pool_may_accept(&d->pool) || d->pool.rests || (d->pool.stopping && d->closes);

        if (d->listening == on)
                return 0;

        touch(d);
        for (size_t i = 0; i < d->n_listeners; i++) {
                int r = sd_event_source_set_enabled(
                        d->listeners[i].source, on ? SD_EVENT_ON : SD_EVENT_OFF);

                if (r < 0)
                        return log_error_errno(r, "Cannot change the event loop: %m");
        }

        d->listening = on;
        return 0;
}

static int set_timer(struct dispatcher *d, usec_t at)
{
        int r = loop_set_timer(d->timer, at);

        return r < 0 ? log_error_errno(r, "Cannot set a timer: %m") : 0;
}

/* Decides, and carries out, until nothing is left to decide. */
static int decide(struct dispatcher *d)
{
        struct pool_decision decision = { .wake_at = USEC_INFINITY };
        int r;

        for (int i = 0; i < DECIDE_BURST && d->pool.dirty; i++) {
                pool_decide(&d->pool, usec_now(), &decision);
                r = pool_carry_out(&decision, &deeds, d);
                if (r < 0)
                        return r;
        }

        if (!d->settings->accept)
                lending_note(d->pool.state, d->listeners, d->n_listeners);
        hand_log_refused(&d->hand);
        if (!backoff_is_failing(&d->pool.backoff))
                health_recovered(&d->health);
        touch(d);
        if (decision.finished && (d->pool.stopping || rest_end(&d->rest)))
                return sd_event_exit(d->loop.event, 0);

        return set_timer(d, d->pool.dirty ? 0 : decision.wake_at);
}

int dispatcher_carry_out(struct dispatcher *d)
{
        int r = d->pool.dirty ? decide(d) : 0;
        return r < 0 ? r : listen_if_possible(d);
}

void dispatcher_wake(struct dispatcher *d)
{
        (void)set_timer(d, 0);
}

/* --- What happens --- */

static int on_listener(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_,
        void *userdata)
{
        struct listener *l = userdata;
        struct dispatcher *d = l->userdata;
        int r;

        if (d->pool.rests)
                pool_rouse(&d->pool);
        if (d->pool.stopping)
                d->closes = hand_turn_away(&d->hand, l, ACCEPT_BURST) != ACCEPT_EXHAUSTED;
        r = hand_accept_some(&d->hand, l, ACCEPT_BURST);
        if (r < 0)
                return r;

        touch(d);
        r = loop_go_to_the_end(&d->loop, l->source);
        if (r < 0)
                return log_error_errno(r, "Cannot change the event loop: %m");

        return dispatcher_carry_out(d);
}

/* Of a listener that is lent, where there is nothing else to wait for. */
static int on_hang_up(
        sd_event_source *source, int fd _unused_, uint32_t revents _unused_, void *userdata)
{
        struct listener *l = userdata;
        struct dispatcher *d = l->userdata;

        return lending_mend(l, &d->pool) ? 0 : sd_event_source_set_enabled(source, SD_EVENT_OFF);
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
                if (d->settings->accept && pool_is_on_trial(&d->pool, w->row))
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
        bool is_silent = worker_is_silent(w);
        char trouble[WORKER_TROUBLE_MAX];

        if (worker_end(w, d->health.trouble, trouble))
                start_failed(d, on_trial, trouble, is_silent);

        return dispatcher_carry_out(d);
}

/* The service manager has taken some of what it was to be told. */
static void on_notified(void *userdata)
{
        struct dispatcher *d = userdata;

        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                worker_look_at_store(&d->workers[i]);
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

                r = loop_add_io(&d->loop, &l->source, l->fd,
                        d->settings->accept ? on_listener : on_hang_up, l, PRIORITY_LISTENER);
                if (r < 0)
                        return r;
                r = d->settings->accept ? sd_event_source_set_enabled(l->source, SD_EVENT_OFF)
                                        : sd_event_source_set_io_events(l->source, 0);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int set_up_loop(struct dispatcher *d)
{
        int r;

        r = loop_init(&d->loop, d->n_listeners > 1);
        if (r >= 0)
                r = loop_add_timer(&d->loop, &d->timer, on_timer, d);
        if (r >= 0)
                r = crowd_set_up(&d->crowd, &d->loop);
        if (r >= 0)
                r = health_set_up(&d->health, &d->loop);

        return r < 0 ? r : add_listeners(d);
}

static int set_up_workers(struct dispatcher *d, char **argv, const char *instance)
{
        _cleanup_(freep) char *names = ledger_join_names(&d->ledger);
        int r;

        if (!names)
                return -ENOMEM;
        r = process_template_init(&d->context.process, argv, instance, names, RECORD_FEATURES);
        if (r < 0)
                return r;
        d->pool.offers = RECORD_FEATURES;
        if (store_get_size() > STORE_OWN)
                d->pool.rows_max = (uint32_t)((store_get_size() - STORE_OWN) / STORE_PER_WORKER);
        d->context.process.leave_batch = d->settings->scheduling_policy == SCHEDULING_OTHER;

        if (!d->settings->accept) {
                r = lending_set_up(&d->context.process, d->listeners, d->n_listeners);
                if (r < 0)
                        return r;
        }

        d->workers = calloc(d->pool.n_rows, sizeof(*d->workers));
        if (!d->workers)
                return -ENOMEM;
        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                worker_init(&d->workers[i], &d->context, i);
        hand_init(&d->hand, &d->pool, d->workers, &d->loop);

        return notify_watch(&d->loop, on_notified, d);
}

void dispatcher_init(struct dispatcher *d, const struct settings *settings,
        const struct settings *old, struct listener *listeners, size_t n_listeners)
{
        uint32_t rows = pool_rows_needed(settings), old_rows = old ? pool_rows_needed(old) : 0;

        *d = (struct dispatcher){
                .settings = settings,
                .rows_needed = MAX(rows, old_rows),
                .slots_needed = MAX(settings->max_connections, old ? old->max_connections : 0U),
                .listeners = listeners,
                .n_listeners = n_listeners,
                .ledger = LEDGER_NULL,
                .connection_log = { &d->pool, &d->ledger, &d->context.waiting },
                .context = { .pool = &d->pool,
                        .loop = &d->loop,
                        .on_channel = on_worker_channel,
                        .on_exit = on_worker_exit,
                        .userdata = d },
                .health.pool = &d->pool,
                .crowd = { .pool = &d->pool, .listeners = listeners, .n_listeners = n_listeners },
                .rest = { .pool = &d->pool,
                        .health = &d->health,
                        .listeners = listeners,
                        .n_listeners = n_listeners },
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
        notify_unwatch(); /* it was lent descriptors */
        for (uint32_t i = 0; d->workers && i < d->pool.n_rows; i++)
                worker_deinit(&d->workers[i]);
        free(TAKE_PTR(d->workers));
        for (size_t i = 0; i < d->n_listeners; i++)
                d->listeners[i].source = sd_event_source_disable_unref(d->listeners[i].source);
        d->timer = sd_event_source_disable_unref(d->timer);
        crowd_deinit(&d->crowd);
        health_deinit(&d->health);
        hand_deinit(&d->hand);
        loop_deinit(&d->loop);
        pool_deinit(&d->pool);
        process_template_done(&d->context.process);
        ledger_done(&d->ledger);
}

/* --- Serving --- */

int dispatcher_run(struct dispatcher *d)
{
        int r;

        if (pool_was_ready(&d->pool)) /* not before the control socket is there, too */
                health_ready(&d->health);
        r = dispatcher_carry_out(d);
        if (r >= 0)
                r = sd_event_loop(d->loop.event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");

        hand_log_turned_away(&d->hand);
        return 0;
}

int dispatcher_stop(struct dispatcher *d)
{
        health_log_stopping(&d->pool);
        trial_ends(d, "the instance is stopping");
        pool_stop(&d->pool, usec_now());
        health_stopping(&d->health);
        return dispatcher_carry_out(d);
}
