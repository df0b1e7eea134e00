/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The echo worker: takes connections from the channel to echo.c, and says which have ended.
 */

#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "base/words.h"
#include "libacceptd/acceptd.h"
#include "workers/echo.h"

#define CAPACITY_MAX 1000000

/* New connections in one turn, so that they do not starve those that are there. */
#define RECEIVE_MAX 32

/* New connections within this time of those before are a crowd. */
#define CROWD_USEC 1000

/* How long the dispatcher may be left without news then: so many ends, so many turns. More would
 * make it take this worker for busier than it is. */
#define UNTOLD_MAX 8
#define DEFER_MAX  16

struct echo_worker {
        struct acceptd_worker *channel;
        unsigned capacity;
        usec_t idle_timeout;
        unsigned burst;      /* new connections to take in this turn */
        usec_t heard_at;     /* when the last ones came */
        bool crowded;        /* soon after those before */
        unsigned n_untold;   /* connections whose end was not told yet */
        unsigned n_deferred; /* turns since an end was told */
        int *socket_types;   /* by listener; 0: not yet known */
        struct echo echo;
};

#define ALLOWED "--capacity=N, --idle-timeout=TIME, --help, --version"

static const char help[] =
        "acceptd-echo [OPTIONS...]\n\n"
        "Sends back what it receives: RFC 862. A worker, to be run from acceptd(8).\n\n"
        "  --capacity=N         connections to hold at once: 1 to 1000000 (default 1024)\n"
        "  --idle-timeout=TIME  end a connection after this long without progress: 5s, 2min,\n"
        "                       500ms (default infinity)\n"
        "  --help, --version    print this, or the version, and exit";

static int on_end(void *userdata, uint64_t id)
{
        struct echo_worker *w = userdata;

        w->n_untold++;
        return acceptd_worker_done(w->channel, id);
}

static void on_idle(void *userdata, uint64_t id, bool idle)
{
        struct echo_worker *w = userdata;

        (void)acceptd_worker_idle(w->channel, id, idle); /* it is held: nothing can fail */
}

static bool is_seqpacket(struct echo_worker *w, const struct acceptd_connection *new)
{
        unsigned n = acceptd_worker_get_n_listeners(w->channel);
        /* the last place is for listeners younger than this process: it does not know how many */
        int *type = &w->socket_types[MIN(new->listener, n)];
        socklen_t length = sizeof(*type);

        if (*type == 0 || new->listener >= n)
                if (getsockopt(new->fd, SOL_SOCKET, SO_TYPE, type, &length) < 0)
                        *type = 0;

        return *type == SOCK_SEQPACKET;
}

/* A burst that doubles while they keep coming in one turn after the other: a lonely connection
 * costs no second look at the channel, and in a crowd a turn takes in many. */
static int on_channel(struct echo_worker *w)
{
        for (unsigned i = 0; i < w->burst; i++) {
                struct acceptd_connection new;
                int r = acceptd_worker_receive(w->channel, &new);

                if (r != ACCEPTD_CONNECTION)
                        return MIN(r, 0); /* neither nothing nor the drain is an error */

                r = echo_start(&w->echo, new.fd, new.id, is_seqpacket(w, &new));
                if (r < 0)
                        return r;
        }

        w->burst = MIN(w->burst * 2, (unsigned)RECEIVE_MAX);
        return 0;
}

static int watch_channel(struct echo_worker *w)
{
        return echo_watch_source(
                &w->echo, acceptd_worker_get_fd(w->channel), acceptd_worker_get_events(w->channel));
}

/* While connections come in one soon after the other, what ended is told together with what will
 * end next: each datagram wakes the dispatcher. It waits for 1 ms without any event, and for few
 * turns; and never while credits are short. */
static bool may_tell_later(struct echo_worker *w, bool heard, int n_events)
{
        unsigned used = acceptd_worker_get_n_held(w->channel) + w->n_untold;
        usec_t before = w->heard_at;

        if (heard) {
                w->heard_at = usec_now();
                w->crowded = w->heard_at - before < CROWD_USEC;
        }

        return w->crowded && n_events > 0 && w->n_untold < UNTOLD_MAX &&
               w->n_deferred < DEFER_MAX && used < w->capacity / 2 &&
               acceptd_worker_get_events(w->channel) & EPOLLIN; /* not when draining */
}

