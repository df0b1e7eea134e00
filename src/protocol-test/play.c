/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The dispatcher's part for one worker, and its judgement. It knows no trials.
 */

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/process.h"
#include "protocol-test/play.h"
#include "wire/finished.h"
#include "wire/wire.h"

#define READYS_PER_SEC 10

/* From the end of its channel until a process is dead. */
#define DEATH_MSEC 1000

bool play_until_ready(const struct play *play)
{
        return play->ready;
}

bool play_until_answered(const struct play *play)
{
        return !play->asked;
}

bool play_until_all_ended(const struct play *play)
{
        return play->n_ended == play->n_connections;
}

bool play_until_dead(const struct play *play)
{
        return play->dead;
}

bool play_until_never(const struct play *play _unused_)
{
        return false;
}

bool play_breaks(struct play *play, const char *format, ...)
{
        va_list ap;

        if (play->why[0] != '\0')
                return false;
        va_start(ap, format);
        (void)vsnprintf(play->why, sizeof(play->why), format, ap);
        va_end(ap);
        return false;
}

/* --- Begin and end --- */

int play_start(struct play *play, char **argv, uint32_t features, usec_t timeout)
{
        struct process_template template;
        int pair[2], r;

        *play = (struct play){ .pidfd = -1, .channel = -1, .timeout = timeout };
        play->offered = features;
        play->next_id = UINT64_C(1) << 40; /* ids need all of their bits */
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;

        play->channel = pair[0];
        r = process_template_init(&template, argv, "protocol-test", "test", features);
        if (r >= 0) {
                r = process_spawn(&template, 1, pair[1], &play->pid, &play->pidfd);
                process_template_done(&template);
        }
        fd_close(pair[1]);
        return r;
}

void play_end(struct play *play)
{
        for (unsigned i = 0; i < play->n_connections; i++)
                fd_close(play->connections[i].client);
        if (play->pidfd >= 0) {
                process_signal(play->pidfd, SIGKILL);
                if (!play->dead)
                        (void)process_reap(play->pid, play->pidfd); /* and ends its group */
                fd_close(play->pidfd);
        }
        if (play->finished)
                (void)munmap(play->finished, sizeof(struct finished));
        fd_close(play->channel);
}

/* --- What it says --- */

static struct play_connection *find(struct play *play, uint64_t id)
{
        for (unsigned i = 0; i < play->n_connections; i++)
                if (play->connections[i].id == id)
                        return &play->connections[i];

        return NULL;
}

static bool hear_ready(struct play *play, const struct record *record)
{
        usec_t now = usec_now();

        if (now - play->readys_since >= USEC_PER_SEC) {
                play->readys_since = now;
                play->n_readys = 0;
        }
        if (++play->n_readys > READYS_PER_SEC)
                return play_breaks(play, "it says READY more than 10 times in a second");
        if (!play->ready && record->value == 0)
                return play_breaks(play, "its first READY has the capacity 0");
        if ((record->id & ~play->offered) != 0)
                return play_breaks(play, "its READY names features that were not offered");
        if (play->ready && record->id != play->taken)
                return play_breaks(play, "its READY names other features than its first one");

        play->ready = true;
        play->taken = record->id;
        play->capacity = record->value;
        return true;
}

