/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What there is of metrics, and how they are written:
 * https://prometheus.io/docs/instrumenting/exposition_formats/ and
 * https://github.com/prometheus/OpenMetrics, 1.0. All samples of a family stand together.
 */

#include "acceptctl/metrics.h"
#include "acceptctl/ask.h"
#include "acceptctl/process.h"

enum type {
        GAUGE,
        COUNTER,
        HISTOGRAM,
};

static const char *const types[] = {
        [GAUGE] = "gauge",
        [COUNTER] = "counter",
        [HISTOGRAM] = "histogram",
};

struct output {
        FILE *f;
        const struct places *places;
        bool openmetrics;
};

struct family {
        const char *name; /* without _total */
        enum type type;
        const char *unit, *help;
        const char *member; /* of the status, or "counters.NAME" */
        double scale;
};

static const struct family simple[] = {
        { "acceptd_connections_accepted", COUNTER, NULL, "Connections taken from the sockets.",
                "counters.accepted", 1 },
        { "acceptd_connections_done", COUNTER, NULL, "Connections that workers finished.",
                "counters.done", 1 },
        { "acceptd_connections_failed", COUNTER, NULL, "Connections that workers could not serve.",
                "counters.failed", 1 },
        { "acceptd_connections_lost", COUNTER, NULL, "Connections that died with their worker.",
                "counters.lost", 1 },
        { "acceptd_connections_taken_back", COUNTER, NULL, "Moves to another worker.",
                "counters.takenBack", 1 },
        { "acceptd_connections_open", GAUGE, NULL, "Connections that are open.", "counters.open",
                1 },
        { "acceptd_connections_open_highest", GAUGE, NULL, "The most that were open at once.",
                "openHighest", 1 },
        { "acceptd_connections_limit", GAUGE, NULL, "How many may be open: MaxConnections=.",
                "maxConnections", 1 },
        { "acceptd_connections_capacity", GAUGE, NULL, "How many the ready workers can have.",
                "capacity", 1 },
        { "acceptd_workers_ready", GAUGE, NULL, "Workers that are ready.", "workersReady", 1 },
        { "acceptd_workers_wanted", GAUGE, NULL, "Workers that the settings ask for.",
                "workersWanted", 1 },
        { "acceptd_workers_started", COUNTER, NULL, "Workers that were started.", "workersStarted",
                1 },
        { "acceptd_failed_starts", GAUGE, NULL, "Starts that failed, since they do.",
                "failedStarts", 1 },
        { "acceptd_generation", GAUGE, NULL, "Generation of the workers in force.", "generation",
                1 },
        { "acceptd_full_seconds", COUNTER, "seconds", "Time in which clients waited for room.",
                "fullUSec", 1e-6 },
};

/* --- Writing --- */

static void write_head(const struct output *o, const char *name, enum type type, const char *unit,
        const char *help)
{
        const char *suffix = type == COUNTER && !o->openmetrics ? "_total" : "";

        fprintf(o->f, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
                types[type]);
        if (unit && o->openmetrics)
                fprintf(o->f, "# UNIT %s %s\n", name, unit);
}

static void write_label(const struct output *o, const char *name, const char *value)
{
        fprintf(o->f, "%s=\"", name);
        for (; *value; value++)
                if (*value == '\n')
                        fputs("\\n", o->f);
                else if (*value == '"' || *value == '\\')
                        fprintf(o->f, "\\%c", *value);
                else
                        fputc(*value, o->f);
        fputc('"', o->f);
}

/* `labels` are names and values in turn, NULL-terminated. */
static void write_sample(const struct output *o, const char *name, const char *suffix,
        const char *const *labels, double value)
{
        fprintf(o->f, "%s%s{", name, suffix);
        for (size_t i = 0; labels[i]; i += 2) {
                if (i > 0)
                        fputc(',', o->f);
                write_label(o, labels[i], labels[i + 1]);
        }
        if (value < 1e15 && (double)(long long)value == value) /* none is negative */
                fprintf(o->f, "} %lld\n", (long long)value);
        else
                fprintf(o->f, "} %.9g\n", value);
}

#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* --- Families of one figure for each pool --- */

