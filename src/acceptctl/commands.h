/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "acceptctl/say.h"

/*
 * The commands, and what the command line says to them.
 */

struct arguments {
        struct places places;
        usec_t deadline; /* of statuses */

        bool cancel;          /* reload */
        uint64_t worker;      /* 0: all */
        const char *listener; /* NULL: all */
        uint64_t lines;       /* of the journal */

        /* wait */
        bool until_ready, until_idle, until_no_old;
        uint64_t generation; /* 0: any */
        usec_t timeout;      /* USEC_INFINITY: none */

        /* top; monitor has iterations, too */
        usec_t interval;
        uint64_t iterations; /* 0: until it is ended */
        const char *sort;    /* name of a column, or NULL */

        bool http, openmetrics; /* metrics */
};

/* Each returns an exit status. `names` are NULL-terminated; none stands for all where that is
 * allowed. */
int command_list(const struct arguments *a, char **names);
int command_status(const struct arguments *a, char **names);
int command_connections(const struct arguments *a, char **names);
int command_sources(const struct arguments *a, char **names);
int command_settings(const struct arguments *a, char **names);
int command_is_ready(const struct arguments *a, char **names);
int command_wait(const struct arguments *a, char **names);
int command_reload(const struct arguments *a, char **names);
int command_drain(const struct arguments *a, char **names);
int command_pause(const struct arguments *a, char **names);
int command_resume(const struct arguments *a, char **names);
int command_monitor(const struct arguments *a, char **names);
int command_top(const struct arguments *a, char **names);
int command_metrics(const struct arguments *a, char **names);
