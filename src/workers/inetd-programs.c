/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A table of running programs. It must not know of channels, nor what is said of an end.
 *
 * A process is found by looking at all places: a start costs more than to look at 10,000 of them.
 */

#include <assert.h>
#include <signal.h>

#include "workers/inetd-programs.h"

int inetd_programs_init(
        struct inetd_programs *p, unsigned capacity, usec_t runtime_max, usec_t stop_timeout)
{
        *p = (struct inetd_programs){
                .runtime_max = runtime_max,
                .stop_timeout = stop_timeout,
                .next = USEC_INFINITY,
        };

        p->places = calloc(capacity, sizeof(*p->places));
        if (!p->places)
                return -ENOMEM;

        return guard_init(&p->guard, capacity);
}

void inetd_programs_done(struct inetd_programs *p)
{
        bool any = false;

        for (unsigned i = 0; i < p->n_touched; i++)
                any |= p->guard.groups[i] > 0;
        if (!any) /* else this process ends now, and the guard has work */
                guard_done(&p->guard);
        free(TAKE_PTR(p->places));
}

unsigned inetd_programs_get_free(struct inetd_programs *p)
{
        unsigned place = 0;

        while (place < p->n_touched && p->guard.groups[place] > 0)
                place++;

        assert(place < p->guard.n);
        p->n_touched = MAX(p->n_touched, place + 1);
        return place;
}

static void set_deadline(struct inetd_programs *p, unsigned place, usec_t deadline)
{
        p->places[place].deadline = deadline;
        p->next = MIN(p->next, deadline);
}

void inetd_programs_started(
        struct inetd_programs *p, unsigned place, uint64_t id, pid_t pid, usec_t now)
{
        p->guard.groups[place] = pid;
        p->places[place] = (struct inetd_program){ .id = id };
        set_deadline(p, place, usec_add(now, p->runtime_max));
}

int inetd_programs_find(const struct inetd_programs *p, pid_t pid)
{
        for (unsigned i = 0; i < p->n_touched; i++)
                if (p->guard.groups[i] == pid)
                        return (int)i;

        return -1;
}

static void send(const struct inetd_programs *p, unsigned place, int signal)
{
        /* The head of the group is not reaped yet, so the number is still the group's. */
        (void)kill(-p->guard.groups[place], signal);
}

void inetd_programs_ended(struct inetd_programs *p, unsigned place)
{
        send(p, place, SIGKILL);
        p->guard.groups[place] = 0;
}

/* A stopped process takes SIGTERM only when it goes on. */
static void terminate(struct inetd_programs *p, unsigned place, usec_t now)
{
        send(p, place, SIGTERM);
        send(p, place, SIGCONT);
        p->places[place].state = INETD_TERMINATED;
        set_deadline(p, place, usec_add(now, p->stop_timeout));
}

unsigned inetd_programs_terminate(struct inetd_programs *p, usec_t now)
{
        unsigned n = 0;

        for (unsigned i = 0; i < p->n_touched; i++) {
                if (p->guard.groups[i] == 0)
                        continue;
                n++;
                if (p->places[i].state == INETD_RUNNING)
                        terminate(p, i, now);
        }

        return n;
}

static void enforce(struct inetd_programs *p, unsigned place, usec_t now)
{
        struct inetd_program *program = &p->places[place];

        if (program->deadline > now) {
                p->next = MIN(p->next, program->deadline);
        } else if (program->state == INETD_RUNNING) {
                terminate(p, place, now);
        } else {
                send(p, place, SIGKILL);
                program->state = INETD_KILLED;
                program->deadline = USEC_INFINITY;
        }
}

void inetd_programs_enforce(struct inetd_programs *p, usec_t now)
{
        if (p->next > now)
                return;

        p->next = USEC_INFINITY;
        for (unsigned i = 0; i < p->n_touched; i++)
                if (p->guard.groups[i] > 0)
                        enforce(p, i, now);
}
