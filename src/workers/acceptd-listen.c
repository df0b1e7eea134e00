/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker that is a program which accepts by itself. The pool has Accept=no, so no connection ever
 * comes over the channel: only questions, which are answered while the program is well, and the
 * drain, which becomes a signal to the program. The program's READY=1 is the worker's READY, and
 * its end the worker's.
 */

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "libacceptd/acceptd.h"
#include "workers/server.h"

#define ALLOWED                                                                                    \
        "--drain-signal=SIGNAL, --ready=notify or TIME, --watchdog=TIME, --stdin, --help, "        \
        "--version, then the program"

static const char help[] =
        "acceptd-listen [OPTIONS...] PROGRAM [ARGUMENTS...]\n\n"
        "Runs a server that accepts by itself as a worker of acceptd(8), in a pool with Accept=no.\n\n"
        "  --drain-signal=SIG   what asks it to finish and end (default SIGTERM)\n"
        "  --ready=notify       it is ready when it says READY=1 (default)\n"
        "  --ready=TIME         or when it has run for so long: 2s, 500ms\n"
        "  --watchdog=TIME      it has to say WATCHDOG=1 as often\n"
        "  --stdin              the listening socket is its descriptor 0\n"
        "  --help, --version    print this, or the version, and exit";

struct adapter {
        struct server server;
        struct acceptd_worker *channel;
        int signals;
        bool told_ready;
};

enum { AT_CHANNEL, AT_SIGNALS, AT_NOTIFY, AT_MAIN, N_PLACES };

/* SIGTERM is passed on and SIGCHLD looked at; the others would end it and with it the program, for
 * which they may have been meant. */
static int block_signals(void)
{
        static const int signals[] = { SIGTERM, SIGCHLD, SIGHUP, SIGINT, SIGUSR1, SIGUSR2 };
        sigset_t blocked, wanted;

        (void)sigemptyset(&blocked);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void)sigaddset(&blocked, signals[i]);
        (void)sigprocmask(SIG_BLOCK, &blocked, NULL);

        (void)sigemptyset(&wanted);
        (void)sigaddset(&wanted, SIGTERM);
        (void)sigaddset(&wanted, SIGCHLD);
        return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void on_signals(struct adapter *a)
{
        struct signalfd_siginfo info;

        while (read(a->signals, &info, sizeof(info)) == sizeof(info))
                if (info.ssi_signo == SIGTERM)
                        server_ask_to_end(&a->server, SIGTERM);
}

/* Returns 0 or -errno. */
static int on_channel(struct adapter *a)
{
        struct acceptd_connection connection;
        int r = acceptd_worker_receive(a->channel, &connection, sizeof(connection));

        if (r == ACCEPTD_DRAIN && !a->server.leaving)
                server_ask_to_end(&a->server, a->server.options.drain_signal);
        if (r == ACCEPTD_CONNECTION) {
                /* a pool with Accept=yes: that of before a reload, or of another dispatcher */
                r = acceptd_worker_finish(a->channel, &connection);
        }

        return MIN(r, 0);
}

