/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reaps what is no worker. Workers and the check of a reload have a pidfd each, and are reaped by
 * whoever holds that; so here a child is looked at before it is reaped.
 */

#include <signal.h>
#include <sys/wait.h>

#include "acceptd/orphans.h"
#include "dispatcher/dispatcher.h"
#include "os/journal.h"

/* After a signal, and again while one of ours lies in front of the others. */
#define LOOK_USEC (100 * USEC_PER_MSEC)

#define REAP_BURST 64

static bool is_ours(const struct orphans *o, pid_t pid)
{
        const struct dispatcher *d = o->reload->dispatcher;

        if (o->reload->pidfd >= 0 && o->reload->pid == pid)
                return true;
        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                if (d->workers[i].pidfd >= 0 && d->workers[i].pid == pid)
                        return true;

        return false;
}

/* Returns true where there may be more of them. */
static bool reap(const struct orphans *o)
{
        for (int i = 0; i < REAP_BURST; i++) {
                siginfo_t info = {};

                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
                        return false;
                if (is_ours(o, info.si_pid))
                        return true;
                (void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
        }

        return true;
}

static int look_later(struct orphans *o)
{
        int r;

        r = sd_event_source_set_time(o->timer, usec_add(usec_now(), LOOK_USEC));
        if (r >= 0)
                r = sd_event_source_set_enabled(o->timer, SD_EVENT_ONESHOT);
        return MIN(r, 0);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        struct orphans *o = userdata;

        return reap(o) ? look_later(o) : 0;
}

static int on_child(sd_event_source *source _unused_, const struct signalfd_siginfo *info _unused_,
        void *userdata)
{
        return look_later(userdata);
}

int orphans_watch(struct orphans *o, struct loop *loop, const struct reload *reload)
{
        int r;

        *o = (struct orphans){ .reload = reload };
        r = loop_add_timer(loop, &o->timer, on_timer, o);
        if (r >= 0)
                r = look_later(o); /* an image before this one may have left some */
        if (r >= 0)
                r = loop_add_signal(loop, SIGCHLD, on_child, o);
        return r < 0 ? log_error_errno(r, "Cannot watch for children: %m") : 0;
}

void orphans_done(struct orphans *o)
{
        o->timer = sd_event_source_disable_unref(o->timer);
}
