/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker that starts a program for each connection, as inetd does: takes connections from the
 * channel, starts programs, and says which connections have ended and how.
 *
 * One loop, which nothing blocks but the start of a program (until it is executed). A connection is
 * closed here as soon as its program has it: its end is the program's end.
 */

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/executable.h"
#include "base/fd.h"
#include "base/process-end.h"
#include "libacceptd/acceptd.h"
#include "workers/inetd-environment.h"
#include "workers/inetd-options.h"
#include "workers/inetd-programs.h"
#include "workers/inetd-report.h"
#include "workers/inetd-trial.h"

/* New connections in one turn, so that ends are not kept waiting. */
#define RECEIVE_MAX 8

/* What could not be started for want of something is tried again after this time. */
#define RETRY_USEC (100 * USEC_PER_MSEC)

/* How shells and env(1) say that they could not execute what they should. */
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND      127

struct inetd {
        struct inetd_options options;
        char *path; /* of the program */
        struct acceptd_worker *channel;
        int signal_fd;
        struct inetd_environment environment;
        struct inetd_programs programs;
        struct inetd_report report;
        struct inetd_trial trial; /* until a program is proven */

        struct acceptd_connection waiting; /* its program cannot be started now; fd is -1: none */
        usec_t retry_at;
        bool proven; /* the program was executed once, and did what it is for */
        bool broken; /* it cannot be executed any more, which another start of this worker tells */
        bool stopping; /* SIGTERM came */
};

/* --- One connection --- */

/* Returns 0 or -errno. The connection stays the caller's. */
static int start_program(struct inetd *w, const struct acceptd_connection *c)
{
        int fds[] = { c->fd, c->fd, w->options.stderr_is_connection ? c->fd : -1, c->fd };
        unsigned place = inetd_programs_get_free(&w->programs);
        const struct program program = {
                .path = w->path,
                .argv = w->options.argv,
                .environment = w->environment.list,
                .own_pid = (char *const[]){ w->environment.listen_pid, NULL },
                .fds = fds,
                .n_fds = ELEMENTSOF(fds),
                .own_group = true,
                .note = &w->programs.guard.groups[place],
        };
        int off = 0, r;
        pid_t pid;

        if (w->programs.guard.pid == 0) {
                r = guard_restart(&w->programs.guard);
                if (r < 0)
                        return r;
        }
        if (ioctl(c->fd, FIONBIO, &off) < 0)
                return -errno;
        inetd_environment_set(&w->environment, c->fd);

        r = program_start(&program, &pid);
        if (r < 0)
                return r;

        inetd_programs_started(&w->programs, place, c->id, pid, usec_now());
        if (!w->proven)
                inetd_trial_keep(&w->trial, place, c->fd, usec_now());
        return 0;
}

/* Takes no more connections, and ends with the last program. What finds out whether another try is
 * worth it is the start of the next worker. */
static void give_up(struct inetd *w)
{
        w->broken = true;
        (void)acceptd_worker_ready(w->channel, 0);
}

static bool is_scarce(int error)
{
        return error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE ||
               error == -ETXTBSY; /* it is being written */
}

/* Keeps the connection where its program can be started later. */
static int start(struct inetd *w, const struct acceptd_connection *c)
{
        int r = start_program(w, c);

        if (is_scarce(r)) {
                inetd_report_line(&w->report, INETD_START, usec_now(),
                        "cannot be started now: %s. The connection waits", strerror(-r));
                w->waiting = *c;
                w->retry_at = usec_add(usec_now(), RETRY_USEC);
                return 0;
        }

        fd_close(c->fd);
        if (r < 0) {
                give_up(w);
                inetd_report_line(&w->report, INETD_START, usec_now(), "cannot be executed: %s%s",
                        strerror(-r), r == -ENOEXEC ? " (a script needs #! at its begin)" : "");
                return acceptd_worker_failed(w->channel, c->id, ACCEPTD_FAILURE_START);
        }

        return 0;
}

static int retry(struct inetd *w)
{
        struct acceptd_connection c = w->waiting;

        w->waiting.fd = -1;
        return start(w, &c);
}

/* --- The end of a program --- */

static void report_end(struct inetd *w, const siginfo_t *end, enum inetd_program_state state)
{
        const struct process_end how = { .code = end->si_code, .status = end->si_status };
        enum inetd_kind kind = end->si_code == CLD_EXITED ? INETD_STATUS : INETD_SIGNAL;
        char words[PROCESS_END_MAX], after[USEC_FORMAT_SIZE + 16] = "", time[USEC_FORMAT_SIZE];

        if (state != INETD_RUNNING && w->stopping)
                return; /* that was said */
        if (state != INETD_RUNNING) {
                kind = INETD_TIME;
                (void)snprintf(after, sizeof(after), "had run for %s, and ",
                        usec_format(w->options.runtime_max, time));
        }

        process_end_format(&how, words);
        inetd_report_line(
                &w->report, kind, usec_now(), "(PID %d) %s%s", (int)end->si_pid, after, words);
}

