/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/process-end.h"
#include "control/control.h"

/*
 * A reload: this program, perhaps a newer one, checks the settings; then it is executed in place,
 * adopts the workers, and tries the next generation. With the first READY of that the reload has
 * succeeded; until then any failure leaves everything as it was. A trial that hangs ends when it is
 * cancelled, or with the next reload.
 */

/* Exit status of --check where it was given a ledger, and this program can take over from there.
 * Settings that are right are not enough: an earlier version would say 0, and could not. */
#define RELOAD_TAKES_OVER 10

/* How to execute this program again. */
struct reload_image {
        char *path;
        char **argv;
        char **check_argv; /* with --check */
};

struct reload {
        struct dispatcher *dispatcher;
        const struct reload_image *image;
        struct control *control;
        struct control_call *call; /* that waits for the outcome; NULL: none */

        /* The check, while it runs */
        sd_event_source *source;
        sd_event_source *timer;
        bool is_late;       /* the reload has failed, the check has not ended */
        usec_t flush_until; /* the check has ended, and so long what waits may go out; or 0 */
        struct process_end end;
        pid_t pid;
        int pidfd;
        int settings_fd; /* as it read them */
        int output_fd;   /* what it said of them */

        const struct settings *new; /* during a trial: what it is about */
};

#define RELOAD_NULL ((struct reload){ .pidfd = -1, .settings_fd = -1, .output_fd = -1 })

/* Ends the check, too, if it runs. */
void reload_done(struct reload *reload);

/* For struct control_context: `userdata` is a struct reload. `call` may be NULL, for a signal. */
void reload_run(struct control_call *call, void *userdata);

/* The same, for giving up the reload that is under way. */
void reload_cancel(struct control_call *call, void *userdata);

/*
 * Goes on in the program that was executed. `call` is the one that waits, or NULL; `old` and
 * `old_argv` are in force, those of the dispatcher are new. `trouble`: why there will be no trial,
 * or NULL.
 */
void reload_resume(struct reload *reload, struct control_call *call, const struct settings *old,
        char **old_argv, const char *trouble);

/* The trial is over: the first worker of the new generation is ready, or it is known why there will
 * be none. */
void reload_passed(struct reload *reload);
void reload_failed(struct reload *reload, const char *why);
