/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is printed of a status. The members are those of varlink/interfaces.c.
 */

#include "acceptctl/show.h"
#include "acceptctl/ask.h"
#include "acceptctl/process.h"
#include "acceptctl/table.h"
#include "base/time.h"
#include "base/words.h"

static const char *text_of(const json_t *object, const char *member)
{
        return json_string_value(json_object_get(object, member)) ?: "-";
}

static long long number_of(const json_t *object, const char *member)
{
        return json_integer_value(json_object_get(object, member));
}

static void add_number(struct table *table, const json_t *object, const char *member)
{
        const json_t *number = json_object_get(object, member);

        if (json_is_integer(number))
                table_add_number(table, json_integer_value(number));
        else
                table_add(table, "-");
}

/* How long ago, in seconds and more. */
static void add_age(struct table *table, const json_t *object, const char *member)
{
        char text[USEC_FORMAT_SIZE];
        usec_t now = usec_now(), since = (usec_t)number_of(object, member);
        usec_t age = now > since ? now - since : 0;

        table_add(table, age < USEC_PER_SEC ? "0s" : usec_format(age - age % USEC_PER_SEC, text));
}

static void print_text(const char *before, const char *text)
{
        fputs(before, stdout);
        words_print_safely(text, SIZE_MAX, stdout);
        fputc('\n', stdout);
}

/* Connections in all backlogs that the kernel tells of. */
static void add_waiting(struct table *table, const json_t *status)
{
        const json_t *listener;
        long long sum = 0;
        bool known = false;
        size_t i;

        json_array_foreach (json_object_get(status, "listeners"), i, listener) {
                const json_t *backlog = json_object_get(listener, "backlog");

                known = known || json_is_integer(backlog);
                sum += json_integer_value(backlog);
        }

        if (known)
                table_add_number(table, sum);
        else
                table_add(table, "-");
}

int show_list(const struct show_line *lines, size_t n)
{
        _cleanup_(table_done) struct table table;

        table_init(&table, (const char *const[]){ "INSTANCE", "STATE", ">WORKERS", ">OPEN",
                                   ">WAITING", "SETTINGS", NULL });
        for (size_t i = 0; i < n; i++) {
                const struct show_line *line = &lines[i];
                char workers[64] = "-";

                if (line->status)
                        (void)snprintf(workers, sizeof(workers), "%lld/%lld",
                                number_of(line->status, "workersReady"),
                                number_of(line->status, "workersWanted"));

                table_add(&table, line->name);
                table_add_state(&table, line->status ? ask_name_state(line->status) : line->state);
                table_add(&table, workers);
                add_number(&table, json_object_get(line->status, "counters"), "open");
                add_waiting(&table, line->status);
                table_add(&table, line->configured ? "yes" : "missing");
        }

        return table_print(&table, "");
}

static int show_listeners(const json_t *listeners)
{
        _cleanup_(table_done) struct table table;
        const json_t *listener;
        size_t i;

        table_init(&table, (const char *const[]){ "LISTENER", "ADDRESS", "KIND", ">WAITING",
                                   ">LIMIT", ">DROPPED", NULL });
        json_array_foreach (listeners, i, listener) {
                table_add(&table, text_of(listener, "name"));
                table_add(&table, text_of(listener, "address"));
                table_add(&table, text_of(listener, "kind"));
                if (json_is_integer(json_object_get(listener, "backlog")))
                        add_number(&table, listener, "backlog");
                else
                        table_add(&table, "not visible");
                add_number(&table, listener, "backlogLimit");
                add_number(&table, listener, "drops");
        }

        fputc('\n', stdout);
        return table_print(&table, "  ");
}

/* What its process uses: that the kernel tells, and not the instance. */
static void add_use(struct table *table, const struct places *places, const json_t *worker)
{
        char cpu[USEC_FORMAT_SIZE], memory[PROCESS_FORMAT_SIZE];
        struct process_use use;

        if (!process_get_use(places, number_of(worker, "pid"), &use)) {
                table_add(table, "-");
                table_add(table, "-");
                return;
        }

        table_add(table, use.cpu == 0 ? "0s" : usec_format(use.cpu, cpu));
        table_add(table, process_format_memory(use.memory, memory));
}

