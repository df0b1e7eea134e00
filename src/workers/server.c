/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of the program behind acceptd-listen, from its start to its end. It must not know the
 * channel: the adapter tells of the drain, and looks whether the program is ready.
 *
 * What limits it in time is here only as far as the dispatcher cannot know: the program's watchdog.
 * Start, drain and stop are the worker's, and so the dispatcher's.
 */

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "base/process-end.h"
#include "workers/family.h"
#include "workers/server.h"

#define ABORT_USEC  (10 * USEC_PER_SEC) /* from SIGABRT to SIGKILL */
#define STATUS_USEC (10 * USEC_PER_SEC) /* from one status in the journal to the next */

void server_say(const char *format, ...)
{
        char text[SERVER_STATUS_MAX + 512];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        fprintf(stderr, "acceptd-listen: %s\n", text);
}

/* A process that is stopped gets it when it goes on, so it has to. SIGCONT goes first: one that is
 * ending may be stopped by itself, as the leak checker of gcc does it, and would lose that. */
static void send_signal(const struct server *server, int signal)
{
        (void)pidfd_send_signal(server->pidfd, SIGCONT, NULL, 0);
        (void)pidfd_send_signal(server->pidfd, signal, NULL, 0);
}

void server_ask_to_end(struct server *server, int signal)
{
        server->leaving = true;
        server->asked = signal;
        send_signal(server, signal);
}

void server_hang(struct server *server, const char *why)
{
        if (server->hung || server->ended)
                return;

        server_say("%s %s: it is ended with SIGABRT", server->options.command[0], why);
        server->hung = true;
        server->kill_at = usec_add(usec_now(), ABORT_USEC);
        send_signal(server, SIGABRT);
}

void server_feed_watchdog(struct server *server, usec_t more)
{
        if (server->watchdog != USEC_INFINITY)
                server->watchdog_at = usec_add(usec_now(), MAX(server->watchdog, more));
}

void server_become_ready(struct server *server)
{
        if (server->ready)
                return;

        server->ready = true;
        server_feed_watchdog(server, 0);
}

int server_reap(struct server *server)
{
        struct pollfd pollfd = { .fd = server->pidfd, .events = POLLIN };
        int end, r = 0;
        pid_t pid;

        /* Asked before anything is reaped: what has ended by now is found below. */
        server->ended = poll(&pollfd, 1, 0) == 1;

        /* A main process that the program has named (MAINPID=) may be another's child. How it ended
         * is not to be known then, and counts as exit status 0. */
        while (r >= 0 && (pid = waitpid(-1, &end, WNOHANG)) > 0)
                if (pid == server->pid) {
                        server->ended = true;
                        server->end = end;
                } else if (pid == server->guard.pid)
                        r = guard_restart(&server->guard);

        return r;
}

static bool is_watched(const struct server *server)
{
        return server->ready && !server->leaving && !server->hung;
}

usec_t server_get_deadline(const struct server *server)
{
        usec_t deadline = server->kill_at;

        if (!server->ready)
                deadline = MIN(deadline, server->ready_at);
        if (is_watched(server))
                deadline = MIN(deadline, server->watchdog_at);
        if (!server->status_told)
                deadline = MIN(deadline, server->status_at);

        return deadline;
}

void server_on_time(struct server *server, usec_t now)
{
        if (now >= server->ready_at)
                server_become_ready(server);
        if (is_watched(server) && now >= server->watchdog_at)
                server_hang(server, "has not said WATCHDOG=1 in time");
        if (now >= server->kill_at) {
                server->kill_at = USEC_INFINITY;
                send_signal(server, SIGKILL);
        }
        if (!server->status_told && now >= server->status_at) {
                server->status_told = true;
                server->status_at = usec_add(now, STATUS_USEC);
                server_say("%s says: %s", server->options.command[0], server->status);
        }
}

static void say_end(const struct server *server)
{
        bool by_signal = WIFSIGNALED(server->end);
        const struct process_end end = {
                .code = !by_signal               ? CLD_EXITED
                        : WCOREDUMP(server->end) ? CLD_DUMPED
                                                 : CLD_KILLED,
                .status = by_signal ? WTERMSIG(server->end) : WEXITSTATUS(server->end),
        };
        char words[PROCESS_END_MAX];

        process_end_format(&end, words);
        server_say("%s %s%s%s%s", server->options.command[0], words,
                server->ready ? "" : " before it was ready",
                server->status[0] ? "; its last status: " : "", server->status);
}

/* Without a core: the program has left one, where it was to. */
static int end_by_signal(int signal)
{
        sigset_t set;

        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){});
        (void)sigemptyset(&set);
        (void)sigaddset(&set, signal);
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
        (void)raise(signal);
        return 128 + signal;
}

void server_end(struct server *server)
{
        guard_done(&server->guard);
        family_end();
}

int server_finish(struct server *server)
{
        bool by_signal = WIFSIGNALED(server->end);
        bool as_asked = server->asked != 0 && (by_signal ? WTERMSIG(server->end) == server->asked
                                                         : WEXITSTATUS(server->end) == 0);

        server_end(server);
        if (as_asked)
                return EX_OK;

        say_end(server);
        return by_signal ? end_by_signal(WTERMSIG(server->end)) : WEXITSTATUS(server->end);
}
