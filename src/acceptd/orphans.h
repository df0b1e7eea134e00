/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "takeover/reload.h"

/*
 * Children that are no workers. Where this process is number 1, as in a container, or a subreaper,
 * it gets what workers leave behind, and nobody else can reap that.
 */

struct orphans {
        const struct reload *reload; /* knows the check, and the dispatcher its workers */
        sd_event_source *timer;
};

/* Returns 0 or -errno. */
int orphans_watch(struct orphans *o, struct loop *loop, const struct reload *reload);
void orphans_done(struct orphans *o);
