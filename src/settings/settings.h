/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/source.h"
#include "base/time.h"

/*
 * The settings of one instance, acceptd.conf(5): their types, defaults and bounds. Pure: where the
 * text comes from is settings/settings-file.c's matter.
 *
 *         settings_init
 *         settings_file_read, settings_assign, settings_set_command   (what comes later wins)
 *         settings_resolve, settings_check
 *         settings_print                                              (--check)
 *         settings_done
 *
 * Functions that can fail return 0 or -errno. With `ret_message` they then give one line without
 * prefix or newline that says what was wrong and what is allowed, for the caller to free and to
 * log; it is NULL when memory ran out.
 */

enum distribute {
        DISTRIBUTE_LEAST_CONNECTIONS,
        DISTRIBUTE_ROUND_ROBIN,
};

/* Which workers get where the unit has chosen neither of fifo, rr and idle. */
enum scheduling_policy {
        SCHEDULING_BATCH,
        SCHEDULING_OTHER,
};

/* So many in so much time. */
struct settings_rate {
        uint32_t n; /* 0: no limit */
        usec_t time;
};

/* In the order in which they are printed; the rows of the table in settings-table.c. */
enum setting {
        SETTING_WORKERS,
        SETTING_WORKERS_SPARE,
        SETTING_WORKERS_MAX,
        SETTING_WORKER_IDLE_TIMEOUT,
        SETTING_ACCEPT,
        SETTING_EXIT_IDLE_TIME,
        SETTING_MAX_CONNECTIONS,
        SETTING_MAX_CONNECTIONS_PER_SOURCE,
        SETTING_RATE_LIMIT_PER_SOURCE,
        SETTING_SOURCE_PREFIX_LENGTH,
        SETTING_SOURCE_EXEMPT,
        SETTING_OVERLOAD_REPLY,
        SETTING_DISTRIBUTE,
        SETTING_LOG_CONNECTIONS,
        SETTING_COMMAND,
        SETTING_CONNECTIONS_PER_WORKER,
        SETTING_TIMEOUT_START,
        SETTING_WATCHDOG,
        SETTING_QUEUE_TIMEOUT,
        SETTING_DRAIN_TIMEOUT,
        SETTING_RELOAD_DRAIN_TIMEOUT,
        SETTING_TIMEOUT_STOP,
        SETTING_RECYCLE_AFTER,
        SETTING_RECYCLE_AGE,
        SETTING_RECYCLE_MEMORY,
        SETTING_RESTART,
        SETTING_RESTART_MAX_DELAY,
        SETTING_SCHEDULING_POLICY,
        SETTING_COUNT,
};

struct settings {
        /* [Pool] */
        uint32_t workers; /* 0: `auto`, until settings_resolve() */
        uint32_t workers_spare;
        uint32_t workers_max;       /* UINT32_MAX: as `workers`, until settings_resolve() */
        usec_t worker_idle_timeout; /* USEC_INFINITY: extra workers stay */
        bool accept;                /* the dispatcher does; else the workers do */
        usec_t exit_idle_time;      /* USEC_INFINITY: never */
        uint32_t max_connections;
        uint32_t max_per_source; /* 0: no limit */
        struct settings_rate rate_per_source;
        struct source_prefixes source_prefixes;
        struct source_range *source_exempt; /* SOURCE_UNKNOWN ends it; NULL: none */
        char **overload_reply; /* the file, and what was in it: settings_file_read_reply(); or NULL
                                */
        enum distribute distribute;
        bool log_connections;

        /* [Worker] */
        char **command;                  /* NULL-terminated; NULL: the bundled echo worker */
        uint32_t connections_per_worker; /* UINT32_MAX: what the worker says */
        usec_t timeout_start;            /* USEC_INFINITY: no limit */
        usec_t watchdog;                 /* 0: off */
        usec_t queue_timeout;            /* USEC_INFINITY: never */
        usec_t drain_timeout;            /* 0: SIGTERM at once; USEC_INFINITY: no limit */
        usec_t reload_drain_timeout;     /* the same */
        usec_t timeout_stop;
        uint32_t recycle_after;  /* 0: never */
        usec_t recycle_age;      /* USEC_INFINITY: never */
        uint64_t recycle_memory; /* bytes; UINT64_MAX: never */
        usec_t restart;
        usec_t restart_max_delay;
        enum scheduling_policy scheduling_policy;

        uint32_t resolved_cpus;       /* what `auto` was resolved with, or 0 */
        char *sources[SETTING_COUNT]; /* where each comes from; NULL: the default */
};

/* Sets the defaults; the object owns nothing yet. */
void settings_init(struct settings *s);

/* Frees what `s` owns. NULL and all zeros are fine. */
void settings_done(struct settings *s);

/* Parses `value` for the key `key`. An empty value means the default again. `section` is NULL where
 * there are no sections. `source` (copied) says where the value stands, for settings_print(). When
 * it fails, `s` is as before. */
int settings_set(struct settings *s, const char *section, const char *key, const char *value,
        const char *source, char **ret_message);

/* The same for `assignment`, "Key=Value", as -o has it. */
int settings_assign(
        struct settings *s, const char *assignment, const char *source, char **ret_message);

/* Command= as words that a shell has already split (copied): what follows `--`. */
int settings_set_command(
        struct settings *s, char *const *words, const char *source, char **ret_message);

/* Gives Workers=auto its number, from the CPUs that this process may use, and WorkersMax= its
 * default. */
void settings_resolve(struct settings *s, uint32_t n_cpus);

/* Of what OverloadReply= names. */
#define OVERLOAD_REPLY_MAX 4096

/* Of a file with them. */
#define SETTINGS_SIZE_MAX ((size_t)1024 * 1024)

/* Looks for values that are good alone and bad together. Call it when all are set. */
int settings_check(const struct settings *s, char **ret_message);

/* Writes all settings that have a meaning (see Accept=) as a file that settings_file_read() accepts
 * and that gives the same settings, each under a comment that says where it comes from. Returns 0
 * or -errno. */
int settings_print(const struct settings *s, FILE *f);
