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

struct echo_worker {
        struct acceptd_worker *channel;
        unsigned capacity;
        usec_t idle_timeout;
        unsigned burst;    /* new connections to take in this turn */
        int *socket_types; /* by listener; 0: not yet known */
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

static int on_end(void *userdata, uint64_t id, int fd_consume)
{
        return acceptd_worker_finish(
                userdata, &(struct acceptd_connection){ .id = id, .fd = fd_consume });
}

static void on_idle(void *userdata, uint64_t id, bool idle)
{
        (void)acceptd_worker_idle(userdata, id, idle); /* it is held: nothing can fail */
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
                int r = acceptd_worker_receive(w->channel, &new, sizeof(new));

                if (r != ACCEPTD_CONNECTION)
                        return MIN(r, 0); /* neither nothing nor the drain is an error */

                r = echo_start(&w->echo, new.fd, new.id, is_seqpacket(w, &new));
                if (r < 0)
                        return r;
        }

        w->burst = MIN(w->burst * 2, (unsigned)RECEIVE_MAX);
        return 0;
}

static int turn(struct echo_worker *w)
{
        bool heard;
        int r = echo_turn(&w->echo, &heard);

        if (r >= 0 && heard)
                return on_channel(w);

        w->burst = 1;
        return r;
}

static int worker_run(struct echo_worker *w)
{
        int r;

        r = acceptd_worker_open(&w->channel, 0);
        if (r < 0)
                return r;

        /* before READY, which counts descriptors */
        r = echo_init(&w->echo, w->idle_timeout, on_end, on_idle, w->channel);
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

        r = echo_watch_source(&w->echo, acceptd_worker_get_fd(w->channel), EPOLLIN);
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
