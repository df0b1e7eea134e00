/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "base/time.h"
#include "os/loop.h"
#include "varlink/message.h"

/*
 * The Varlink socket of a running instance, for acceptctl(1) and varlinkctl(1). The service manager
 * listens on it (acceptd-control@.socket). The interface is src/varlink/interfaces.c.
 */

struct control;
struct dispatcher;

/*
 * A call that waits for its answer. The one who has it gives exactly one answer, now or at any
 * later time: control_reply(), control_fail() or control_take_fd(); then it is gone. A caller that
 * went away meanwhile changes nothing about that.
 */
struct control_call;

struct control_context;

/*
 * Replies that follow one another, for a caller that said `more`. While there is one, `next` is
 * called for each, when the reply before was sent and `pause` has passed; it gives one with
 * control_continue(), or a last one as any other call.
 */
struct control_series {
        void (*next)(const struct control_context *context, struct control_call *call);
        usec_t pause;       /* USEC_INFINITY: until control_wake() */
        json_t *parameters; /* of the call; a reference, or NULL */
        json_t *waiting;    /* what `next` will send, or NULL: for the method to fill */
        uint64_t position;  /* how far it is; the method's, too */
};

/* All of it is lent. */
struct control_context {
        struct loop *loop;

        /* Does what a call asks for, and answers it. */
        void (*run)(const struct control_context *context, struct control_call *call,
                const struct varlink_call *what);

        /* What the methods are about */
        struct dispatcher *dispatcher;
        const char *instance;
        void (*reload)(struct control_call *call, void *userdata);
        void (*cancel_reload)(struct control_call *call, void *userdata);
        void *userdata; /* of both */
};

/*
 * Answers on `fd_consume`, a listening socket. Returns NULL where that is -1, or where it does not
 * do, after a log line: without it the instance serves all the same.
 */
struct control *control_open(const struct control_context *context, int fd_consume);

/* Returns the socket, lent, for the next image of this program, or -1. */
int control_get_fd(const struct control *control);

/* Closes it, and calls that were not answered. NULL is fine. */
void control_close(struct control *control);

/* `parameters_consume` is NULL when there was no memory for them: the caller sees end of file. */
void control_reply(struct control_call *call, json_t *parameters_consume);
void control_fail(struct control_call *call, const char *error, json_t *parameters_consume);

/* True where the caller may change something, and not only look. */
bool control_may_steer(const struct control_call *call);

/* Begins such replies with the first, at once. Where too many callers have some already, that is
 * its answer. */
void control_start_series(
        struct control_call *call, const struct control_series *series, json_t *parameters);

/* Returns that of a call, or NULL where it has none. */
struct control_series *control_get_series(struct control_call *call);

/* A reply, and others will come. NULL as for control_reply(). */
void control_continue(struct control_call *call, json_t *parameters_consume);

/* `next` is to be called, as soon as the reply before it was sent. */
void control_wake(struct control_call *call);

/* Calls `visit` for each call that has replies by this function. */
void control_for_each(struct control *control,
        void (*next)(const struct control_context *context, struct control_call *call),
        void (*visit)(struct control_call *call, void *userdata), void *userdata);

/* For the errors of varlink/message.h. */
void control_fail_simply(struct control_call *call, const char *error, const char *parameter);

/* Hands the caller's socket (non-blocking) to the program that a reload executes; that one answers.
 * Later calls of the same client are still unread in the socket. A oneway call has no answer: its
 * socket is closed, and -1 returned. */
int control_take_fd(struct control_call *call);

/* Takes over such a connection. Returns the call that waits on it, or NULL where there is no place
 * for it; then it is closed. NULL for `control` is fine. */
struct control_call *control_resume(struct control *control, int fd_consume);
