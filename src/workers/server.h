/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/time.h"
#include "workers/notify-socket.h"
#include "workers/program.h"

/*
 * The one program behind acceptd-listen: a server that accepts by itself.
 */

/* The listening sockets are this descriptor and those that follow, as the dispatcher passes them.
 */
#define SERVER_FIRST_LISTENER 4

#define SERVER_STATUS_MAX 200 /* bytes of STATUS= that are shown */

/* What the guard ends with this process: the program's process group, and that of the main process
 * that it has named. */
enum { SERVER_GROUP, SERVER_GROUP_OF_SUCCESSOR, SERVER_GROUPS };

struct server_options {
        char **command;
        int drain_signal;
        usec_t ready_after; /* USEC_INFINITY: only the program's READY=1 counts */
        usec_t watchdog;    /* USEC_INFINITY: none */
        bool on_stdin;      /* one listening socket, as descriptor 0 */
};

struct server {
        struct server_options options;
        int notify_fd;
        pid_t pid; /* the main process */
        int pidfd; /* of it */
        struct guard guard;
        bool ready;
        bool leaving; /* it was asked to end, or said that it does */
        bool hung;
        bool ended;
        int asked; /* the last signal with which it was asked to end, or 0 */
        int end;   /* as from waitpid(2), when it has ended */
        usec_t ready_at, watchdog_at, kill_at; /* USEC_INFINITY: not now */
        usec_t watchdog;                       /* at most between two WATCHDOG=1 */

        char status[SERVER_STATUS_MAX]; /* the last STATUS=, printable */
        bool status_told;
        usec_t status_at; /* when the next one may be told */
        uint64_t told;    /* what was said once: one bit each, in server-notify.c */
};

/* Starts it with the listening sockets, which are no longer open here afterwards. Says on stderr
 * what is wrong. Returns 0, or the status to exit with. */
int server_start(struct server *server, const struct server_options *options);

/* Hears what the program says. Returns 0 or -errno. */
int server_hear(struct server *server);

/* It is up: its watchdog counts from now on. */
void server_become_ready(struct server *server);

/* It has shown that it lives, or has asked for a time `more` in which it need not. */
void server_feed_watchdog(struct server *server, usec_t more);

/* Asks it to end. */
void server_ask_to_end(struct server *server, int signal);

/* Ends it as one that does not answer; `why` follows its name. */
void server_hang(struct server *server, const char *why);

/* Reaps what has ended, and takes note of it where it is the main process. Returns 0 or -errno. */
int server_reap(struct server *server);

/* When server_on_time() is to be called next. */
usec_t server_get_deadline(const struct server *server);
void server_on_time(struct server *server, usec_t now);

/* After its end: ends what it has left behind, says how it ended where nobody asked for it, and
 * returns the status to exit with. Does not return where it was ended by a signal: this process
 * then ends by the same. */
int server_finish(struct server *server);

/* Ends what there is of it. */
void server_end(struct server *server);

/* One line on stderr. */
void server_say(const char *format, ...) _printf_(1, 2);
