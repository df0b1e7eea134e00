/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The table of all keys: where each stands, its bounds and its default. How a value is read and
 * written is its type's matter; what is wrong with a file, settings.c's.
 */

#include "settings/settings-table.h"

#define CONNECTIONS_LIMIT 16777215u /* ids have 24 bits for the slot: slots.h */
#define RECYCLE_LIMIT     1000000000u
#define TIME_LIMIT        (365 * USEC_PER_DAY)

static const char *const distribute_names[] = {
        [DISTRIBUTE_LEAST_CONNECTIONS] = "least-connections",
        [DISTRIBUTE_ROUND_ROBIN] = "round-robin",
        NULL,
};

/* As systemd.exec(5) names them */
static const char *const scheduling_names[] = {
        [SCHEDULING_BATCH] = "batch",
        [SCHEDULING_OTHER] = "other",
        NULL,
};

const struct settings_row settings_table[SETTING_COUNT] = {
        [SETTING_WORKERS] = {
                .section = "Pool",
                .key = "Workers",
                .type = &settings_type_number,
                .offset = offsetof(struct settings, workers),
                .minimum = 1,
                .maximum = WORKERS_LIMIT,
                .word = "auto",
                .word_value = 0,
                .default_value = 0,
        },
        [SETTING_WORKERS_SPARE] = {
                .section = "Pool",
                .key = "WorkersSpare",
                .needs_accept = true,
                .type = &settings_type_number,
                .offset = offsetof(struct settings, workers_spare),
                .minimum = 0,
                .maximum = WORKERS_LIMIT,
                .default_value = 0,
        },
        [SETTING_WORKERS_MAX] = {
                .section = "Pool",
                .key = "WorkersMax",
                .type = &settings_type_number,
                .offset = offsetof(struct settings, workers_max),
                .minimum = 1,
                .maximum = WORKERS_LIMIT,
                .default_value = UINT32_MAX,
                .default_note = "as Workers=",
        },
        [SETTING_WORKER_IDLE_TIMEOUT] = {
                .section = "Pool",
                .key = "WorkerIdleTimeoutSec",
                .needs_accept = true,
                .type = &settings_type_time,
                .offset = offsetof(struct settings, worker_idle_timeout),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .default_value = 60 * USEC_PER_SEC,
        },
        [SETTING_ACCEPT] = {
                .section = "Pool",
                .key = "Accept",
                .type = &settings_type_boolean,
                .offset = offsetof(struct settings, accept),
                .default_value = true,
        },
        [SETTING_MAX_CONNECTIONS] = {
                .section = "Pool",
                .key = "MaxConnections",
                .needs_accept = true,
                .type = &settings_type_number,
                .offset = offsetof(struct settings, max_connections),
                .minimum = 1,
                .maximum = CONNECTIONS_LIMIT,
                .default_value = 65536,
        },
        [SETTING_DISTRIBUTE] = {
                .section = "Pool",
                .key = "Distribute",
                .needs_accept = true,
                .type = &settings_type_choice,
                .offset = offsetof(struct settings, distribute),
                .names = distribute_names,
                .default_value = DISTRIBUTE_LEAST_CONNECTIONS,
        },
        [SETTING_LOG_CONNECTIONS] = {
                .section = "Pool",
                .key = "LogConnections",
                .needs_accept = true,
                .type = &settings_type_boolean,
                .offset = offsetof(struct settings, log_connections),
                .default_value = false,
        },
        [SETTING_COMMAND] = {
                .section = "Worker",
                .key = "Command",
                .type = &settings_type_command,
                .offset = offsetof(struct settings, command),
                .default_note = "the echo worker",
        },
        [SETTING_CONNECTIONS_PER_WORKER] = {
                .section = "Worker",
                .key = "ConnectionsPerWorker",
                .needs_accept = true,
                .type = &settings_type_number,
                .offset = offsetof(struct settings, connections_per_worker),
                .minimum = 1,
                .maximum = CONNECTIONS_LIMIT,
                .default_value = UINT32_MAX,
                .default_note = "what the worker says",
        },
        [SETTING_TIMEOUT_START] = {
                .section = "Worker",
                .key = "TimeoutStartSec",
                .type = &settings_type_time,
                .offset = offsetof(struct settings, timeout_start),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .default_value = 30 * USEC_PER_SEC,
        },
        [SETTING_WATCHDOG] = {
                .section = "Worker",
                .key = "WatchdogSec",
                .type = &settings_type_time,
                .offset = offsetof(struct settings, watchdog),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .word = "0",
                .word_value = 0,
                .default_value = 0,
        },
        [SETTING_QUEUE_TIMEOUT] = {
                .section = "Worker",
                .key = "QueueTimeoutSec",
                .needs_accept = true,
                .type = &settings_type_time,
                .offset = offsetof(struct settings, queue_timeout),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .default_value = USEC_PER_SEC,
        },
        [SETTING_DRAIN_TIMEOUT] = {
                .section = "Worker",
                .key = "DrainTimeoutSec",
                .type = &settings_type_time,
                .offset = offsetof(struct settings, drain_timeout),
                .minimum = 0,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .default_value = 30 * USEC_PER_SEC,
        },
        [SETTING_RELOAD_DRAIN_TIMEOUT] = {
                .section = "Worker",
                .key = "ReloadDrainTimeoutSec",
                .type = &settings_type_time,
                .offset = offsetof(struct settings, reload_drain_timeout),
                .minimum = 0,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .default_value = USEC_INFINITY,
        },
        /* Not `infinity`: a worker that ignores SIGTERM would never end. Not 0: to systemd that
         * means infinity here. */
        [SETTING_TIMEOUT_STOP] = {
                .section = "Worker",
                .key = "TimeoutStopSec",
                .type = &settings_type_time,
                .offset = offsetof(struct settings, timeout_stop),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .default_value = 5 * USEC_PER_SEC,
        },
        [SETTING_RECYCLE_AFTER] = {
                .section = "Worker",
                .key = "RecycleAfter",
                .needs_accept = true,
                .type = &settings_type_number,
                .offset = offsetof(struct settings, recycle_after),
                .minimum = 0,
                .maximum = RECYCLE_LIMIT,
                .default_value = 0,
        },
        /* Not 0: doubled it is still 0, and a worker that crashes at once would spin. */
        [SETTING_RESTART] = {
                .section = "Worker",
                .key = "RestartSec",
                .type = &settings_type_time,
                .offset = offsetof(struct settings, restart),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .default_value = 100 * USEC_PER_MSEC,
        },
        [SETTING_RESTART_MAX_DELAY] = {
                .section = "Worker",
                .key = "RestartMaxDelaySec",
                .type = &settings_type_time,
                .offset = offsetof(struct settings, restart_max_delay),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .default_value = 30 * USEC_PER_SEC,
        },
        [SETTING_SCHEDULING_POLICY] = {
                .section = "Worker",
                .key = "CPUSchedulingPolicy",
                .type = &settings_type_choice,
                .offset = offsetof(struct settings, scheduling_policy),
                .names = scheduling_names,
                .default_value = SCHEDULING_BATCH,
        },
};
