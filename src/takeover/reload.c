/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reloading: the check, the execution in place, and what follows from how the trial of the new
 * generation ends. It must not know what a trial is made of: that is the pool's.
 */

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/dispatcher.h"
#include "os/journal.h"
#include "os/notify.h"
#include "os/store.h"
#include "settings/settings-change.h"
#include "takeover/kept-listeners.h"
#include "takeover/kept-settings.h"
#include "takeover/reload.h"
#include "varlink/interfaces.h"

/* For reading some small files; on a mount that does not answer it would take forever. With a trial
 * of TimeoutStartSec= after it, it is within the time that systemctl reload waits. */
#define CHECK_USEC (10 * USEC_PER_SEC)

#define CHECK_END_MSEC 1000

/* For what the service manager is still to be told, before the next image takes over, which would
 * not know. One that is busy may take nothing for a while; it is looked again so often. */
#define FLUSH_USEC (2 * USEC_PER_SEC)
#define AGAIN_USEC (20 * USEC_PER_MSEC)

static const char takes_nothing[] = "the service manager takes no messages";

/* Ends the check. That takes no time, unless it sleeps where no signal reaches it; then it is left
 * behind. Nothing is served meanwhile: this is for a stop, or when the event loop fails. */
static void end_check(const struct reload *reload)
{
        struct pollfd pollfd = { .fd = reload->pidfd, .events = POLLIN };

        process_signal(reload->pidfd, SIGKILL);
        (void)poll(&pollfd, 1, CHECK_END_MSEC);
        (void)process_reap(reload->pid, reload->pidfd);
}

void reload_done(struct reload *reload)
{
        reload->source = sd_event_source_disable_unref(reload->source);
        reload->timer = sd_event_source_disable_unref(reload->timer);
        reload->is_late = false;
        reload->flush_until = 0;
        if (reload->pidfd >= 0)
                end_check(reload);
        reload->pidfd = fd_close(reload->pidfd);
        reload->settings_fd = fd_close(reload->settings_fd);
        reload->output_fd = fd_close(reload->output_fd);
}

static void log_failure(const char *reason, bool is_executed)
{
        journal_event(MESSAGE_RELOAD_FAILED, JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", reason)),
                "The reload failed, and nothing changed%s: %s",
                is_executed ? " but acceptd itself, where that was upgraded" : "", reason);
}

/* `is_executed`: the program was; it is not taken back. */
static void fail(struct reload *reload, const char *reason, bool is_executed)
{
        log_failure(reason, is_executed);
        pool_set_stays(&reload->dispatcher->pool, false);
        dispatcher_wake(reload->dispatcher);
        health_reloaded(&reload->dispatcher->health);
        if (reload->call)
                control_fail(TAKE_PTR(reload->call), VARLINK_RELOAD_FAILED,
                        json_pack("{s:o}", "reason", varlink_make_text(reason)));
}

/* --- Execution in place --- */

static int add_of_worker(
        struct inheritance *list, const struct worker *w, int fd, enum store_kind kind)
{
        char name[STORE_NAME_MAX];

        if (!w->has_old_names || fd < 0)
                return inheritance_add_numbered(list, fd, kind, w->row);

        return inheritance_add(list, fd, store_name_old(name, kind, w->number));
}

static int add_worker(struct inheritance *list, const struct worker *w)
{
        int r;

        r = add_of_worker(list, w, w->pidfd, STORE_PIDFD);
        if (r >= 0)
                r = add_of_worker(list, w, w->channel.fd, STORE_CHANNEL);
        if (r >= 0)
                r = add_of_worker(list, w, w->channel.queue_fd, STORE_QUEUE);

        return r;
}