/* Whether the client sees the end of its connection. */
static bool is_closed(struct play_connection *c)
{
        char buffer[4096];
        ssize_t n;

        if (c->client < 0)
                return true;
        while ((n = recv(c->client, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
                ;
        return n == 0 || errno != EAGAIN;
}

static bool is_noted(const struct finished *finished, uint64_t id)
{
        for (size_t i = 0; i < FINISHED_MAX; i++)
                if (__atomic_load_n(&finished->ids[i], __ATOMIC_RELAXED) == id)
                        return true;

        return false;
}

static bool hear_end(struct play *play, const struct record *record)
{
        const char *what = record->type == RECORD_DONE ? "DONE" : "FAILED";
        struct play_connection *c = find(play, record->id);

        if (record->type == RECORD_FAILED && !(play->taken & RECORD_FEATURE_FAILED))
                return play_breaks(play, "it says FAILED, a feature that it did not take");
        if (!c)
                return play_breaks(play, "it says %s for a connection that it never had", what);
        if (c->ended)
                return play_breaks(play, "it says %s for a connection that had ended", what);

        c->ended = true;
        play->n_ended++;
        play->n_failed += record->type == RECORD_FAILED;
        if (!is_closed(c))
                return play_breaks(play,
                        "it says %s before it has closed the connection, or a copy of that is still "
                        "open: clients would wait for the end",
                        what);
        if (record->type == RECORD_DONE && play->finished && !is_noted(play->finished, record->id))
                return play_breaks(
                        play, "it says DONE of what it has not noted (feature FINISHED)");
        return true;
}

static bool hear_answer(struct play *play, const struct record *record)
{
        struct play_connection *c;

        if (!play->asked)
                return play_breaks(play, "it says %s, which nobody asked for",
                        record->type == RECORD_PONG ? "PONG" : "HELD");
        if (record->type == RECORD_HELD) {
                c = find(play, record->id);
                if (!play->asked_list)
                        return play_breaks(play, "it answers PING with HELD");
                if (!c || c->ended)
                        return play_breaks(
                                play, "it says HELD for a connection that it does not have");
                c->listed = true;
                return true;
        }

        if (record->value != play->question)
                return play_breaks(play, "its PONG has not the value of the question");
        play->asked = false;
        return true;
}

static bool hear_record(struct play *play, const struct record *record)
{
        if (record->type != RECORD_READY && record->type != RECORD_NOT_STARTED && !play->ready)
                return play_breaks(play, "it says something before READY");

        switch (record->type) {
        case RECORD_READY:
                return hear_ready(play, record);
        case RECORD_DONE:
        case RECORD_FAILED:
                return hear_end(play, record);
        case RECORD_NOT_STARTED:
                return play_breaks(
                        play, "it says that it cannot start: %s", strerror((int)record->value));
        default:
                return hear_answer(play, record);
        }
}

/* Returns 1 if something was heard, 0 for nothing, -1 for the end of the channel. */
static int hear(struct play *play)
{
        struct wire_batch batch = {};
        int r = wire_receive_batch(play->channel, &batch);

        switch (r) {
        case 0:
                for (size_t i = 0; i < batch.n_records && play->why[0] == '\0'; i++)
                        (void)hear_record(play, &batch.records[i]);
                return 1;
        case WIRE_MALFORMED:
                (void)play_breaks(play, "it sends a datagram that is no record: %s", batch.why);
                return 1;
        case WIRE_END:
                return -1;
        default:
                return 0;
        }
}

/* Returns whether it has died, which comes after the end of its channel. */
static bool has_died(const struct play *play)
{
        struct pollfd pollfd = { .fd = play->pidfd, .events = POLLIN };

        return poll(&pollfd, 1, DEATH_MSEC) == 1;
}

/* An end of file and an empty datagram look the same, but that the first stays. */
static void on_channel_end(struct play *play)
{
        struct pollfd pollfd = { .fd = play->channel, .events = POLLRDHUP };

        if (poll(&pollfd, 1, 0) == 1 && pollfd.revents & (POLLRDHUP | POLLHUP)) {
                if (!has_died(play))
                        (void)play_breaks(play,
                                "it shuts its channel down, or closes it, before the "
                                "end of file came");
        } else
                (void)play_breaks(play, "it sends an empty datagram");
}

static void on_death(struct play *play)
{
        siginfo_t info = {};

        if (waitid(P_PID, (id_t)play->pid, &info, WEXITED) < 0)
                return;
        play->dead = true;
        play->left = kill(-play->pid, SIGKILL) == 0; /* its group: nothing outlives a trial */
        play->code = info.si_code;
        play->status = info.si_status;
}

/* One step, until `deadline`. Returns false when the time is over. */
static bool step(struct play *play, usec_t deadline)
{
        struct pollfd fds[] = {
                { .fd = play->dead || play->drained ? -1 : play->channel, .events = POLLIN },
                { .fd = play->dead ? -1 : play->pidfd, .events = POLLIN },
        };
        usec_t now = usec_now();
        int n = -1;

        if (now >= deadline)
                return false;
        /* a channel that is shut down is readable for good */
        if (play->drained)
                while (hear(play) > 0)
                        ;
        if (play->drained && !play->dead)
                (void)poll(fds + 1, 1, 5);
        else
                (void)poll(fds, 2, (int)((deadline - now) / USEC_PER_MSEC) + 1);

        if (!play->drained || fds[1].revents)
                while ((n = hear(play)) > 0)
                        ;
        if (fds[1].revents)
                on_death(play);
        else if (n < 0 && !play->drained && fds[0].revents)
                on_channel_end(play);
        return true;
}

/* What its end means where it was not to end. */
static bool ends(struct play *play)
{
        const struct process_end end = { .code = play->code, .status = play->status };
        char words[PROCESS_END_MAX];

        process_end_format(&end, words);
        return play_breaks(play, "it %s%s", words,
                play->n_ended < play->n_connections ? " while it has connections" : "");
}

bool play_await(struct play *play, play_until_t *until, const char *late)
{
        usec_t deadline = usec_add(usec_now(), play->timeout);

        while (play->why[0] == '\0' && !until(play)) {
                if (play->dead)
                        return ends(play);
                if (!step(play, deadline))
                        return play_breaks(play, "%s", late);
        }

        return play->why[0] == '\0';
}

bool play_listen(struct play *play, usec_t time)
{
        usec_t deadline = usec_add(usec_now(), time);

        while (play->why[0] == '\0' && !play->dead && step(play, deadline))
                ;
        if (play->dead && !play->drained)
                return ends(play);
        return play->why[0] == '\0';
}

/* --- What it is told --- */

bool play_tell(struct play *play, uint8_t type, uint32_t value, uint64_t id, int fd)
{
        const struct record record = {
                .version = RECORD_VERSION,
                .type = type,
                .value = value,
                .id = id,
        };

        switch (wire_send(play->channel, &record, fd)) {
        case 0:
                return true;
        case WIRE_FULL:
                return play_breaks(play, "it leaves what it is sent in its channel, which is full");
        default:
                return play_breaks(play, "it has closed its channel, or shut it down for reading");
        }
}

bool play_ask(struct play *play, uint8_t type)
{
        play->asked = true;
        play->asked_list = type == RECORD_LIST;
        play->question = (uint32_t)usec_now() | 1U;
        for (unsigned i = 0; i < play->n_connections; i++)
                play->connections[i].listed = false;
        return play_tell(play, type, play->question, 0, -1);
}

bool play_connect(struct play *play)
{
        struct play_connection *c = &play->connections[play->n_connections];
        _cleanup_(fd_closep) int worker = -1;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return play_breaks(play, "(no socketpair here: %s)", strerror(errno));

        worker = pair[1];
        *c = (struct play_connection){ .id = play->next_id++, .client = pair[0] };
        play->n_connections++;
        return play_tell(play, RECORD_CONNECTION, (uint32_t)usec_now(), c->id, worker);
}

void play_say(struct play *play, unsigned i, const char *text)
{
        (void)send(play->connections[i].client, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void play_hang_up(struct play *play)
{
        for (unsigned i = 0; i < play->n_connections; i++)
                (void)shutdown(play->connections[i].client, SHUT_WR);
}

bool play_share_finished(struct play *play)
{
        _cleanup_(fd_closep) int fd = memfd_create("acceptd-finished", MFD_CLOEXEC);

        if (fd < 0 || ftruncate(fd, sizeof(struct finished)) < 0)
                return play_breaks(play, "(no memory to share here: %s)", strerror(errno));

        play->finished =
                mmap(NULL, sizeof(struct finished), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (play->finished == MAP_FAILED) {
                play->finished = NULL;
                return play_breaks(play, "(no memory to share here: %s)", strerror(errno));
        }
        return play_tell(play, RECORD_FINISHED, 0, 0, fd);
}

bool play_drain(struct play *play, bool with_record)
{
        if (with_record && !play_tell(play, RECORD_DRAIN, RECORD_DRAIN_RELOAD, 0, -1))
                return false;

        play->drained = true;
        (void)shutdown(play->channel, SHUT_WR);
        return true;
}
