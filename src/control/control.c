/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The server behind io.acceptd.Pool: clients, their calls and answers. It must not know what a call
 * does.
 *
 * Nothing here may harm the way of connections. A wake-up is one message of one client, in turn
 * with the listeners, so it is answered while they are busy and does not stop them however much it
 * is asked. What fails ends the client, at worst the control socket, never the dispatcher.
 */

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "control/control.h"
#include "control/peer.h"
#include "os/journal.h"
#include "os/store.h"
#include "varlink/interfaces.h"
#include "varlink/message.h"
#include "varlink/stream.h"

/* More wait in the backlog. Their descriptors are a part of FDS_OWN in start.c. */
#define CLIENTS_MAX 8

/* A client has this long for a call, from its first to its last byte and to the last of the answer;
 * and for the next one. */
#define CLIENT_USEC (3 * USEC_PER_SEC)

/* Of these, such as get replies for as long as they like. The others are for short calls. */
#define SERIES_MAX 4

/* Without a descriptor for a client, the next try. */
#define EXHAUSTED_USEC USEC_PER_SEC

struct control_call {
        struct control *control;
        struct varlink_stream stream; /* fd is -1: this place is free */
        sd_event_source *source;
        sd_event_source *timer;
        bool waits;                   /* for the answer; nothing is read until then */
        bool oneway;                  /* the answer is for nobody */
        bool may_steer;               /* it is root */
        struct control_series series; /* `next` is NULL: it has none */
};

struct control {
        struct control_context context;
        int fd;
        int spare_fd; /* looking is most wanted when there are no descriptors left */
        sd_event_source *source;
        sd_event_source *timer;
        struct control_call clients[CLIENTS_MAX];
};

static struct control_call *find_free(struct control *c)
{
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (c->clients[i].stream.fd < 0)
                        return &c->clients[i];

        return NULL;
}

static void listen_on(struct control *c)
{
        if (c->spare_fd < 0)
                c->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        (void)sd_event_source_set_enabled(c->source, SD_EVENT_ON);
}

/* --- Clients --- */

static void end_series(struct control_call *client)
{
        json_decref(client->series.parameters);
        json_decref(client->series.waiting);
        client->series = (struct control_series){};
}

static int leave(struct control_call *client)
{
        struct control *c = client->control;
        int fd;

        client->source = sd_event_source_disable_unref(client->source);
        client->timer = sd_event_source_disable_unref(client->timer);
        fd = varlink_stream_take_fd(&client->stream);
        client->waits = client->oneway = client->may_steer = false;
        end_series(client);
        if (c->source)
                listen_on(c);

        return fd;
}

static void close_client(struct control_call *client)
{
        /* first, so that there is a spare one again */
        fd_close(client->stream.fd);
        client->stream.fd = -1;
        (void)leave(client);
}

/* Waits for what the client does next. Returns 0 or -errno. */
static int expect(struct control_call *client, uint32_t events)
{
        int r;

        /* While a call waits, not even for the client's end: whoever has the call answers it. */
        r = sd_event_source_set_enabled(client->source, client->waits ? SD_EVENT_OFF : SD_EVENT_ON);
        if (r < 0 || client->waits)
                return r;

        return sd_event_source_set_io_events(client->source, events);
}

static int start_timer(struct control_call *client)
{
        int r;

        r = sd_event_source_set_time(client->timer, usec_add(usec_now(), CLIENT_USEC));
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT);
}

/* The next reply of a series is made when its time has come, in turn with everything else; until
 * then the client's end is all that is waited for. */
