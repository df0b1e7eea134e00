/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/control.h"

/*
 * Reload(): the settings are read again, and those that need no new worker are put in force.
 */

struct reload {
        struct dispatcher *dispatcher;
        struct settings *settings; /* in force */

        /* Reads them as at the start, resolved and checked, into `ret`, which is settings_init()ed.
         * Returns as settings_file_read(). */
        int (*read)(struct settings *ret, const void *userdata, char **ret_message);
        const void *userdata;
};

/* For struct control_context: `userdata` is a struct reload. */
void reload_run(struct control_call *call, void *userdata);
