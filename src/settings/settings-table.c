/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The table of all keys, and what keys of one kind have in common: how a value is read, reset and
 * written. Called by settings.c only; knows nothing of sections, sources and messages.
 */

#include <inttypes.h>

#include "base/words.h"
#include "settings/settings-table.h"

#define CONNECTIONS_LIMIT 16777215u /* ids have 24 bits for the slot: slots.h */
#define RECYCLE_LIMIT     1000000000u
#define TIME_LIMIT        (365 * USEC_PER_DAY)

static const char *const distribute_names[] = {
        [DISTRIBUTE_LEAST_CONNECTIONS] = "least-connections",
        [DISTRIBUTE_ROUND_ROBIN] = "round-robin",
        NULL,
};

static const struct settings_type type_number, type_time, type_choice, type_boolean, type_command;

const struct settings_row settings_table[SETTING_COUNT] = {
        [SETTING_WORKERS] = {
                .section = "Pool",
                .key = "Workers",
                .type = &type_number,
                .offset = offsetof(struct settings, workers),
                .minimum = 1,
                .maximum = WORKERS_LIMIT,
                .word = "auto",
                .word_value = 0,
                .standard = 0,
        },
        [SETTING_WORKERS_SPARE] = {
                .section = "Pool",
                .key = "WorkersSpare",
                .type = &type_number,
                .offset = offsetof(struct settings, workers_spare),
                .minimum = 0,
                .maximum = WORKERS_LIMIT,
                .standard = 0,
        },
        [SETTING_WORKERS_MAX] = {
                .section = "Pool",
                .key = "WorkersMax",
                .type = &type_number,
                .offset = offsetof(struct settings, workers_max),
                .minimum = 1,
                .maximum = WORKERS_LIMIT,
                .standard = UINT32_MAX,
                .standard_note = "as Workers=",
        },
        [SETTING_WORKER_IDLE_TIMEOUT] = {
                .section = "Pool",
                .key = "WorkerIdleTimeoutSec",
                .type = &type_time,
                .offset = offsetof(struct settings, worker_idle_timeout),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .standard = 60 * USEC_PER_SEC,
        },
        [SETTING_MAX_CONNECTIONS] = {
                .section = "Pool",
                .key = "MaxConnections",
                .type = &type_number,
                .offset = offsetof(struct settings, max_connections),
                .minimum = 1,
                .maximum = CONNECTIONS_LIMIT,
                .standard = 65536,
        },
        [SETTING_DISTRIBUTE] = {
                .section = "Pool",
                .key = "Distribute",
                .type = &type_choice,
                .offset = offsetof(struct settings, distribute),
                .names = distribute_names,
                .standard = DISTRIBUTE_LEAST_CONNECTIONS,
        },
        [SETTING_LOG_CONNECTIONS] = {
                .section = "Pool",
                .key = "LogConnections",
                .type = &type_boolean,
                .offset = offsetof(struct settings, log_connections),
                .standard = false,
        },
        [SETTING_COMMAND] = {
                .section = "Worker",
                .key = "Command",
                .type = &type_command,
                .offset = offsetof(struct settings, command),
                .standard_note = "the echo worker",
        },
        [SETTING_CONNECTIONS_PER_WORKER] = {
                .section = "Worker",
                .key = "ConnectionsPerWorker",
                .type = &type_number,
                .offset = offsetof(struct settings, connections_per_worker),
                .minimum = 1,
                .maximum = CONNECTIONS_LIMIT,
                .standard = UINT32_MAX,
                .standard_note = "what the worker says",
        },
        [SETTING_TIMEOUT_START] = {
                .section = "Worker",
                .key = "TimeoutStartSec",
                .type = &type_time,
                .offset = offsetof(struct settings, timeout_start),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .standard = 30 * USEC_PER_SEC,
        },
        [SETTING_WATCHDOG] = {
                .section = "Worker",
                .key = "WatchdogSec",
                .type = &type_time,
                .offset = offsetof(struct settings, watchdog),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .word = "0",
                .word_value = 0,
                .standard = 0,
        },
        [SETTING_QUEUE_TIMEOUT] = {
                .section = "Worker",
                .key = "QueueTimeoutSec",
                .type = &type_time,
                .offset = offsetof(struct settings, queue_timeout),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .standard = USEC_PER_SEC,
        },
        [SETTING_DRAIN_TIMEOUT] = {
                .section = "Worker",
                .key = "DrainTimeoutSec",
                .type = &type_time,
                .offset = offsetof(struct settings, drain_timeout),
                .minimum = 0,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .standard = 30 * USEC_PER_SEC,
        },
        [SETTING_RELOAD_DRAIN_TIMEOUT] = {
                .section = "Worker",
                .key = "ReloadDrainTimeoutSec",
                .type = &type_time,
                .offset = offsetof(struct settings, reload_drain_timeout),
                .minimum = 0,
                .maximum = TIME_LIMIT,
                .word = "infinity",
                .word_value = USEC_INFINITY,
                .standard = USEC_INFINITY,
        },
        /* Not `infinity`: a worker that ignores SIGTERM would never end. Not 0: to systemd that
         * means infinity here. */
        [SETTING_TIMEOUT_STOP] = {
                .section = "Worker",
                .key = "TimeoutStopSec",
                .type = &type_time,
                .offset = offsetof(struct settings, timeout_stop),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .standard = 5 * USEC_PER_SEC,
        },
        [SETTING_RECYCLE_AFTER] = {
                .section = "Worker",
                .key = "RecycleAfter",
                .type = &type_number,
                .offset = offsetof(struct settings, recycle_after),
                .minimum = 0,
                .maximum = RECYCLE_LIMIT,
                .standard = 0,
        },
        /* Not 0: doubled it is still 0, and a worker that crashes at once would spin. */
        [SETTING_RESTART] = {
                .section = "Worker",
                .key = "RestartSec",
                .type = &type_time,
                .offset = offsetof(struct settings, restart),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .standard = 100 * USEC_PER_MSEC,
        },
        [SETTING_RESTART_MAX_DELAY] = {
                .section = "Worker",
                .key = "RestartMaxDelaySec",
                .type = &type_time,
                .offset = offsetof(struct settings, restart_max_delay),
                .minimum = USEC_PER_MSEC,
                .maximum = TIME_LIMIT,
                .standard = 30 * USEC_PER_SEC,
        },
};