/* Everything that the next image needs, but the caller. */
static int make_list(struct reload *reload, struct inheritance *list, int settings_fd)
{
        struct dispatcher *d = reload->dispatcher;
        int r;

        r = inheritance_add_numbered(list, d->ledger.fd, STORE_LEDGER, d->ledger.number);
        if (r >= 0)
                r = inheritance_add_numbered(
                        list, settings_fd, STORE_SETTINGS, d->pool.state->generation);
        /* Nothing is read again: files may have changed since the check, or take forever. */
        if (r >= 0)
                r = inheritance_add_numbered(list, reload->settings_fd, STORE_CHECKED, 0);
        if (r >= 0 && reload->control)
                r = inheritance_add(list, control_get_fd(reload->control), STORE_CONTROL);
        if (r >= 0)
                r = kept_listeners_add(list, d->listeners, d->n_listeners);
        for (uint32_t i = 0; r >= 0 && i < d->pool.n_rows; i++)
                if (d->pool.workers[i].record->state != WORKER_NONE)
                        r = add_worker(list, &d->workers[i]);
        for (uint32_t i = 0; r >= 0 && i < d->hand.n; i++)
                r = inheritance_add_numbered(
                        list, d->hand.places[i].fd, STORE_IN_HAND, d->hand.places[i].slot->id);

        return r;
}

/* Returns -errno; or not at all. */
static int execute(struct reload *reload)
{
        _cleanup_(fd_closep) int settings_fd = -1, caller_fd = -1, list_fd = -1;
        struct inheritance list = {};
        int r;

        settings_fd = kept_settings_make(reload->dispatcher->settings);
        if (settings_fd < 0)
                return settings_fd;

        r = make_list(reload, &list, settings_fd);
        if (r >= 0 && reload->call) {
                caller_fd = control_take_fd(TAKE_PTR(reload->call));
                if (caller_fd >= 0)
                        r = inheritance_add_numbered(&list, caller_fd, STORE_CALLER, 0);
        }
        if (r >= 0) {
                list_fd = inheritance_pass(&list);
                r = list_fd;
        }
        if (r >= 0) {
                journal_flush();
                (void)execv(reload->image->path, reload->image->argv);
                r = -errno;
        }

        inheritance_keep(&list);
        inheritance_done(&list);
        if (caller_fd >= 0)
                reload->call = control_resume(reload->control, TAKE_FD(caller_fd));
        return r;
}

/* --- The check --- */

/* Reads the first line of what the check printed, less its priority. */
static void read_message(int fd, char *text, size_t size)
{
        ssize_t n = pread(fd, text, size - 1, 0);
        const char *begin = text;

        text[MAX(n, 0)] = '\0';
        text[strcspn(text, "\n")] = '\0';
        if (begin[0] == '<' && begin[1] && begin[2] == '>')
                begin += 3;
        memmove(text, begin, strlen(begin) + 1);
}

/* Returns false where what waits has to be looked at later: the timer is set. */
static bool is_flushed(struct reload *reload)
{
        usec_t now = usec_now();

        if (notify_flush(0) || now >= reload->flush_until)
                return true;

        return sd_event_source_set_time(reload->timer, usec_add(now, AGAIN_USEC)) < 0;
}

/* The check has ended: executes the program, or says why not. */
static int settle(struct reload *reload)
{
        struct process_end end = reload->end;
        char text[1024] = "", words[PROCESS_END_MAX];
        bool takes_over = end.code == CLD_EXITED && end.status == RELOAD_TAKES_OVER;

        if (takes_over && !reload->dispatcher->pool.stopping && !is_flushed(reload))
                return sd_event_source_set_enabled(reload->timer, SD_EVENT_ONESHOT);

        if (reload->dispatcher->pool.stopping) {
                /* asked for meanwhile: the next image would not know */
                (void)snprintf(text, sizeof(text), "the instance is stopping");
        } else if (takes_over && !notify_flush(0)) {
                (void)snprintf(text, sizeof(text), "%s", takes_nothing);
        } else if (takes_over) {
                int r = execute(reload);

                (void)snprintf(text, sizeof(text), "cannot execute %s: %s", reload->image->path,
                        strerror(-r));
        } else if (end.code == CLD_EXITED && end.status == 0) {
                /* an earlier version, which knows nothing of such a question */
                (void)snprintf(text, sizeof(text),
                        "the new program cannot take over the workers of the running one; "
                        "systemctl restart is needed");
        } else {
                read_message(reload->output_fd, text, sizeof(text));
                process_end_format(&end, words);
                if (!text[0])
                        (void)snprintf(
                                text, sizeof(text), "%s --check %s", reload->image->path, words);
        }

        reload_done(reload);
        fail(reload, text, false);
        return 0;
}

