/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the rest of a pool (policy/pool-rest.c) has to ask the sockets, and what is told of it. It
 * must not know of workers.
 *
 * The service manager is told that the service stops only when nothing is left to do but to exit:
 * there is no way back from that. Who comes later still is in the backlog of a socket that the
 * service manager has, too. It looks there when the service has ended, and starts it again.
 */

#include "dispatcher/rest.h"
#include "os/journal.h"

static bool somebody_waits(const struct rest *r)
{
        return listener_any_waits(r->listeners, r->n_listeners);
}

void rest_begin(struct rest *r)
{
        if (somebody_waits(r))
                pool_rouse(r->pool);
        else
                pool_rest(r->pool, usec_now());
}

bool rest_end(struct rest *r)
{
        char time[USEC_FORMAT_SIZE];

        if (somebody_waits(r)) {
                pool_rouse(r->pool);
                return false;
        }

        journal_event(MESSAGE_EXITS_IDLE,
                JOURNAL_FIELDS(
                        JOURNAL_NUMBER("ACCEPTD_IDLE_USEC", r->pool->settings->exit_idle_time)),
                "There was no connection for %s (ExitIdleTimeSec=). The service ends; the next "
                "connection starts it again.",
                usec_format(r->pool->settings->exit_idle_time, time));
        pool_stop(r->pool, usec_now());
        health_stopping(r->health);
        return true;
}
