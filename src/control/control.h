/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

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

/* For the errors of varlink/message.h. */
void control_fail_simply(struct control_call *call, const char *error, const char *parameter);

/* Hands the caller's socket (non-blocking) to the program that a reload executes; that one answers.
 * Later calls of the same client are still unread in the socket. A oneway call has no answer: its
 * socket is closed, and -1 returned. */
int control_take_fd(struct control_call *call);

/* Takes over such a connection. Returns the call that waits on it, or NULL where there is no place
 * for it; then it is closed. NULL for `control` is fine. */
struct control_call *control_resume(struct control *control, int fd_consume);
