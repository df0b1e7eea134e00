/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a program may ask its worker. Changes nothing.
 */

#include "libacceptd/acceptd.h"
#include "libacceptd/explain.h"
#include "libacceptd/worker-inside.h"

const char *acceptd_version(void)
{
        return ACCEPTD_VERSION;
}

int acceptd_worker_get_fd(const struct acceptd_worker *worker)
{
        return worker->waker.epoll;
}

int acceptd_worker_is_finished(const struct acceptd_worker *worker)
{
        return __atomic_load_n(&worker->finished, __ATOMIC_ACQUIRE);
}

unsigned acceptd_worker_get_drain(struct acceptd_worker *worker, uint64_t *ret_deadline_us)
{
        unsigned reason;

        *ret_deadline_us = 0;
        if (worker_enter(worker) < 0)
                return ACCEPTD_DRAIN_UNKNOWN;

        *ret_deadline_us = worker->drain_deadline;
        reason = worker->drain_reason;
        (void)worker_leave(worker, 0);
        return reason;
}

unsigned acceptd_worker_get_n_held(struct acceptd_worker *worker)
{
        unsigned n;

        if (worker_enter(worker) < 0)
                return 0;

        n = worker->held.n_held;
        (void)worker_leave(worker, 0);
        return n;
}

uint64_t acceptd_worker_get_n_fd_lost(struct acceptd_worker *worker)
{
        uint64_t n;

        if (worker_enter(worker) < 0)
                return 0;

        n = worker->n_fd_lost;
        (void)worker_leave(worker, 0);
        return n;
}

uint64_t acceptd_worker_get_number(const struct acceptd_worker *worker)
{
        return worker->number;
}

const char *acceptd_worker_get_instance(const struct acceptd_worker *worker)
{
        return worker->instance;
}

unsigned acceptd_worker_get_n_listeners(const struct acceptd_worker *worker)
{
        return worker->n_names;
}

const char *acceptd_worker_get_listener_name(const struct acceptd_worker *worker, unsigned listener)
{
        const char *name = worker->names;

        if (listener >= worker->n_names)
                return NULL;

        for (; listener > 0; listener--)
                name += strlen(name) + 1;

        return name;
}

const char *acceptd_worker_explain(const struct acceptd_worker *worker, int error)
{
        if (worker && error == -EPROTO && worker->violation)
                return worker->violation;
        if (worker && error == -EINVAL && worker->mistake)
                return worker->mistake;
        if (worker && error == -EBADF)
                return "this program has closed the channel, or what acceptd_worker_get_fd() "
                       "returned: both are the library's";

        return explain_error(error);
}
