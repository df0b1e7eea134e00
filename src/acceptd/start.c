/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Begins to serve, and ties together what must not know of each other: dispatcher, adoption,
 * reload, control, signals. What happens then is dispatcher.c's.
 */

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "acceptd/command.h"
#include "acceptd/orphans.h"
#include "acceptd/start.h"
#include "control/control-methods.h"
#include "dispatcher/dispatcher.h"
#include "os/journal.h"
#include "os/notify.h"
#include "os/oom.h"
#include "os/store.h"
#include "takeover/adoption.h"
#include "takeover/kept-listeners.h"
#include "takeover/kept-settings.h"
#include "takeover/leftovers.h"

/* Descriptors of the dispatcher besides listeners and workers: standard ones, loop, journal, the
 * connection in hand, and some air. */
#define FDS_OWN 32

#define FDS_PER_WORKER 3 /* channel, queue, pidfd */

/* For what the service manager has not taken, before this program ends. */
#define LAST_WORDS_USEC USEC_PER_SEC

static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGWINCH };

int start_refuse(const char *message, int error)
{
        const char *text = message ?: strerror(-error);
        bool is_scarce = error == -ENOMEM || error == -EMFILE || error == -ENFILE;
        bool is_fault = message && !is_scarce;

        journal_event(is_fault ? MESSAGE_REFUSED_TO_START : MESSAGE_FAILED, NULL,
                is_fault ? "%s" : "Cannot start: %s", text);
        notify_status(text);
        (void)notify_flush(LAST_WORDS_USEC);
        return is_fault ? EX_CONFIG : EXIT_FAILURE;
}

/* Returns the program that confines workers, for the caller to free, or NULL: they serve without.
 */
static char *find_confine(void)
{
        char *path = command_find_bundled("acceptd-confine");

        if (path && access(path, X_OK) == 0)
                return path;

        (void)journal_event_errno(MESSAGE_GOES_ON_WITHOUT, path ? -errno : -ENOMEM,
                "Workers are not confined: %s: %m", path ?: "acceptd-confine");
        free(path);
        return NULL;
}

/* The setting that says how many workers there can be. */
static const char *name_of_most(const struct settings *s)
{
        return s->workers_max > s->workers ? "WorkersMax" : "Workers";
}

/* Makes sure that the descriptors of all workers fit the limit, raised as far as it goes. */
static int check_limit(const struct settings *s, size_t n_listeners, char **ret_message)
{
        uint64_t needed = FDS_OWN + (s->overload_reply ? REFUSAL_LINGER_MAX : 0U) +
                          (s->accept ? 1 : 2) * n_listeners +
                          (uint64_t)FDS_PER_WORKER * pool_rows_needed(s);
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        if (needed <= limit.rlim_cur)
                return 0;

        if (asprintf(ret_message,
                    "%s=%" PRIu32 " need up to %" PRIu64
                    " descriptors, and RLIMIT_NOFILE is %" PRIu64
                    "; raise LimitNOFILE= or lower %s=",
                    name_of_most(s), s->workers_max, needed, (uint64_t)limit.rlim_cur,
                    name_of_most(s)) < 0)
                return -ENOMEM;
        return -ENOSPC;
}

/* Each may come twice: from its socket unit, and from the store. */
static size_t count_bytes(const struct listener *listeners, size_t n)
{
        size_t bytes = 0;

        for (size_t i = 0; i < n; i++)
                bytes += 2 * (strlen(listeners[i].name) + 1) + strlen(STORE_LISTENER);

        return bytes + sizeof(STORE_CONTROL);
}

/* Makes sure that the service manager's descriptor store takes the workers of two generations, and
 * one that is recycled: what does not fit would be killed after a crash of the dispatcher. And all
 * names go through one string of the environment: beyond its limit there is no start at all. */
static int check_store(
        const struct settings *s, const struct listener *listeners, size_t n, char **ret_message)
{
        uint64_t workers = 2 * (uint64_t)s->workers_max + 1;
        uint64_t needed = STORE_OWN + n + STORE_PER_WORKER * workers;
        uint64_t size = store_get_size();
        size_t bytes = store_count_bytes(workers, 2 * (uint64_t)pool_rows_needed(s)) +
                       count_bytes(listeners, n);
        int r = 0;

        if (size == 0)
                return 0;

        if (needed > size)
                r = asprintf(ret_message,
                        "%s=%" PRIu32 " need room for %" PRIu64
                        " descriptors in the descriptor store, and FDSTORE is %" PRIu64
                        "; raise FileDescriptorStoreMax= and Environment=FDSTORE= in the unit, or "
                        "lower %s=",
                        name_of_most(s), s->workers_max, needed, size, name_of_most(s));
        else if (bytes > STORE_BYTES_MAX)
                r = asprintf(ret_message,
                        "%s=%" PRIu32 " and %zu sockets need %zu bytes of names in the descriptor "
                        "store, and the environment takes %zu; lower %s= or write shorter "
                        "FileDescriptorName=",
                        name_of_most(s), s->workers_max, n, bytes, STORE_BYTES_MAX,
                        name_of_most(s));
        if (r < 0)
                return -ENOMEM;

        return r > 0 ? -ENOSPC : 0;
}