static int turn(struct echo_worker *w)
{
        bool heard;
        int n, r = 0;

        n = echo_turn(&w->echo, w->n_untold > 0, &heard);
        if (n < 0)
                return n;
        if (heard)
                r = on_channel(w);
        else
                w->burst = 1;
        if (r < 0)
                return r;

        if (may_tell_later(w, heard, n)) {
                w->n_deferred++;
                return 0; /* and no look at get_events(), which asks for a flush */
        }

        w->n_deferred = w->n_untold = 0;
        r = acceptd_worker_flush(w->channel);
        return r < 0 ? r : watch_channel(w);
}

static int worker_run(struct echo_worker *w)
{
        int r;

        r = acceptd_worker_open(&w->channel);
        if (r < 0)
                return r;

        /* before READY, which counts descriptors */
        r = echo_init(&w->echo, w->idle_timeout, on_end, on_idle, w);
        if (r < 0)
                return r;
        r = acceptd_worker_ready(w->channel, w->capacity);
        if (r < 0)
                return r;
        /* libacceptd lets no connection through beyond the capacity */
        w->capacity = (unsigned)r;
        r = echo_set_capacity(&w->echo, w->capacity);
        if (r < 0)
                return r;
        w->socket_types = calloc(acceptd_worker_get_n_listeners(w->channel) + 1U, sizeof(int));
        if (!w->socket_types)
                return -ENOMEM;

        r = watch_channel(w);
        while (r >= 0 && !acceptd_worker_is_finished(w->channel))
                r = turn(w);

        return r;
}

static int complain(const char *what, const char *value, const char *allowed)
{
        fprintf(stderr, "acceptd-echo: %s%s: allowed: %s\n", what, value, allowed);
        return -EINVAL;
}

/* Returns 1 to go on, 0 where all is done, or -EINVAL after saying what is wrong. */
static int parse_options(struct echo_worker *w, int argc, char **argv)
{
        static const struct option options[] = {
                { "capacity", required_argument, NULL, 'c' },
                { "idle-timeout", required_argument, NULL, 'i' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        uint64_t capacity;
        int c;

        opterr = 0;
        while ((c = getopt_long(argc, argv, ":", options, NULL)) >= 0)
                switch (c) {
                case 'c':
                        if (!words_parse_number(optarg, 1, CAPACITY_MAX, &capacity))
                                return complain(
                                        "--capacity=", optarg, "a number from 1 to 1000000");
                        w->capacity = (unsigned)capacity;
                        break;
                case 'i':
                        if (usec_parse(optarg, &w->idle_timeout) < 0 || w->idle_timeout == 0)
                                return complain("--idle-timeout=", optarg,
                                        "a time above 0, as 5s, 2min, 500ms; infinity");
                        break;
                case 'h':
                        return puts(help) < 0 ? -EIO : 0;
                case 'v':
                        return puts("acceptd-echo " ACCEPTD_VERSION) < 0 ? -EIO : 0;
                default:
                        return complain("", argv[optind - 1], ALLOWED);
                }

        return optind == argc ? 1 : complain("", argv[optind], ALLOWED);
}

int main(int argc, char **argv)
{
        /* static: what it points to needs no end of its own, and no leak checker misses it */
        static struct echo_worker worker = {
                .capacity = 1024,
                .idle_timeout = USEC_INFINITY,
                .burst = 1,
        };
        int r;

        /* One that a client took over must not read or write the others' memory: prctl(2) */
        (void)prctl(PR_SET_DUMPABLE, 0);

        /* Meant for the dispatcher, and by default `systemctl kill` sends to all processes. */
        (void)signal(SIGHUP, SIG_IGN);
        (void)signal(SIGUSR1, SIG_IGN);

        r = parse_options(&worker, argc, argv);
        if (r <= 0)
                return r < 0 ? EX_USAGE : EX_OK;

        r = worker_run(&worker);
        if (r < 0)
                fprintf(stderr, "acceptd-echo: %s\n", acceptd_worker_explain(worker.channel, r));
        return acceptd_exit_status(r);
}