/* And why it is replaced, if it is */
static void add_state(struct table *table, const json_t *worker)
{
        const char *state = text_of(worker, "state");
        const char *why = json_string_value(json_object_get(worker, "recycling"));
        char text[64];

        if (!why) {
                table_add_state(table, state);
                return;
        }

        (void)snprintf(text, sizeof(text), "%s (%s)", state, why);
        table_add(table, text);
}

static int show_workers(const struct places *places, const json_t *workers)
{
        _cleanup_(table_done) struct table table;
        const json_t *worker;
        size_t i;

        table_init(&table,
                (const char *const[]){ ">WORKER", ">PID", "STATE", ">GENERATION", ">OPEN",
                        ">CAPACITY", ">HANDED OVER", ">CPU", ">MEMORY", ">RUNS FOR", NULL });
        json_array_foreach (workers, i, worker) {
                add_number(&table, worker, "number");
                add_number(&table, worker, "pid");
                add_state(&table, worker);
                add_number(&table, worker, "generation");
                add_number(&table, worker, "open");
                add_number(&table, worker, "capacity");
                add_number(&table, worker, "handedOver");
                add_use(&table, places, worker);
                add_age(&table, worker, "since");
        }

        fputc('\n', stdout);
        return table_print(&table, "  ");
}

/* Only where there are any, and of what they are. */
static void show_refused(const json_t *counters)
{
        const json_t *by_reason = json_object_get(counters, "refusedBy"), *number;
        const char *reason, *before = "      Refused: ";

        json_object_foreach ((json_t *)(uintptr_t)by_reason, reason, number) {
                if (json_integer_value(number) == 0)
                        continue;
                printf("%s%lld ", before, (long long)json_integer_value(number));
                words_print_safely(reason, 32, stdout);
                before = ", ";
        }
        if (before[0] == ',')
                fputc('\n', stdout);
}

static void show_counters(const json_t *counters, const json_t *status)
{
        long long idle = number_of(counters, "lostIdle");
        char of_these[48] = "";

        if (idle > 0)
                (void)snprintf(of_these, sizeof(of_these), " (%lld idle)", idle);
        printf("  Connections: %lld open of at most %lld\n", number_of(counters, "open"),
                number_of(status, "maxConnections"));
        printf("        Total: %lld accepted, %lld done, %lld failed, %lld lost%s, %lld refused, "
               "%lld taken back\n",
                number_of(counters, "accepted"), number_of(counters, "done"),
                number_of(counters, "failed"), number_of(counters, "lost"), of_these,
                number_of(counters, "refused"), number_of(counters, "takenBack"));
        show_refused(counters);
}

static const char *format_age(long long since, char text[static USEC_FORMAT_SIZE])
{
        usec_t now = usec_now(), at = since > 0 ? (usec_t)since : 0, age = now - MIN(now, at);

        return age < USEC_PER_SEC ? "0s" : usec_format(age - age % USEC_PER_SEC, text);
}

/* The later one of two kinds of messages, if there was one. */
static void show_event(
        const json_t *status, const char *introduction, const char *kind, const char *other)
{
        const json_t *events = json_object_get(status, "events");
        const json_t *a = json_object_get(events, kind), *b = json_object_get(events, other);
        const json_t *event = number_of(b, "last") > number_of(a, "last") ? b : a;
        char age[USEC_FORMAT_SIZE];

        if (!event)
                return;

        printf("%s%s ago: ", introduction, format_age(number_of(event, "last"), age));
        words_print_safely(text_of(event, "text"), SIZE_MAX, stdout);
        fputc('\n', stdout);
}

/* Within which time half of the connections, and 99 of 100, were with their worker. */
static void show_waiting(const json_t *waiting)
{
        const json_t *buckets = json_object_get(waiting, "buckets"), *bucket;
        static const double parts[] = { 0.5, 0.99 };
        double sum = 0, total = 0;
        size_t i, part = 0;

        json_array_foreach (buckets, i, bucket)
                total += i > 0 ? (double)json_integer_value(bucket) : 0; /* 0: was not said */
        if (total == 0)
                return;

        fputs("       Waited:", stdout);
        json_array_foreach (buckets, i, bucket) {
                sum += i > 0 ? (double)json_integer_value(bucket) : 0;
                for (; part < ELEMENTSOF(parts) && sum >= parts[part] * total; part++) {
                        char text[USEC_FORMAT_SIZE];

                        printf("%s %g%% less than %s", part > 0 ? "," : "", parts[part] * 100,
                                usec_format((usec_t)1 << i, text));
                }
        }
        fputs(" for their worker\n", stdout);
}