/*
 * Makes sure that the workers of the settings have what they need. Where those in force can go on
 * instead, `start` comes back with them, and with what keeps the new ones from being tried: that
 * the program was executed for them must not end the pool.
 */
static int check_room(
        struct start *start, const struct listener *listeners, size_t n, char **ret_message)
{
        int r = check_limit(start->settings, n, ret_message);

        if (r >= 0)
                r = check_store(start->settings, listeners, n, ret_message);
        if (r >= 0)
                r = adoption_check_room(start->settings, ret_message);
        /* To end here after a crash would end all connections that workers still have. */
        if (r < 0 && leftovers_is_after_crash(start->inheritance)) {
                journal_event(MESSAGE_GOES_ON_WITHOUT, NULL,
                        "What the unit allows has shrunk, and the pool goes on as it can: %s",
                        *ret_message ?: strerror(-r));
                free(TAKE_PTR(*ret_message));
                return 0;
        }
        if (r >= 0 || !start->old)
                return r;

        start->trouble = *ret_message ?: strerror(-r);
        start->settings = TAKE_PTR(start->old);
        return 0;
}

/* Whose sockets are non-blocking, who has them in the loop, what a ready worker means: with Accept=
 * all of it changes, and could not be changed back for those who already have the sockets. */
static void check_accept(struct start *start)
{
        if (!start->old || start->old->accept == start->settings->accept)
                return;

        start->trouble = "Accept= cannot be changed by a reload, only by a restart of the service "
                         "(clients wait meanwhile)";
        start->settings = TAKE_PTR(start->old);
}

/* The first signal must not end the program, whenever it comes. */
static void block_signals(void)
{
        sigset_t handled;

        sigemptyset(&handled);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaddset(&handled, signals[i]);
        sigaddset(&handled, SIGCHLD); /* orphans.c */
        (void)sigprocmask(SIG_BLOCK, &handled, NULL);
        (void)signal(SIGXFSZ, SIG_IGN); /* beyond RLIMIT_FSIZE: an error, and no end */
        (void)signal(SIGPIPE, SIG_IGN); /* a reader of stderr that went away */
        (void)signal(SIGCHLD, SIG_DFL); /* ignored, it would make waitid() fail */
}

static void log_listeners(const struct listener *listeners, size_t n)
{
        for (size_t i = 0; i < n; i++)
                journal_event(MESSAGE_STARTED,
                        JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_LISTENER", listeners[i].name),
                                JOURNAL_TEXT("ACCEPTD_ADDRESS", listeners[i].address)),
                        "Listening on %s (%s).", listeners[i].address, listeners[i].name);
}

static int take_caller(struct inheritance *inheritance)
{
        int fd = inheritance_take_numbered(inheritance, STORE_CALLER, 0);

        return fd >= 0 ? fd : inheritance_take_old(inheritance, STORE_CALLER, 0);
}

/* Goes on with a reload, if this is the program that was executed for one. */
static void resume(struct reload *reload, const struct start *start, char **echo_argv)
{
        int caller = take_caller(start->inheritance);
        struct control_call *call = caller >= 0 ? control_resume(reload->control, caller) : NULL;
        char **old_argv = start->old && start->old->command ? start->old->command : echo_argv;

        if (start->inheritance->from_reload)
                reload_resume(reload, call, start->old, old_argv, start->trouble);
}

static int on_signal(
        sd_event_source *source _unused_, const struct signalfd_siginfo *info, void *userdata)
{
        struct reload *reload = userdata;

        if (info->ssi_signo == SIGUSR1) {
                health_log_counters(&reload->dispatcher->pool, MESSAGE_COUNTERS);
                return 0;
        }
        /* From ExecStop= of the unit, before SIGTERM. By default it is ignored, so an earlier
         * version that still runs does not die of it. */
        if (info->ssi_signo == SIGWINCH && notify_is_service()) {
                dispatcher_close(reload->dispatcher);
                return dispatcher_carry_out(reload->dispatcher);
        }
        /* In a terminal it says that the terminal is gone. */
        if (info->ssi_signo == SIGHUP && notify_is_service()) {
                reload_run(NULL, reload);
                return 0;
        }

        kept_listeners_forget(reload->dispatcher->listeners, reload->dispatcher->n_listeners);
        return dispatcher_stop(reload->dispatcher);
}

