/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The trials. Each begins with a worker that was just started, and sees it through to its end.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/process.h"
#include "protocol-test/trials.h"

#define EX_PROTOCOL_STATUS 76

/* How long what nobody asked for is listened for, and how much of a CPU a worker at rest may use.
 */
#define LISTEN_USEC  (300 * USEC_PER_MSEC)
#define RESTING_MSEC 50

static enum trial_result result_of(bool passed)
{
        return passed ? TRIAL_PASSED : TRIAL_BROKEN;
}

static bool begin(struct play *play)
{
        return play_await(play, play_until_ready, "it does not say READY") &&
               (!(play->taken & RECORD_FEATURE_FINISHED) || play_share_finished(play));
}

/* Exits with 0, as after a drain, and leaves nothing behind. */
static bool ends_well(struct play *play)
{
        char byte;

        if (!play_await(play, play_until_dead, "it does not exit after the end of file"))
                return false;
        if (play->code != CLD_EXITED)
                return play_breaks(
                        play, "it is ended by signal %d after the end of file", play->status);
        if (play->status != 0)
                return play_breaks(
                        play, "it exits with status %d after the end of file, not 0", play->status);
        if (play->n_ended < play->n_connections)
                return play_breaks(play, "it exits before it has said how its connections ended");
        if (recv(play->channel, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
                return play_breaks(play, "another process has its channel: set close-on-exec");
        if (play->left)
                return play_breaks(play, "it leaves processes behind");
        return true;
}

static bool end(struct play *play)
{
        return play_drain(play, false) && ends_well(play);
}

static bool is_cloexec(const struct play *play)
{
        char path[64], line[128];
        _cleanup_(fclosep) FILE *f = NULL;
        unsigned flags = 0;

        (void)snprintf(
                path, sizeof(path), "/proc/%d/fdinfo/%d", (int)play->pid, PROCESS_CHANNEL_FD);
        f = fopen(path, "re");
        if (!f)
                return true; /* it may have another number by now, or not be ours to look at */
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "flags: %o", &flags) == 1)
                        break;
        return flags & O_CLOEXEC;
}

static enum trial_result try_ready(struct play *play)
{
        if (!begin(play) || !play_listen(play, LISTEN_USEC))
                return TRIAL_BROKEN;
        if (!is_cloexec(play))
                return result_of(
                        play_breaks(play, "its channel has no close-on-exec flag: programs "
                                          "that it starts would keep it"));
        return result_of(end(play));
}

static enum trial_result try_questions(struct play *play)
{
        for (unsigned i = 0; i < 3; i++)
                if ((i == 0 && !begin(play)) || !play_ask(play, RECORD_PING) ||
                        !play_await(play, play_until_answered, "it does not answer PING"))
                        return TRIAL_BROKEN;

        return result_of(play_ask(play, RECORD_LIST) &&
                         play_await(play, play_until_answered, "it does not answer LIST") &&
                         end(play));
}

/* One after the other, so that a blocking worker has its turn. */
static enum trial_result try_connections(struct play *play)
{
        if (!begin(play))
                return TRIAL_BROKEN;

        for (unsigned i = 0; i < 5; i++) {
                if (!play_connect(play))
                        return TRIAL_BROKEN;
                play_say(play, i, "GET / HTTP/1.0\r\n\r\n");
                play_hang_up(play);
                if (!play_await(play, play_until_all_ended,
                            "it does not say DONE of a connection whose client has finished"))
                        return TRIAL_BROKEN;
        }
        return result_of(play_ask(play, RECORD_PING) &&
                         play_await(play, play_until_answered, "it does not answer PING") &&
                         end(play));
}

/* As many as it said, up to what one table here holds. */
static bool fill(struct play *play)
{
        unsigned n = MIN(play->capacity, (uint32_t)PLAY_CONNECTIONS_MAX);

        while (play->n_connections < n)
                if (!play_connect(play) || !play_listen(play, USEC_PER_MSEC))
                        return false;
        return true;
}

static bool check_list(struct play *play)
{
        for (unsigned i = 0; i < play->n_connections; i++)
                if (!play->connections[i].ended && !play->connections[i].listed)
                        return play_breaks(
                                play, "its answer to LIST lacks a connection that it has");

        return true;
}

static enum trial_result try_capacity(struct play *play)
{
        if (!begin(play) || !fill(play))
                return TRIAL_BROKEN;

        /* one that blocks while it serves answers later */
        if (play->capacity > 1 && (!play_ask(play, RECORD_PING) ||
                                          !play_await(play, play_until_answered,
                                                  "it does not answer PING while it has "
                                                  "connections") ||
                                          !play_ask(play, RECORD_LIST) ||
                                          !play_await(play, play_until_answered,
                                                  "it does not answer LIST while it has "
                                                  "connections") ||
                                          !check_list(play)))
                return TRIAL_BROKEN;

        play_hang_up(play);
        return result_of(
                play_await(play, play_until_all_ended,
                        "it does not say DONE of all connections whose clients have finished") &&
                end(play));
}

