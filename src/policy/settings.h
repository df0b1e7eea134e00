/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

/*
 * The settings of one instance, acceptd.conf(5): their types, defaults and bounds. Pure: where the
 * text comes from is dispatcher/settings-file.c's matter.
 */

enum distribute {
        DISTRIBUTE_LEAST_CONNECTIONS,
        DISTRIBUTE_ROUND_ROBIN,
};

struct settings {
        /* [Pool] */
        uint32_t workers; /* `auto` is resolved before it gets here: at least 1 */
        uint32_t max_connections;
        enum distribute distribute;

        /* [Worker] */
        char **command; /* NULL-terminated; NULL: the bundled echo worker */
        uint32_t connections_per_worker; /* UINT32_MAX: what the worker says */
        usec_t timeout_start;
        usec_t drain_timeout;
        usec_t timeout_stop;
        usec_t restart;
        usec_t restart_max_delay;
};
