/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The load generator: many connections to one echo service, and a count of what became of each.
 * Used by tests and measurements; knows nothing of acceptd.
 *
 * Held connections exchange bytes again and again, short ones once; every byte that comes back is
 * compared with what was sent. One process, one loop, few system calls a connection, so that what
 * is measured is the service: a short connection takes socket, connect, send, epoll_ctl, recv,
 * close, and its share of epoll_wait. It talks to this machine only.
 */

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "load.h"

static void start_due(struct load *l)
{
        usec_t since = l->now - l->begin;
        uint64_t wanted = l->count, turns = l->held_turns + l->n_held;

        if (l->held_interval > 0)
                turns = since * l->n_held / l->held_interval;
        for (; l->held_turns < turns; l->held_turns++)
                load_take_turn(l, &l->connections[l->held_turns % l->n_held]);

        if (l->rate > 0)
                wanted = MIN(wanted, (uint64_t)((double)since * l->rate / (double)USEC_PER_SEC));
        /* bounded, for the case that each ends at once */
        for (int i = 0; i < EVENTS_MAX && l->n_free > 0 && l->short_started < wanted; i++)
                load_start_short(l);
}

static void stop(struct load *l)
{
        l->stopping = true;
        l->stop_at = l->now;
        for (uint32_t i = 0; i < l->n_held; i++)
                if (l->connections[i].state == STATE_IDLE)
                        load_end_held(l, &l->connections[i]);
}

static bool is_time_to_stop(const struct load *l)
{
        struct signalfd_siginfo info;

        return l->now >= l->begin + l->duration ||
               (l->short_started == l->count && l->n_free == l->n_connections - l->n_held) ||
               read(l->signal_fd, &info, sizeof(info)) > 0;
}
/* When to look again if nothing comes, as what is due comes at its own time and not in heaps. */
static struct timespec time_to_wait(const struct load *l)
{
        usec_t next = l->now + 20 * USEC_PER_MSEC;

        if (l->retries.first != NOBODY)
                next = l->now + USEC_PER_MSEC;
        if (!l->stopping && l->rate > 0 && l->n_free > 0)
                next = MIN(next, l->begin + (usec_t)((double)(l->short_started + 1) *
                                                     (double)USEC_PER_SEC / l->rate));
        if (!l->stopping && l->n_held > 0 && l->held_interval > 0)
                next = MIN(next, l->begin + (l->held_turns + 1) * l->held_interval / l->n_held);

        next = next > l->now ? next - l->now : 0;
        return (struct timespec){
                .tv_sec = (time_t)(next / USEC_PER_SEC),
                .tv_nsec = (long)(next % USEC_PER_SEC * 1000),
        };
}

static void run(struct load *l)
{
        bool progress = isatty(STDERR_FILENO);

        (void)prctl(PR_SET_TIMERSLACK, 1UL);
        l->begin = l->now = usec_now();
        while (!l->stopping || l->n_active > 0) {
                struct epoll_event events[EVENTS_MAX];
                struct timespec wait;
                int n;

                if (!l->stopping && is_time_to_stop(l))
                        stop(l);
                if (!l->stopping)
                        start_due(l);

                wait = time_to_wait(l);
                n = epoll_pwait2(l->epoll_fd, events, EVENTS_MAX, &wait, NULL);
                l->now = usec_now();
                for (int i = 0; i < n; i++)
                        load_on_event(l, &l->connections[events[i].data.u32], events[i].events);

                load_retry(l);
                load_end_overdue(l, &l->waiting[KIND_SHORT]);
                load_end_overdue(l, &l->waiting[KIND_HELD]);
                load_end_overdue(l, &l->retries);
                if (progress)
                        load_report_progress(l);
        }
        if (progress)
                fprintf(stderr, "\n");
}
/* Returns how many descriptors there may be. */
static uint64_t raise_limit(void)
{
        struct rlimit limit = {};

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        return limit.rlim_cur;
}

static void set_up(struct load *l)
{
        uint64_t n_descriptors = raise_limit();
        uint32_t n_short = l->n_clients;
        sigset_t signals;

        if (l->rate > 0)
                n_short = IN_FLIGHT;
        if (l->n_held + 32 >= n_descriptors)
                load_refuse("--held", "fewer than RLIMIT_NOFILE");
        n_short = (uint32_t)MIN((uint64_t)n_short, n_descriptors - 32 - l->n_held);

        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGINT);
        (void)sigaddset(&signals, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL);
        l->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
        l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        l->n_connections = l->n_held + n_short;
        l->connections = calloc(l->n_connections, sizeof(*l->connections));
        l->free_short = calloc(n_short + 1, sizeof(*l->free_short));
        if (l->signal_fd < 0 || l->epoll_fd < 0 || !l->connections || !l->free_short) {
                perror("load");
                exit(EX_OSERR);
        }

        for (uint32_t i = 0; i < l->n_connections; i++)
                l->connections[i].fd = -1;
        for (uint32_t i = 0; i < n_short; i++)
                l->free_short[l->n_free++] = l->n_connections - 1 - i;
        load_fill_table();
}

int main(int argc, char *argv[])
{
        static struct load load = {
                .epoll_fd = -1,
                .signal_fd = -1,
                .held_bytes = 4096,
                .short_bytes = 64,
                .held_interval = 100 * USEC_PER_MSEC,
                .duration = 10 * USEC_PER_SEC,
                .timeout = 10 * USEC_PER_SEC,
                .slow = USEC_INFINITY,
                .count = UINT64_MAX,
                .waiting = { { NOBODY, NOBODY }, { NOBODY, NOBODY } },
                .retries = { NOBODY, NOBODY },
        };
        uint64_t failures;

        load_parse_options(&load, argc, argv);
        set_up(&load);
        run(&load);
        failures = load_print_result(&load);

        if (load.failures)
                fclose(load.failures);
        free(load.connections);
        free(load.free_short);
        fd_close(load.epoll_fd);
        fd_close(load.signal_fd);
        return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