/* Returns the milliseconds of CPU that it has used. */
static long get_cpu_msec(const struct play *play)
{
        unsigned long user = 0, system = 0;
        _cleanup_(fclosep) FILE *f = NULL;
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)play->pid);
        f = fopen(path, "re");
        if (!f || fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                          &user, &system) != 2)
                return 0;
        return (long)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

/* Connections that were queued before the end of file are served, those held end first, and there
 * is nothing to do in between. */
static bool drain_busy(struct play *play, bool with_record)
{
        long before;

        if (!play_connect(play) || !play_listen(play, LISTEN_USEC))
                return false;
        if (play->capacity > 1 && !play_connect(play))
                return false;
        if (!play_drain(play, with_record) || !play_listen(play, LISTEN_USEC))
                return false;

        before = get_cpu_msec(play);
        if (!play_listen(play, LISTEN_USEC))
                return false;
        if (!play->dead && get_cpu_msec(play) - before > RESTING_MSEC)
                return play_breaks(play, "it uses the CPU while it only waits for its connections");
        play_hang_up(play);
        return play_await(play, play_until_all_ended,
                       "it does not serve after the end of file what was queued before, or does not "
                       "say DONE") &&
               ends_well(play);
}

static enum trial_result try_drain(struct play *play)
{
        return result_of(begin(play) && drain_busy(play, false));
}

static enum trial_result try_drain_record(struct play *play)
{
        if (!begin(play))
                return TRIAL_BROKEN;
        if (!(play->taken & RECORD_FEATURE_DRAIN))
                return TRIAL_SKIPPED;
        return result_of(drain_busy(play, true));
}

/* The other end is gone, as after the end of an instance. */
static enum trial_result try_gone(struct play *play)
{
        if (!begin(play))
                return TRIAL_BROKEN;
        play->channel = fd_close(play->channel);
        play->drained = true;
        if (!play_await(play, play_until_dead, "it lives on when the instance is gone"))
                return TRIAL_BROKEN;
        return result_of(
                (play->code == CLD_EXITED && play->status == 0) ||
                play_breaks(play, "it does not exit with status 0 when the instance is gone"));
}

/* It receives the record, and no descriptor. */
static enum trial_result try_limit(struct play *play)
{
        struct rlimit before, limit;
        bool passed;

        if (!begin(play) || !play_listen(play, LISTEN_USEC))
                return TRIAL_BROKEN;
        if (prlimit(play->pid, RLIMIT_NOFILE, NULL, &before) < 0)
                return TRIAL_SKIPPED;

        limit = before;
        limit.rlim_cur = PROCESS_CHANNEL_FD + 1; /* below what it has: none more */
        (void)prlimit(play->pid, RLIMIT_NOFILE, &limit, NULL);
        passed =
                play_connect(play) &&
                play_await(play, play_until_all_ended,
                        "at its limit of descriptors, it does not say DONE or FAILED of a connection "
                        "that came without its descriptor");
        (void)prlimit(play->pid, RLIMIT_NOFILE, &before, NULL);
        return result_of(passed && play_ask(play, RECORD_PING) &&
                         play_await(play, play_until_answered, "it does not answer PING") &&
                         end(play));
}

static enum trial_result try_violation(struct play *play)
{
        if (!begin(play) || !play_tell(play, 99, 0, 0, -1))
                return TRIAL_BROKEN;
        play->drained = true; /* it may close its channel now */
        if (!play_await(
                    play, play_until_dead, "it goes on after a record of a type that there is not"))
                return TRIAL_BROKEN;
        return result_of(
                (play->code == CLD_EXITED && play->status == EX_PROTOCOL_STATUS) ||
                play_breaks(play, "it does not exit with status 76 after a record of a type "
                                  "that there is not"));
}

static enum trial_result try_term(struct play *play)
{
        if (!begin(play))
                return TRIAL_BROKEN;
        process_signal(play->pidfd, SIGTERM);
        play->drained = true;
        return result_of(play_await(play, play_until_dead, "it does not end at SIGTERM"));
}

const struct trial trials[] = {
        { "ready", "says READY first, and nothing that nobody asked for", 0, try_ready },
        { "features", "takes features that were offered", RECORD_FEATURES, try_ready },
        { "questions", "answers PING and LIST", 0, try_questions },
        { "connections", "serves, closes, says DONE", RECORD_FEATURES, try_connections },
        { "connections-plain", "the same without any feature", 0, try_connections },
        { "capacity", "has as many as it said, and answers while it has them", RECORD_FEATURES,
                try_capacity },
        { "drain", "finishes what it has after the end of file, at rest, and exits with 0", 0,
                try_drain },
        { "drain-record", "the same after DRAIN", RECORD_FEATURES, try_drain_record },
        { "gone", "exits when the instance is gone", 0, try_gone },
        { "limit", "says so when a descriptor is lost at its limit", RECORD_FEATURES, try_limit },
        { "violation", "exits with 76 when the protocol is broken", 0, try_violation },
        { "term", "ends at SIGTERM", 0, try_term },
};

const unsigned n_trials = ELEMENTSOF(trials);
