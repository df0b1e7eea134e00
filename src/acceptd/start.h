/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "os/inheritance.h"
#include "takeover/reload.h"

/*
 * From settings to serving: sockets, limits, signals, the dispatcher.
 */

/* All of it is lent. */
struct start {
        const struct settings *settings;
        const char *instance;
        const struct reload_image *image;
        struct inheritance *inheritance;
        const char *listen_pid; /* for whom sockets were passed, or NULL */

        /* After a reload */
        const struct settings *old; /* in force, while the others are tried; NULL: no trial */
        const char *trouble;        /* why there is none */
};

/* Serves until it is told to stop. Returns the exit status. New settings for which there is no room
 * are exchanged for the old ones. */
int start_serving(struct start *start);

/* Says what cannot work (`message`, or else the error -errno), also for `systemctl status`. Returns
 * the exit status for it: EX_CONFIG, after which the service manager starts it no more, only where
 * that is settings or sockets. What is scarce now may be there at the next start. */
int start_refuse(const char *message, int error);