static int get_timeout(const struct server *server)
{
        usec_t deadline = server_get_deadline(server), now = usec_now();

        if (deadline == USEC_INFINITY)
                return -1;
        if (deadline <= now)
                return 0;

        return (int)MIN((deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC, (usec_t)INT32_MAX);
}

/* While the program hangs, questions stay where they are: the dispatcher is to see it. */
static void prepare(const struct adapter *a, struct pollfd *places)
{
        bool hears = !a->server.hung && !acceptd_worker_is_finished(a->channel);

        places[AT_CHANNEL] = (struct pollfd){
                .fd = hears ? acceptd_worker_get_fd(a->channel) : -1,
                .events = POLLIN,
        };
        places[AT_SIGNALS] = (struct pollfd){ .fd = a->signals, .events = POLLIN };
        places[AT_NOTIFY] = (struct pollfd){ .fd = a->server.notify_fd, .events = POLLIN };
        places[AT_MAIN] = (struct pollfd){ .fd = a->server.pidfd, .events = POLLIN };
}

/* What the program has said comes before its end, and both before its time has run out. */
static int turn(struct adapter *a)
{
        struct pollfd places[N_PLACES];
        int r;

        prepare(a, places);
        if (poll(places, N_PLACES, get_timeout(&a->server)) < 0)
                return errno == EINTR ? 0 : -errno;

        r = server_hear(&a->server);
        if (r < 0)
                return r;
        server_on_time(&a->server, usec_now());
        on_signals(a);
        r = server_reap(&a->server);
        if (r < 0 || a->server.ended)
                return r;

        if (a->server.ready && !a->told_ready) {
                a->told_ready = true;
                r = acceptd_worker_ready(a->channel, 1);
                if (r < 0)
                        return r;
        }

        return places[AT_CHANNEL].revents != 0 ? on_channel(a) : 0;
}

static int run(struct adapter *a, const struct server_options *options)
{
        int r, status;

        r = acceptd_worker_open(&a->channel, 0);
        if (r < 0)
                goto fail;
        status = server_start(&a->server, options);
        if (status != EX_OK)
                return status;

        while (r >= 0 && !a->server.ended)
                r = turn(a);
        if (r < 0)
                goto fail;

        acceptd_worker_free(TAKE_PTR(a->channel));
        return server_finish(&a->server);

fail:
        server_end(&a->server);
        server_say("%s", acceptd_worker_explain(a->channel, r));
        return acceptd_exit_status(r);
}

static int complain(const char *what, const char *value, const char *allowed)
{
        fprintf(stderr, "acceptd-listen: %s%s: allowed: %s\n", what, value, allowed);
        return -EINVAL;
}

/* SIGQUIT, QUIT or 3. Returns 0 where it is none. */
static int parse_signal(const char *text)
{
        const char *name = startswith(text, "SIG") ?: text;

        for (int signal = 1; signal < NSIG; signal++) {
                char number[16];

                (void)snprintf(number, sizeof(number), "%d", signal);
                if (streq(text, number) || streq(name, sigabbrev_np(signal) ?: ""))
                        return signal;
        }

        return 0;
}

static int parse_time(const char *name, const char *text, usec_t *ret)
{
        if (usec_parse(text, ret) < 0 || *ret == 0 || *ret == USEC_INFINITY)
                return complain(name, text, "a time above 0, as 5s, 2min, 500ms");

        return 1;
}

static int parse_option(struct server_options *options, int c, char **argv)
{
        switch (c) {
        case 'd':
                options->drain_signal = parse_signal(optarg);
                return options->drain_signal > 0
                               ? 1
                               : complain("--drain-signal=", optarg, "a signal, as SIGQUIT");
        case 'r':
                options->ready_after = USEC_INFINITY;
                if (streq(optarg, "notify"))
                        return 1;
                return parse_time("--ready=notify or ", optarg, &options->ready_after);
        case 'w':
                return parse_time("--watchdog=", optarg, &options->watchdog);
        case 's':
                options->on_stdin = true;
                return 1;
        case 'h':
                return puts(help) < 0 ? -EIO : 0;
        case 'v':
                return puts("acceptd-listen " ACCEPTD_VERSION) < 0 ? -EIO : 0;
        default:
                return complain("", argv[optind - 1], ALLOWED);
        }
}

/* Returns 1 to go on, 0 where all is done, or negative after saying what is wrong. */
static int parse_options(struct server_options *options, int argc, char **argv)
{
        static const struct option known[] = {
                { "drain-signal", required_argument, NULL, 'd' },
                { "ready", required_argument, NULL, 'r' },
                { "watchdog", required_argument, NULL, 'w' },
                { "stdin", no_argument, NULL, 's' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c, r;

        opterr = 0;
        while ((c = getopt_long(argc, argv, "+:", known, NULL)) >= 0) {
                r = parse_option(options, c, argv);
                if (r <= 0)
                        return r;
        }

        options->command = argv + optind;
        return optind < argc ? 1 : complain("", "no program", ALLOWED);
}

int main(int argc, char **argv)
{
        /* static: what it points to needs no end of its own, and no leak checker misses it */
        static struct adapter adapter;
        struct server_options options = {
                .drain_signal = SIGTERM,
                .ready_after = USEC_INFINITY,
                .watchdog = USEC_INFINITY,
        };
        int r;

        /* A program that a client took over must not speak on the channel: prctl(2) */
        (void)prctl(PR_SET_DUMPABLE, 0);

        r = parse_options(&options, argc, argv);
        if (r <= 0)
                return r < 0 ? EX_USAGE : EX_OK;

        adapter.signals = block_signals();
        if (adapter.signals < 0) {
                server_say("%s", strerror(errno));
                return EX_OSERR;
        }

        return run(&adapter, &options);
}