static int watch_signals(struct loop *loop, struct reload *reload)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = loop_add_signal(loop, signals[i], on_signal, reload);
        if (r < 0)
                return log_error_errno(r, "Cannot watch for signals: %m");

        return 0;
}

static void on_trial_end(void *userdata, const char *trouble)
{
        if (trouble)
                reload_failed(userdata, trouble);
        else
                reload_passed(userdata);
}

/* Puts the dispatcher together, with what one before it left. */
static int set_up(struct dispatcher *d, const struct start *start, char **echo_argv)
{
        int r;

        r = adoption_open_pool(d, start->inheritance);
        /* Then reload.c says so at the gate. Without any worker the first start failed. */
        if (r >= 0 && start->inheritance->from_reload)
                d->health.is_ready = d->pool.state->last_number == 0 || pool_was_ready(&d->pool);
        if (r >= 0)
                r = dispatcher_set_up(d, start->settings->command ?: echo_argv, start->instance);
        if (r >= 0)
                r = adoption_restore(d, start->inheritance);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the dispatcher: %m");

        kept_listeners_store(d->listeners, d->n_listeners);
        kept_listeners_tell(d->listeners, d->n_listeners, start->instance, d->health.sockets,
                sizeof(d->health.sockets));
        return 0;
}

/* A start after this one is a fresh one. */
static void leave(const struct dispatcher *d)
{
        kept_settings_forget(d->pool.state->generation);
        kept_listeners_forget(d->listeners, d->n_listeners);
        adoption_forget_ledger(d);
        journal_flush();
        health_log_counters(&d->pool, MESSAGE_STOPPED);
}

static int run(
        struct dispatcher *d, struct reload *reload, const struct start *start, char **echo_argv)
{
        struct control_context context = {
                .loop = &d->loop,
                .run = control_run,
                .dispatcher = d,
                .instance = start->instance,
                .reload = reload_run,
                .cancel_reload = reload_cancel,
                .userdata = reload,
        };
        struct orphans orphans = {};
        int r;

        d->on_trial_end = on_trial_end;
        d->userdata = reload;
        reload->dispatcher = d;
        reload->image = start->image;
        reload->control =
                control_open(&context, inheritance_take(start->inheritance, STORE_CONTROL));
        control_monitor_begin(reload->control);
        resume(reload, start, echo_argv);

        r = watch_signals(&d->loop, reload);
        if (r >= 0)
                r = orphans_watch(&orphans, &d->loop, reload);
        if (r >= 0)
                r = dispatcher_run(d);
        if (r >= 0)
                leave(d);

        orphans_done(&orphans);
        reload_done(reload);
        control_monitor_end();
        control_close(reload->control);
        return r;
}

int start_serving(struct start *start)
{
        _cleanup_(freep) char *message = NULL;
        _cleanup_(freep) char *echo = command_find_bundled(COMMAND_ECHO), *confine = NULL;
        char *echo_argv[] = { echo, NULL };
        struct reload reload = RELOAD_NULL;
        struct listener *listeners = NULL;
        size_t n = 0;
        struct dispatcher d;
        int r;

        if (!echo)
                return start_refuse(NULL, -ENOMEM);

        block_signals();
        process_set_batch();
        oom_open(NULL);
        check_accept(start);
        r = kept_listeners_collect(start->inheritance, start->listen_pid, start->settings->accept,
                &listeners, &n, &message);
        if (r >= 0)
                r = check_room(start, listeners, n, &message);
        if (r < 0) {
                kept_listeners_free(listeners, n);
                return start_refuse(message, r);
        }

        confine = find_confine();
        dispatcher_init(&d, start->settings, start->old, listeners, n);
        r = set_up(&d, start, echo_argv);
        if (r >= 0) {
                d.context.process.confine = confine;
                if (!start->inheritance->from_reload)
                        log_listeners(listeners, n);
                r = run(&d, &reload, start, echo_argv);
        }
        (void)notify_flush(LAST_WORDS_USEC);
        dispatcher_deinit(&d);

        kept_listeners_free(listeners, n);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