static int parse_number(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        uint64_t number = 0;
        const char *s;

        if (row->word && streq(value, row->word)) {
                *(uint32_t *)field = (uint32_t)row->word_value;
                return 0;
        }

        /* one past the maximum is enough to know: no overflow, however many digits follow */
        for (s = value; *s >= '0' && *s <= '9'; s++)
                number = MIN(number * 10 + (uint64_t)(*s - '0'), row->maximum + 1);

        if (*s != '\0')
                *ret_problem = "not a number";
        else if (number < row->minimum)
                *ret_problem = "too small";
        else if (number > row->maximum)
                *ret_problem = "too large";
        else {
                *(uint32_t *)field = (uint32_t)number;
                return 0;
        }

        return -EINVAL;
}

static void reset_number(const struct settings_row *row, void *field)
{
        *(uint32_t *)field = (uint32_t)row->standard;
}

static void print_number(const struct settings_row *row, const void *field, FILE *f)
{
        uint32_t number = *(const uint32_t *)field;

        if (row->word && number == row->word_value)
                fputs(row->word, f);
        else if (number <= row->maximum)
                fprintf(f, "%" PRIu32, number);
}

static void print_allowed_numbers(const struct settings_row *row, FILE *f)
{
        if (row->word)
                fprintf(f, "%s, or ", row->word);
        fprintf(f, "%" PRIu64 " to %" PRIu64, row->minimum, row->maximum);
}

static const struct settings_type type_number = {
        .parse = parse_number,
        .reset = reset_number,
        .print = print_number,
        .print_allowed = print_allowed_numbers,
};

static int parse_time(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        usec_t time;
        int r;

        r = usec_parse(value, &time);
        if (r == -ERANGE ||
                (r == 0 && time > row->maximum && !(row->word && time == row->word_value)))
                *ret_problem = "too long";
        else if (r < 0)
                *ret_problem = "not a time span";
        else if (time < row->minimum && !(row->word && time == row->word_value))
                *ret_problem = "too short";
        else {
                *(usec_t *)field = time;
                return 0;
        }

        return -EINVAL;
}

static void reset_time(const struct settings_row *row, void *field)
{
        *(usec_t *)field = row->standard;
}