/* It could not be executed by who should; or it failed, and has not touched its connection. A
 * client may bring a program that works to the first. */
static bool is_in_vain(struct inetd *w, const siginfo_t *end, unsigned place)
{
        bool untouched = inetd_trial_was_in_vain(&w->trial, place);
        int status = end->si_status;

        if (end->si_code != CLD_EXITED)
                return false;

        return status == STATUS_NOT_EXECUTABLE || status == STATUS_NOT_FOUND ||
               (status != 0 && untouched);
}

static void prove(struct inetd *w)
{
        w->proven = true;
        inetd_trial_enforce(&w->trial, USEC_INFINITY);
}

/* Says what is to be said of it, to the log and to the dispatcher. */
static int judge(struct inetd *w, const siginfo_t *end, unsigned place)
{
        const struct inetd_program *program = &w->programs.places[place];
        bool exited = end->si_code == CLD_EXITED;
        /* The client has left, as clients may: systemd, too, takes this for a clean end. */
        bool left = !exited && end->si_status == SIGPIPE;
        bool in_vain = is_in_vain(w, end, place);

        if (!left && !(exited && end->si_status == 0))
                report_end(w, end, program->state);

        if (!in_vain)
                prove(w);
        else if (!w->proven)
                give_up(w);

        if ((exited && !in_vain) || left)
                return acceptd_worker_done(w->channel, program->id);

        return acceptd_worker_failed(
                w->channel, program->id, in_vain ? ACCEPTD_FAILURE_START : ACCEPTD_FAILURE_SIGNAL);
}

static int on_end(struct inetd *w, const siginfo_t *end)
{
        int place = inetd_programs_find(&w->programs, end->si_pid);

        if (place >= 0)
                inetd_programs_ended(&w->programs, (unsigned)place);
        (void)waitid(P_PID, (id_t)end->si_pid, &(siginfo_t){}, WEXITED);

        if (end->si_pid == w->programs.guard.pid)
                (void)guard_restart(&w->programs.guard); /* else it comes before the next program */
        if (place < 0)
                return 0; /* or a child that this process had before it executed this program */

        return judge(w, end, (unsigned)place);
}

static int reap(struct inetd *w)
{
        for (;;) {
                siginfo_t end = {};
                int r;

                /* It stays a zombie until its group is ended: the number is nobody else's then. */
                if (waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT) < 0 || end.si_pid == 0)
                        return 0; /* none that has ended, or none at all */

                r = on_end(w, &end);
                if (r < 0)
                        return r;
        }
}

/* --- The loop --- */

static int on_stop(struct inetd *w)
{
        unsigned n;

        if (w->stopping)
                return 0;

        w->stopping = true;
        n = inetd_programs_terminate(&w->programs, usec_now());
        if (n > 0)
                inetd_report_line(&w->report, INETD_STOP, usec_now(),
                        "(%u process%s) is sent the SIGTERM that this worker got", n,
                        n == 1 ? "" : "es");
        if (w->waiting.fd < 0)
                return 0;

        w->waiting.fd = fd_close(w->waiting.fd);
        return acceptd_worker_failed(w->channel, w->waiting.id, ACCEPTD_FAILURE_START);
}

static int on_signal(struct inetd *w)
{
        struct signalfd_siginfo signals[4];
        ssize_t n = read(w->signal_fd, signals, sizeof(signals));
        int r = 0;

        for (size_t i = 0; r >= 0 && i < (size_t)MAX(n, 0) / sizeof(signals[0]); i++)
                if (signals[i].ssi_signo == SIGTERM || signals[i].ssi_signo == SIGINT)
                        r = on_stop(w);

        return r < 0 ? r : reap(w);
}

/* What is not received stays in the channel, from where the dispatcher takes it back. */
static bool may_receive(const struct inetd *w)
{
        return !w->stopping && !w->broken && w->waiting.fd < 0;
}

