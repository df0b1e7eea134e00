/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The command line of stub-worker.
 */

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>

#include "base/fd.h"
#include "stub-worker.h"

static const char *const serve_names[] = { "line", "echo", "hold", "obey", "report", "race" };

unsigned long stub_number(const char *text, unsigned long otherwise)
{
        return text && *text ? strtoul(text, NULL, 0) : otherwise;
}

/* Whether this process is one of the first `times` that come here with the folder `marks`. */
static bool take_mark(struct stub *stub, const char *marks, unsigned long times)
{
        char path[PATH_MAX];

        for (unsigned long i = 1; i <= times; i++) {
                _cleanup_(fd_closep) int fd = -1;

                (void)snprintf(path, sizeof(path), "%s/%lu", marks, i);
                fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
                if (fd >= 0)
                        return true;
                if (errno != EEXIST)
                        stub_die(stub, "%s: %s", path, strerror(errno));
        }

        return false;
}

enum {
        OPT_HELP = 1,
        OPT_CAPACITY,
        OPT_FEATURES,
        OPT_SERVE,
        OPT_AT,
        OPT_MARKS,
        OPT_TIMES,
        OPT_NEVER_READY,
        OPT_READY_DELAY,
        OPT_NEVER_RECEIVE,
        OPT_IGNORE_TERM,
        OPT_IGNORE_DRAIN,
        OPT_NO_DONE,
        OPT_WRONG_PONG,
        OPT_DEED, /* and the deeds after it */
};

static const struct option habits[] = {
        { "help", no_argument, NULL, OPT_HELP },
        { "capacity", required_argument, NULL, OPT_CAPACITY },
        { "features", required_argument, NULL, OPT_FEATURES },
        { "serve", required_argument, NULL, OPT_SERVE },
        { "at", required_argument, NULL, OPT_AT },
        { "marks", required_argument, NULL, OPT_MARKS },
        { "times", required_argument, NULL, OPT_TIMES },
        { "never-ready", no_argument, NULL, OPT_NEVER_READY },
        { "ready-delay", required_argument, NULL, OPT_READY_DELAY },
        { "never-receive", no_argument, NULL, OPT_NEVER_RECEIVE },
        { "ignore-term", no_argument, NULL, OPT_IGNORE_TERM },
        { "ignore-drain", no_argument, NULL, OPT_IGNORE_DRAIN },
        { "no-done", no_argument, NULL, OPT_NO_DONE },
        { "wrong-pong", no_argument, NULL, OPT_WRONG_PONG },
};

static void help(void)
{
        puts("stub-worker [OPTION]...: a worker for tests, started by the dispatcher\n"
             "\n"
             "  --capacity=N       as announced by READY (1)\n"
             "  --features=N       named by READY (0)\n"
             "  --serve=line       on each connection: write one line that says worker, pid,\n"
             "                     listener and id, close, DONE (default)\n"
             "         =echo       the line, then give one request back, close, DONE\n"
             "         =hold       the line, then DONE when the client closes\n"
             "         =obey       as hold; a line from the client is a deed: \"exit 3\", or "
             "\"done\"\n"
             "         =report     descriptors, signals, limits, environment; close, DONE\n"
             "\n"
             "Habits:\n"
             "  --never-ready      never say READY\n"
             "  --ready-delay=MS   say it so much later\n"
             "  --never-receive    READY, but leave the queue as it is\n"
             "  --ignore-term      of SIGTERM\n"
             "  --ignore-drain     do not exit at the end of the channel\n"
             "  --no-done          never say DONE\n"
             "  --wrong-pong       answer PING with another number\n"
             "\n"
             "When, and in which worker:\n"
             "  --at=start         do the deed before READY\n"
             "  --at=ready         after READY (default)\n"
             "  --at=N             after the Nth connection\n"
             "  --marks=DIR        habits and deed are only those of the first worker that comes\n"
             "                     here with the empty folder DIR; later ones behave well\n"
             "  --times=N          of the first N workers\n"
             "\n"
             "Deeds:");
        for (size_t i = 0; i < stub_n_deeds; i++)
                printf("  --%s%s\n", stub_deeds[i].name, stub_deeds[i].help);
}

static void parse_serve(struct stub *stub, const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(serve_names); i++)
                if (streq(serve_names[i], name)) {
                        stub->serve = (enum serve)i;
                        return;
                }
        stub_die(stub, "--serve=%s is not among line, echo, hold, obey, report, race", name);
}

static unsigned parse_at(const char *text)
{
        if (streq(text, "start"))
                return UINT_MAX;
        if (streq(text, "ready"))
                return 0;
        return (unsigned)stub_number(text, 0);
}

static void behave_well(struct stub *stub)
{
        stub->deed = NULL;
        stub->features = 0;
        stub->capacity = MAX(stub->capacity, UINT32_C(1));
        stub->ready_delay = 0;
        stub->never_ready = stub->never_receive = stub->ignore_term = false;
        stub->ignore_drain = stub->no_done = stub->wrong_pong = false;
}

void stub_options(struct stub *stub, int argc, char *argv[])
{
        _cleanup_(freep) struct option *options =
                calloc(ELEMENTSOF(habits) + stub_n_deeds + 1, sizeof(*options));
        const char *marks = NULL;
        unsigned long times = 1;
        int c;

        if (!options)
                stub_die(stub, "no memory");
        memcpy(options, habits, sizeof(habits));
        for (size_t i = 0; i < stub_n_deeds; i++)
                options[ELEMENTSOF(habits) + i] = (struct option){
                        .name = stub_deeds[i].name,
                        .has_arg = stub_deeds[i].arg,
                        .val = OPT_DEED + (int)i,
                };

        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
                switch (c) {
                case OPT_HELP:
                        help();
                        exit(0);
                case OPT_CAPACITY:
                        stub->capacity = (uint32_t)stub_number(optarg, 1);
                        break;
                case OPT_FEATURES:
                        stub->features = stub_number(optarg, 0);
                        break;
                case OPT_SERVE:
                        parse_serve(stub, optarg);
                        break;
                case OPT_AT:
                        stub->at = parse_at(optarg);
                        break;
                case OPT_MARKS:
                        marks = optarg;
                        break;
                case OPT_TIMES:
                        times = stub_number(optarg, 1);
                        break;
                case OPT_NEVER_READY:
                        stub->never_ready = true;
                        break;
                case OPT_READY_DELAY:
                        stub->ready_delay = (int)stub_number(optarg, 0);
                        break;
                case OPT_NEVER_RECEIVE:
                        stub->never_receive = true;
                        break;
                case OPT_IGNORE_TERM:
                        stub->ignore_term = true;
                        break;
                case OPT_IGNORE_DRAIN:
                        stub->ignore_drain = true;
                        break;
                case OPT_NO_DONE:
                        stub->no_done = true;
                        break;
                case OPT_WRONG_PONG:
                        stub->wrong_pong = true;
                        break;
                case '?':
                        exit(64);
                default:
                        stub->deed = &stub_deeds[c - OPT_DEED];
                        stub->deed_arg = optarg;
                }

        if (marks && !take_mark(stub, marks, times))
                behave_well(stub);
        else if (marks)
                stub_say(stub, "misbehaves");
}