static void print_time(const struct settings_row *row, const void *field, FILE *f)
{
        char buffer[USEC_FORMAT_SIZE];

        (void)row;
        fputs(usec_format(*(const usec_t *)field, buffer), f);
}

static void print_allowed_times(const struct settings_row *row, FILE *f)
{
        char minimum[USEC_FORMAT_SIZE], maximum[USEC_FORMAT_SIZE];

        fprintf(f, "%s to %s%s%s, such as 5s, 2min or 1h 30min", usec_format(row->minimum, minimum),
                usec_format(row->maximum, maximum), row->word ? " or " : "",
                row->word ? row->word : "");
}

static const struct settings_type type_time = {
        .parse = parse_time,
        .reset = reset_time,
        .print = print_time,
        .print_allowed = print_allowed_times,
};

/* The field of a choice is an enum from 0 on, which gcc and clang store as unsigned int. */

static int parse_choice(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        for (unsigned i = 0; row->names[i]; i++)
                if (streq(value, row->names[i])) {
                        *(unsigned *)field = i;
                        return 0;
                }

        *ret_problem = "unknown";
        return -EINVAL;
}

static void reset_choice(const struct settings_row *row, void *field)
{
        *(unsigned *)field = (unsigned)row->standard;
}

static void print_choice(const struct settings_row *row, const void *field, FILE *f)
{
        fputs(row->names[*(const unsigned *)field], f);
}

static void print_allowed_choices(const struct settings_row *row, FILE *f)
{
        for (unsigned i = 0; row->names[i]; i++)
                fprintf(f, "%s%s", i > 0 ? ", " : "", row->names[i]);
}

static const struct settings_type type_choice = {
        .parse = parse_choice,
        .reset = reset_choice,
        .print = print_choice,
        .print_allowed = print_allowed_choices,
};

/* The words that systemd takes, see systemd.syntax(7). */
static const char *const yes_words[] = { "yes", "y", "true", "t", "on", "1", NULL };
static const char *const no_words[] = { "no", "n", "false", "f", "off", "0", NULL };

static bool is_among(const char *value, const char *const *words)
{
        for (; *words; words++)
                if (strcasecmp(value, *words) == 0)
                        return true;

        return false;
}

static int parse_boolean(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        bool yes = is_among(value, yes_words);

        (void)row;
        if (!yes && !is_among(value, no_words)) {
                *ret_problem = "neither yes nor no";
                return -EINVAL;
        }

        *(bool *)field = yes;
        return 0;
}

static void reset_boolean(const struct settings_row *row, void *field)
{
        *(bool *)field = row->standard;
}

static void print_boolean(const struct settings_row *row, const void *field, FILE *f)
{
        (void)row;
        fputs(*(const bool *)field ? "yes" : "no", f);
}

static void print_allowed_booleans(const struct settings_row *row, FILE *f)
{
        (void)row;
        fputs("yes, no", f);
}

static const struct settings_type type_boolean = {
        .parse = parse_boolean,
        .reset = reset_boolean,
        .print = print_boolean,
        .print_allowed = print_allowed_booleans,
};

static int parse_command(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        _cleanup_(words_freep) char **words = NULL;
        int r;

        (void)row;
        r = words_split(value, &words, ret_problem);
        if (r < 0)
                return r;

        return settings_table_take_command(TAKE_PTR(words), field, ret_problem);
}

int settings_table_take_command(char **words_consume, char ***field, const char **ret_problem)
{
        if (!words_consume[0] || words_consume[0][0] != '/') {
                *ret_problem = "does not start with an absolute path";
                words_free(words_consume);
                return -EINVAL;
        }

        words_free(*field);
        *field = words_consume;
        return 0;
}

static void reset_command(const struct settings_row *row, void *field)
{
        char ***command = field;

        (void)row;
        words_free(*command);
        *command = NULL;
}

static void print_command(const struct settings_row *row, const void *field, FILE *f)
{
        char *const *const *command = field;

        (void)row;
        if (*command)
                words_print(*command, f);
}

static void print_allowed_commands(const struct settings_row *row, FILE *f)
{
        (void)row;
        fputs("an absolute path and arguments, quoted as in systemd.service(5)", f);
}

static const struct settings_type type_command = {
        .parse = parse_command,
        .reset = reset_command,
        .print = print_command,
        .print_allowed = print_allowed_commands,
};