/* NULL where it is not known. */
static const json_t *find(const json_t *status, const char *member)
{
        const char *rest = startswith(member, "counters.");
        const json_t *value = rest ? json_object_get(json_object_get(status, "counters"), rest)
                                   : json_object_get(status, member);

        return json_is_integer(value) ? value : NULL;
}

static void write_simple(const struct output *o, const struct family *f, const json_t *statuses)
{
        const char *name;
        json_t *status;

        write_head(o, f->name, f->type, f->unit, f->help);
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                const json_t *value = find(status, f->member);

                if (value)
                        write_sample(o, f->name, f->type == COUNTER ? "_total" : "",
                                LABELS("pool", name), (double)json_integer_value(value) * f->scale);
        }
}

/* --- The others --- */

static void write_states(const struct output *o, const json_t *statuses)
{
        static const char *const states[] = { "starting", "ready", "degraded", "stopping" };
        const char *name;
        json_t *status;

        write_head(o, "acceptd_up", GAUGE, NULL, "Whether the instance answers.");
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                write_sample(o, "acceptd_up", "", LABELS("pool", name), json_is_object(status));
        }

        write_head(o, "acceptd_state", GAUGE, NULL, "The state, by one 1 among zeros.");
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                for (size_t i = 0; json_is_object(status) && i < ELEMENTSOF(states); i++) {
                        const char *now = json_string_value(json_object_get(status, "state")) ?: "";

                        write_sample(o, "acceptd_state", "",
                                LABELS("pool", name, "state", states[i]), streq(now, states[i]));
                }
        }

        write_head(o, "acceptd_paused", GAUGE, NULL, "Whether accepting is paused.");
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                if (json_is_object(status))
                        write_sample(o, "acceptd_paused", "", LABELS("pool", name),
                                json_is_true(json_object_get(status, "paused")));
        }
}

static void write_refused(const struct output *o, const json_t *statuses)
{
        static const char family[] = "acceptd_connections_refused";
        const char *name, *reason;
        json_t *status, *number;

        write_head(o, family, COUNTER, NULL, "Connections closed unserved, by reason.");
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                json_t *reasons = json_object_get(json_object_get(status, "counters"), "refusedBy");

                json_object_foreach (reasons, reason, number) {
                        write_sample(o, family, "_total", LABELS("pool", name, "reason", reason),
                                (double)json_integer_value(number));
                }
        }
}

/* Always the same, also of what never happened: or the number of series would grow. */
static void write_events(const struct output *o, const json_t *statuses)
{
        static const char *const events[] = { "WORKER_DIED", "WORKER_ENDED", "WORKER_KILLED",
                "WORKER_HUNG", "WORKER_VIOLATED", "QUEUE_TAKEN", "RELOADED", "RELOAD_FAILED",
                "POOL_DEGRADED", "POOL_FULL", "EXHAUSTED", "ADOPTED", "SUPPRESSED", "DROPPED" };
        const char *name;
        json_t *status;

        write_head(o, "acceptd_events", COUNTER, NULL, "Messages to the journal, by their names.");
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                for (size_t i = 0; json_is_object(status) && i < ELEMENTSOF(events); i++) {
                        const json_t *event =
                                json_object_get(json_object_get(status, "events"), events[i]);

                        write_sample(o, "acceptd_events", "_total",
                                LABELS("pool", name, "name", events[i]),
                                (double)json_integer_value(json_object_get(event, "count")));
                }
        }
}

static void write_workers(const struct output *o, const json_t *statuses)
{
        static const char *const states[] = { "starting", "ready", "draining", "terminating",
                "aborted", "killed", "dead" };
        const char *name;
        json_t *status;

        write_head(o, "acceptd_workers", GAUGE, NULL, "Workers by state.");
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                for (size_t i = 0; json_is_object(status) && i < ELEMENTSOF(states); i++) {
                        const json_t *worker;
                        size_t k, n = 0;

                        json_array_foreach (json_object_get(status, "workers"), k, worker) {
                                n += streq(
                                        json_string_value(json_object_get(worker, "state")) ?: "",
                                        states[i]);
                        }
                        write_sample(o, "acceptd_workers", "",
                                LABELS("pool", name, "state", states[i]), (double)n);
                }
        }
}