/* What is limited, what was highest, and what is or was wrong. */
static void show_details(const json_t *status)
{
        long long full = number_of(status, "fullUSec"), next = number_of(status, "nextStart");
        char text[USEC_FORMAT_SIZE], age[USEC_FORMAT_SIZE];
        usec_t now = usec_now();

        if (json_is_integer(json_object_get(status, "capacity")))
                printf("     Capacity: %lld at once with these workers; at most %lld were open\n",
                        number_of(status, "capacity"), number_of(status, "openHighest"));
        show_waiting(json_object_get(status, "waiting"));
        if (full > 0)
                printf("         Full: clients waited for %s in all, last %s ago\n",
                        usec_format((usec_t)full, text),
                        format_age(number_of(status, "fullLast"), age));
        if (next > 0)
                printf("   Next start: in %s, after %lld failed start%s\n",
                        (usec_t)next > now ? usec_format((usec_t)next - now, text) : "0s",
                        number_of(status, "failedStarts"),
                        number_of(status, "failedStarts") == 1 ? "" : "s");
        if (streq(text_of(status, "state"), "degraded"))
                show_event(status, "     Degraded: ", "POOL_DEGRADED", "POOL_DEGRADED");
        show_event(status, "  Last reload: ", "RELOADED", "RELOAD_FAILED");
        show_event(status, "    Last hang: ", "WORKER_HUNG", "WORKER_HUNG");
        show_event(status, "     Last end: ", "WORKER_DIED", "WORKER_ENDED");
}

int show_status(const struct places *places, const char *name, const json_t *status)
{
        const json_t *counters = json_object_get(status, "counters");
        const char *state = ask_name_state(status);
        int r;

        fputs(say_colour(SAY_BOLD), stdout);
        fputs(name, stdout);
        printf("%s is %s", say_colour(SAY_NORMAL), say_colour(say_colour_of(state)));
        words_print_safely(state, 32, stdout);
        printf("%s\n", say_colour(SAY_NORMAL));
        print_text("       Status: ", text_of(status, "statusText"));
        printf("     Main PID: %lld (acceptd ", number_of(status, "mainPID"));
        words_print_safely(text_of(status, "version"), 32, stdout);
        printf(", generation %lld)\n", number_of(status, "generation"));
        if (json_is_object(counters))
                show_counters(counters, status);
        show_details(status);

        r = show_listeners(json_object_get(status, "listeners"));
        if (r < 0)
                return r;

        return show_workers(places, json_object_get(status, "workers"));
}

int show_connections(const json_t *connections)
{
        _cleanup_(table_done) struct table table;
        const json_t *c;
        size_t i;

        table_init(&table, (const char *const[]){ ">ID", "LISTENER", ">WORKER", ">AGE", "STATE",
                                   ">ATTEMPT", "SOURCE", NULL });
        json_array_foreach (connections, i, c) {
                table_add(&table, text_of(c, "id"));
                table_add(&table, text_of(c, "listener"));
                add_number(&table, c, "worker");
                add_age(&table, c, "acceptedAt");
                table_add(&table, text_of(c, "state"));
                add_number(&table, c, "attempt");
                table_add(&table, text_of(c, "source"));
        }

        return table_print(&table, "");
}

void show_keys(const char *introduction, const json_t *keys)
{
        const json_t *key;
        size_t i;

        if (json_array_size(keys) == 0)
                return;

        fputs(introduction, stdout);
        json_array_foreach (keys, i, key) {
                fputs(i > 0 ? ", " : " ", stdout);
                words_print_safely(json_string_value(key) ?: "-", 64, stdout);
                fputc('=', stdout);
        }
        fputc('\n', stdout);
}