static int wait_for_next(struct control_call *client)
{
        usec_t pause = client->series.pause;
        int r = 0;

        if (pause > 0 && pause != USEC_INFINITY)
                r = sd_event_source_set_time(client->timer, usec_add(usec_now(), pause));
        if (r >= 0)
                r = sd_event_source_set_enabled(client->timer,
                        pause > 0 && pause != USEC_INFINITY ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (r < 0)
                return r;

        return expect(client, pause == 0 || client->series.waiting ? EPOLLOUT : 0);
}

/* An answer was sent, or a piece of it. */
static void on_sent(struct control_call *client, int r)
{
        if (r == 0 && client->series.next)
                r = wait_for_next(client);
        else if (r == 0) {
                r = start_timer(client);
                if (r >= 0)
                        r = expect(client, EPOLLIN);
        } else if (r == VARLINK_WAIT)
                r = expect(client, EPOLLOUT);
        if (r != 0)
                close_client(client);
}

static void send_message(struct control_call *call, json_t *message_consume)
{
        json_auto_t *message = message_consume;
        int r;

        call->waits = false;
        r = message ? start_timer(call) : -ENOMEM;
        if (r >= 0 && !call->oneway)
                r = varlink_stream_send(&call->stream, message);
        on_sent(call, r);
}

static void answer(struct control_call *call, json_t *message_consume)
{
        end_series(call);
        send_message(call, message_consume);
}

void control_reply(struct control_call *call, json_t *parameters_consume)
{
        answer(call, varlink_make_reply(parameters_consume));
}

void control_fail(struct control_call *call, const char *error, json_t *parameters_consume)
{
        answer(call, varlink_make_error(error, parameters_consume));
}

void control_fail_simply(struct control_call *call, const char *error, const char *parameter)
{
        answer(call, varlink_make_simple_error(error, parameter));
}

bool control_may_steer(const struct control_call *call)
{
        return call->may_steer;
}

static bool has_too_many(const struct control *c)
{
        size_t n = 0;

        for (size_t i = 0; i < CLIENTS_MAX; i++)
                n += c->clients[i].series.next != NULL;

        return n >= SERIES_MAX;
}

void control_start_series(
        struct control_call *call, const struct control_series *series, json_t *parameters)
{
        if (has_too_many(call->control)) {
                control_fail(call, VARLINK_BUSY, json_object());
                return;
        }

        call->series = *series;
        call->series.parameters = json_incref(parameters);
        call->series.next(&call->control->context, call);
}

struct control_series *control_get_series(struct control_call *call)
{
        return call->series.next ? &call->series : NULL;
}

void control_continue(struct control_call *call, json_t *parameters_consume)
{
        send_message(call, varlink_make_continued(parameters_consume));
}

void control_wake(struct control_call *call)
{
        if (!varlink_stream_has_output(&call->stream) && !call->waits && expect(call, EPOLLOUT) < 0)
                close_client(call);
}

void control_for_each(struct control *c,
        void (*next)(const struct control_context *context, struct control_call *call),
        void (*visit)(struct control_call *call, void *userdata), void *userdata)
{
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (c->clients[i].series.next == next)
                        visit(&c->clients[i], userdata);
}

int control_take_fd(struct control_call *call)
{
        if (call->oneway) {
                close_client(call);
                return -1;
        }

        return leave(call);
}

/* --- What happens --- */

/* Reads a call, or a piece of it, and has it answered. */
static void receive(struct control_call *client)
{
        struct control *c = client->control;
        json_auto_t *message = NULL;
        struct varlink_call call;
        const char *wrong;
        bool good;
        int r;

        r = varlink_stream_receive(&client->stream, &message);
        if (r == VARLINK_WAIT)
                return;
        if (r == 0) {
                client->waits = true;
                r = expect(client, 0);
        }
        if (r != 0) {
                close_client(client);
                return;
        }

        (void)sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
        good = varlink_call_parse(message, &call, &wrong);
        client->oneway = call.oneway;
        if (good)
                c->context.run(&c->context, client, &call);
        else
                control_fail_simply(client, VARLINK_INVALID_PARAMETER, wrong);
}

static void go_on(struct control_call *client)
{
        (void)sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
        client->series.next(&client->control->context, client);
}

static int on_client(sd_event_source *source, int fd _unused_, uint32_t revents, void *userdata)
{
        struct control_call *client = userdata;

        (void)loop_go_to_the_end(client->control->context.loop, source);

        if (varlink_stream_has_output(&client->stream))
                on_sent(client, varlink_stream_flush(&client->stream));
        else if (!client->series.next)
                receive(client);
        else if (revents & (EPOLLHUP | EPOLLERR))
                close_client(client);
        else
                go_on(client);

        return 0;
}

/* It is late with a call or with reading its answer; or the time for the next reply has come. */
static int on_client_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct control_call *client = userdata;

        if (client->series.next && !varlink_stream_has_output(&client->stream))
                go_on(client);
        else
                close_client(client);

        return 0;
}