static int on_checked(
        sd_event_source *source, int fd _unused_, uint32_t revents _unused_, void *userdata)
{
        struct reload *reload = userdata;

        reload->end = process_reap(reload->pid, reload->pidfd);
        if (reload->is_late) {
                reload_done(reload);
                return 0;
        }

        reload->flush_until = usec_add(usec_now(), FLUSH_USEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return settle(reload);
}

/* Nobody waits for the end of what hangs: it may sleep where no signal reaches it. */
static void leave_check(struct reload *reload, const char *why)
{
        if (reload->flush_until != 0) {
                reload_done(reload);
        } else {
                reload->is_late = true;
                process_signal(reload->pidfd, SIGKILL);
        }
        fail(reload, why, false);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct reload *reload = userdata;

        if (reload->flush_until != 0)
                return settle(reload);

        leave_check(reload, "the check of the settings took longer than 10s");
        return 0;
}

static int start_check(struct reload *reload)
{
        struct dispatcher *d = reload->dispatcher;
        int r;

        reload->settings_fd = memfd_create("acceptd-settings", MFD_CLOEXEC);
        reload->output_fd = memfd_create("acceptd-check", MFD_CLOEXEC);
        if (reload->settings_fd < 0 || reload->output_fd < 0)
                return -errno;
        r = sd_event_add_time_relative(d->loop.event, &reload->timer, CLOCK_MONOTONIC, CHECK_USEC,
                USEC_PER_SEC, on_timer, reload);
        if (r < 0)
                return r;
        r = process_spawn_check(&d->context.process, reload->image->check_argv,
                &(struct process_check_fds){ .out = reload->settings_fd,
                        .err = reload->output_fd,
                        .ledger = d->ledger.fd },
                &reload->pid, &reload->pidfd);
        if (r < 0)
                return r;

        return loop_add_io(
                &d->loop, &reload->source, reload->pidfd, on_checked, reload, PRIORITY_TIMER);
}

/* What the service manager's store has no room for it drops without a word, and after a crash such
 * workers would be killed. start.c sees to two generations; of those before there may be any
 * number, for as long as ReloadDrainTimeoutSec= says. Returns what is wrong, or NULL. */
static const char *check_store(const struct dispatcher *d, const struct settings *settings)
{
        uint64_t size = store_get_size(), workers = settings->workers_max;

        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                workers += d->pool.workers[i].record->state != WORKER_NONE;
        if (size == 0 || STORE_OWN + d->n_listeners + STORE_PER_WORKER * workers <= size)
                return NULL;

        return "workers of earlier generations, which still have connections, fill the descriptor "
               "store; see ReloadDrainTimeoutSec=";
}

static const char *find_obstacle(const struct reload *reload)
{
        const struct dispatcher *d = reload->dispatcher;

        if (d->pool.stopping)
                return "the instance is stopping";
        if (notify_is_stuck(FLUSH_USEC / 2))
                return takes_nothing;
        if (reload->is_late)
                return "the last check has not ended yet";
        if (reload->source)
                return "the settings are being checked for another reload";

        return check_store(d, d->settings);
}

void reload_run(struct control_call *call, void *userdata)
{
        struct reload *reload = userdata;
        struct dispatcher *d = reload->dispatcher;
        const char *obstacle = find_obstacle(reload);
        int r;

        if (obstacle && !call) {
                log_failure(obstacle, false);
                return;
        }
        if (obstacle) {
                control_fail(call, VARLINK_RELOAD_FAILED, json_pack("{s:s}", "reason", obstacle));
                return;
        }

        /* It may take forever, perhaps because of what is mended now. */
        if (d->pool.state->trial) {
                reload_failed(reload, "another reload took its place");
                dispatcher_wake(d);
        }

        reload->call = call;
        pool_set_stays(&d->pool, true);
        dispatcher_wake(d);
        health_reloading(&d->health);
        r = start_check(reload);
        if (r < 0) {
                reload_done(reload);
                fail(reload, strerror(-r), false);
        }
}

void reload_cancel(struct control_call *call, void *userdata)
{
        static const char why[] = "it was cancelled";
        struct reload *reload = userdata;
        struct dispatcher *d = reload->dispatcher;

        if (d->pool.state->trial) {
                reload_failed(reload, why);
                dispatcher_wake(d);
        } else if (reload->source && !reload->is_late) {
                leave_check(reload, why);
        } else {
                control_fail(call, VARLINK_NO_RELOAD, json_object());
                return;
        }

        control_reply(call, json_object());
}

/* --- The gate --- */

/* Has these count from now on: for the workers that are started, and for what the dispatcher does
 * itself. */
static void put_in_force(struct dispatcher *d, const struct settings *settings, char **argv)
{
        d->settings = settings;
        d->context.process.argv = argv;
        d->context.process.leave_batch = settings->scheduling_policy == SCHEDULING_OTHER;
}

/* The pool goes by the old settings as long as the trial goes on. */
static void begin_trial(struct reload *reload, const struct settings *old, char **old_argv)
{
        struct dispatcher *d = reload->dispatcher;

        reload->new = d->settings;
        d->context.trial_argv = d->context.process.argv;
        d->context.trial_leaves_batch = d->context.process.leave_batch;
        put_in_force(d, old, old_argv);
        d->pool.settings = old;
        pool_settings_changed(&d->pool);
        connection_log_set(&d->connection_log);
}

void reload_resume(struct reload *reload, struct control_call *call, const struct settings *old,
        char **old_argv, const char *trouble)
{
        struct dispatcher *d = reload->dispatcher;

        reload->call = call;
        if (!trouble) {
                begin_trial(reload, old, old_argv);
                trouble = check_store(d, reload->new); /* for another WorkersMax= */
        }
        if (trouble)
                fail(reload, trouble, true);
        else
                pool_try(&d->pool, reload->new);
}

/* Returns the keys that changed, for JSON, and writes them into `text`. */
static json_t *list_changes(const struct reload *reload, char *text, size_t size)
{
        bool differ[SETTING_COUNT] = {};
        json_t *list = json_array();
        size_t n = 0;

        text[0] = '\0';
        if (settings_compare(reload->dispatcher->settings, reload->new, differ) < 0)
                return list;

        for (size_t i = 0; i < SETTING_COUNT; i++) {
                if (!differ[i])
                        continue;
                if (list)
                        (void)json_array_append_new(list, json_string(settings_key(i)));
                if (n < size)
                        n += (size_t)snprintf(
                                text + n, size - n, "%s%s=", n > 0 ? ", " : "", settings_key(i));
        }

        return list;
}

static void succeed(struct reload *reload)
{
        struct dispatcher *d = reload->dispatcher;
        char keys[1024];
        json_t *changed = list_changes(reload, keys, sizeof(keys));
        uint32_t before = d->pool.state->generation, generation;

        pool_commit(&d->pool);
        put_in_force(d, reload->new, d->context.trial_argv);
        connection_log_set(&d->connection_log);
        kept_settings_forget(before);
        generation = d->pool.state->generation;
        journal_event(MESSAGE_RELOADED,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_GENERATION", generation),
                        JOURNAL_TEXT("ACCEPTD_CHANGED", keys)),
                "Generation %" PRIu32 " of the workers is starting; older ones finish what they "
                "have. Settings that changed: %s.",
                generation, keys[0] ? keys : "none");
        health_reloaded(&d->health);
        if (reload->call)
                control_reply(TAKE_PTR(reload->call),
                        json_pack("{s:I, s:o}", "generation", (json_int_t)generation, "changed",
                                changed));
        else
                json_decref(changed);
}

void reload_failed(struct reload *reload, const char *why)
{
        pool_abandon(&reload->dispatcher->pool);
        fail(reload, why, true);
}

void reload_passed(struct reload *reload)
{
        struct dispatcher *d = reload->dispatcher;

        /* Before the ledger says that the generation is in force: a crash in between has either. */
        if (kept_settings_store(reload->new, d->pool.state->trial) < 0)
                reload_failed(reload, "its settings cannot be kept for after a crash");
        else
                succeed(reload);
}