static int on_channel(struct inetd *w)
{
        for (unsigned i = 0; i < RECEIVE_MAX; i++) {
                struct acceptd_connection new;
                int r = acceptd_worker_set_receiving(w->channel, may_receive(w));

                if (r >= 0)
                        r = acceptd_worker_receive(w->channel, &new, sizeof(new));
                if (r != ACCEPTD_CONNECTION)
                        return MIN(r, 0); /* neither nothing nor the drain is an error */

                r = start(w, &new);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int on_time(struct inetd *w, usec_t now)
{
        inetd_programs_enforce(&w->programs, now);
        inetd_trial_enforce(&w->trial, now);
        return w->waiting.fd >= 0 && w->retry_at <= now ? retry(w) : 0;
}

static int wait_for_events(struct inetd *w, struct pollfd fds[static 2])
{
        usec_t now = usec_now(), next = inetd_report_flush(&w->report, now);
        struct timespec timeout;

        next = MIN(next, w->programs.next);
        next = MIN(next, w->trial.until);
        if (w->waiting.fd >= 0)
                next = MIN(next, w->retry_at);
        next -= MIN(next, now);
        timeout.tv_sec = (time_t)(next / USEC_PER_SEC);
        timeout.tv_nsec = (long)(next % USEC_PER_SEC * 1000);

        fds[0] = (struct pollfd){ .fd = w->signal_fd, .events = POLLIN };
        fds[1] = (struct pollfd){
                .fd = acceptd_worker_get_fd(w->channel),
                .events = POLLIN,
        };
        if (ppoll(fds, 2, next > USEC_INFINITY / 2 ? NULL : &timeout, NULL) < 0)
                return errno == EINTR ? 0 : -errno;

        return 0;
}

static int turn(struct inetd *w)
{
        struct pollfd fds[2] = {};
        int r;

        r = acceptd_worker_set_receiving(w->channel, may_receive(w));
        if (r >= 0)
                r = wait_for_events(w, fds);
        if (r >= 0 && fds[0].revents)
                r = on_signal(w);
        if (r >= 0)
                r = on_time(w, usec_now());
        if (r >= 0 && fds[1].revents)
                r = on_channel(w);

        return r;
}

static bool is_over(const struct inetd *w)
{
        if (acceptd_worker_is_finished(w->channel))
                return true;

        return (w->stopping || w->broken) && acceptd_worker_get_n_held(w->channel) == 0 &&
               acceptd_worker_flush(w->channel) == 0;
}

/* --- The begin --- */

/* SIGPIPE is blocked for a journal that is started again; programs begin with an empty mask. */
static int open_signals(struct inetd *w)
{
        sigset_t read, blocked;

        (void)sigemptyset(&read);
        (void)sigaddset(&read, SIGCHLD);
        (void)sigaddset(&read, SIGINT);
        (void)sigaddset(&read, SIGTERM);
        blocked = read;
        (void)sigaddset(&blocked, SIGPIPE);
        (void)sigaddset(&blocked, SIGHUP); /* these two are meant for the dispatcher */
        (void)sigaddset(&blocked, SIGUSR1);
        if (sigprocmask(SIG_SETMASK, &blocked, NULL) < 0)
                return -errno;

        w->signal_fd = signalfd(-1, &read, SFD_CLOEXEC | SFD_NONBLOCK);
        return w->signal_fd < 0 ? -errno : 0;
}

static int set_up(struct inetd *w)
{
        int r;

        inetd_report_init(&w->report, w->options.argv[0]);
        r = fd_open_standard();
        if (r >= 0)
                r = acceptd_worker_open(&w->channel, 0);
        if (r >= 0)
                r = open_signals(w);
        if (r >= 0)
                r = inetd_environment_init(&w->environment);
        if (r >= 0)
                r = inetd_programs_init(&w->programs, w->options.capacity, w->options.runtime_max,
                        w->options.stop_timeout);
        if (r >= 0)
                r = inetd_trial_init(&w->trial, w->options.capacity);
        if (r >= 0) /* last: it counts descriptors */
                r = acceptd_worker_ready(w->channel, w->options.capacity);

        return r;
}

static void tear_down(struct inetd *w)
{
        (void)inetd_report_flush(&w->report, USEC_INFINITY);
        inetd_programs_done(&w->programs);
        inetd_trial_done(&w->trial);
        inetd_environment_done(&w->environment);
        fd_close(w->signal_fd);
        acceptd_worker_free(w->channel);
        free(w->path);
}

/* Returns the status to exit with. */
static int run(struct inetd *w)
{
        int r;

        r = executable_find(w->options.argv[0], EXECUTABLE_SEARCH_PATH, &w->path);
        if (r < 0) {
                fprintf(stderr, "acceptd-inetd: %s: %s%s\n", w->options.argv[0], strerror(-r),
                        strchr(w->options.argv[0], '/') ? "" : " in " EXECUTABLE_SEARCH_PATH);
                return EX_UNAVAILABLE;
        }

        r = set_up(w);
        while (r >= 0 && !is_over(w))
                r = turn(w);
        if (r < 0)
                fprintf(stderr, "acceptd-inetd: %s\n", acceptd_worker_explain(w->channel, r));

        return r >= 0 && w->broken ? EX_UNAVAILABLE : acceptd_exit_status(r);
}

int main(int argc, char **argv)
{
        /* static: what it points to needs no end of its own, and no leak checker misses it */
        static struct inetd inetd = { .signal_fd = -1, .waiting.fd = -1 };
        int r;

        /* Programs run as its user, and a client may have taken one over: it must not read or
         * write this process' memory, nor say something on its channel: prctl(2) */
        (void)prctl(PR_SET_DUMPABLE, 0);

        r = inetd_options_parse(&inetd.options, argc, argv);
        if (r <= 0)
                return r < 0 ? EX_USAGE : EX_OK;

        r = run(&inetd);
        tear_down(&inetd);
        return r;
}