static int watch(struct control *c, struct control_call *client)
{
        sd_event *event = c->context.loop->event;
        int r;

        r = sd_event_add_io(event, &client->source, client->stream.fd, EPOLLIN, on_client, client);
        if (r < 0)
                return r;
        r = loop_go_to_the_end(c->context.loop, client->source);
        if (r < 0)
                return r;
        r = sd_event_add_time(
                event, &client->timer, CLOCK_MONOTONIC, USEC_INFINITY, 0, on_client_timer, client);
        if (r < 0)
                return r;

        return start_timer(client);
}

static int on_socket(
        sd_event_source *source, int fd _unused_, uint32_t revents _unused_, void *userdata)
{
        struct control *c = userdata;
        struct control_call *client = find_free(c);
        _cleanup_(fd_closep) int peer = -1;
        enum peer_right right;

        (void)loop_go_to_the_end(c->context.loop, source);
        if (!client) {
                (void)sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
                return 0;
        }

        peer = peer_accept(c->fd, &c->spare_fd, &right);
        if (peer == -EAGAIN || peer == -EINTR || peer == -ECONNABORTED)
                return 0;
        if (peer < 0) {
                (void)sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
                (void)sd_event_source_set_time(c->timer, usec_add(usec_now(), EXHAUSTED_USEC));
                (void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
                return 0;
        }

        if (right == PEER_STRANGER) {
                peer = fd_close(peer);
                listen_on(c);
                return 0;
        }
        varlink_stream_init(&client->stream, TAKE_FD(peer), VARLINK_CALL_MAX);
        client->may_steer = right == PEER_STEERS;
        if (watch(c, client) < 0)
                close_client(client);

        return 0;
}

struct control_call *control_resume(struct control *c, int fd_consume)
{
        struct control_call *client = c ? find_free(c) : NULL;

        if (!client) {
                fd_close(fd_consume);
                return NULL;
        }

        varlink_stream_init(&client->stream, fd_consume, VARLINK_CALL_MAX);
        client->may_steer = true; /* it asked for a reload */
        client->waits = true;
        if (watch(c, client) < 0 || expect(client, 0) < 0) {
                close_client(client);
                return NULL;
        }

        (void)sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
        return client;
}

int control_get_fd(const struct control *c)
{
        return c->fd;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        listen_on(userdata);
        return 0;
}

/* --- Opening and closing --- */

static int set_up(struct control *c)
{
        sd_event *event = c->context.loop->event;
        int r;

        r = fd_set_nonblock(c->fd);
        if (r < 0)
                return r;

        r = sd_event_add_io(event, &c->source, c->fd, EPOLLIN, on_socket, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(c->source, PRIORITY_LISTENER);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, USEC_INFINITY, 0, on_timer, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        listen_on(c);
        return 0;
}

struct control *control_open(const struct control_context *context, int fd_consume)
{
        _cleanup_(fd_closep) int fd = fd_consume;
        struct control *c;
        int r = -ENOMEM;

        if (fd < 0)
                return NULL;
        if (sd_is_socket_unix(fd, SOCK_STREAM, true, NULL, 0) <= 0) {
                journal_event(MESSAGE_GOES_ON_WITHOUT, NULL,
                        "Descriptor %d (\"" STORE_CONTROL "\") is not a listening UNIX stream "
                        "socket; acceptctl does not reach this instance.",
                        fd);
                return NULL;
        }

        c = calloc(1, sizeof(*c));
        if (c) {
                *c = (struct control){
                        .context = *context,
                        .fd = TAKE_FD(fd),
                        .spare_fd = -1,
                };
                for (size_t i = 0; i < CLIENTS_MAX; i++)
                        c->clients[i] = (struct control_call){
                                .control = c,
                                .stream = VARLINK_STREAM_NULL,
                        };
                r = set_up(c);
        }
        if (r >= 0)
                return c;

        (void)journal_event_errno(MESSAGE_GOES_ON_WITHOUT, r,
                "The control socket cannot be used: %m. acceptctl does not reach this instance.");
        control_close(c);
        return NULL;
}

void control_close(struct control *c)
{
        if (!c)
                return;

        c->source = sd_event_source_disable_unref(c->source);
        c->timer = sd_event_source_disable_unref(c->timer);
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (c->clients[i].stream.fd >= 0)
                        close_client(&c->clients[i]);
        c->fd = fd_close(c->fd);
        c->spare_fd = fd_close(c->spare_fd);
        free(c);
}