static void write_memory(const struct output *o, const json_t *statuses)
{
        static const char family[] = "acceptd_workers_resident_memory_bytes";
        const char *name;
        json_t *status;

        write_head(o, family, GAUGE, "bytes", "Memory of all workers.");
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                const json_t *worker;
                uint64_t sum = 0;
                bool known = false;
                size_t i;

                json_array_foreach (json_object_get(status, "workers"), i, worker) {
                        long long pid = json_integer_value(json_object_get(worker, "pid"));
                        struct process_use use;

                        if (!process_get_use(o->places, pid, &use))
                                continue;
                        known = true;
                        sum += use.memory;
                }
                if (known)
                        write_sample(o, family, "", LABELS("pool", name), (double)sum);
        }
}

static void write_listeners(const struct output *o, const json_t *statuses)
{
        static const struct {
                const char *family, *member, *help;
                enum type type;
        } families[] = {
                { "acceptd_listener_backlog", "backlog", "Connections that wait in the kernel.",
                        GAUGE },
                { "acceptd_listener_backlog_limit", "backlogLimit", "How many can.", GAUGE },
                { "acceptd_listener_drops", "drops", "Attempts that found the backlog full.",
                        COUNTER },
        };
        const char *name;
        json_t *status;

        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                write_head(o, families[i].family, families[i].type, NULL, families[i].help);
                json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                        const json_t *l;
                        size_t k;

                        json_array_foreach (json_object_get(status, "listeners"), k, l) {
                                const json_t *value = json_object_get(l, families[i].member);
                                const char *listener =
                                        json_string_value(json_object_get(l, "name")) ?: "";
                                const char *address =
                                        json_string_value(json_object_get(l, "address")) ?: "";

                                if (json_is_integer(value))
                                        write_sample(o, families[i].family,
                                                families[i].type == COUNTER ? "_total" : "",
                                                LABELS("pool", name, "listener", listener,
                                                        "address", address),
                                                (double)json_integer_value(value));
                        }
                }
        }
}

/* Each fourth power of two that is, in seconds, so that there are always the same. What was not
 * said is not counted. */
static void write_waiting(const struct output *o, const json_t *statuses)
{
        static const char family[] = "acceptd_connection_wait_seconds";
        static const size_t last = 26;
        const char *name;
        json_t *status;

        write_head(o, family, HISTOGRAM, "seconds",
                "From the accept of a connection to its receipt by the worker.");
        json_object_foreach ((json_t *)(uintptr_t)statuses, name, status) {
                const json_t *waiting = json_object_get(status, "waiting");
                const json_t *buckets = json_object_get(waiting, "buckets");
                double sum = 0;

                if (!json_is_object(waiting))
                        continue;
                for (size_t k = 1; k < json_array_size(buckets) || k <= last; k++) {
                        char le[32];

                        sum += (double)json_integer_value(json_array_get(buckets, k));
                        if (k < 4 || k > last || k % 2 != 0)
                                continue;
                        (void)snprintf(le, sizeof(le), "%.9g", (double)(1U << k) * 1e-6);
                        write_sample(o, family, "_bucket", LABELS("pool", name, "le", le), sum);
                }
                write_sample(o, family, "_bucket", LABELS("pool", name, "le", "+Inf"), sum);
                write_sample(o, family, "_sum", LABELS("pool", name),
                        (double)json_integer_value(json_object_get(waiting, "sumUSec")) * 1e-6);
                write_sample(o, family, "_count", LABELS("pool", name), sum);
        }
}

void metrics_write(FILE *f, const struct places *places, const json_t *statuses, bool openmetrics)
{
        const struct output o = { .f = f, .places = places, .openmetrics = openmetrics };

        write_states(&o, statuses);
        for (size_t i = 0; i < ELEMENTSOF(simple); i++)
                write_simple(&o, &simple[i], statuses);
        write_refused(&o, statuses);
        write_events(&o, statuses);
        write_workers(&o, statuses);
        write_memory(&o, statuses);
        write_listeners(&o, statuses);
        write_waiting(&o, statuses);
        if (openmetrics)
                fputs("# EOF\n", f);
}

const char *metrics_content_type(bool openmetrics)
{
        return openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                           : "text/plain; version=0.0.4; charset=utf-8";
}
