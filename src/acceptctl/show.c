/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is printed of a status. The members are those of varlink/interfaces.c.
 */

#include "acceptctl/show.h"
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
                table_add(&table, line->status ? text_of(line->status, "state") : line->state);
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
                add_number(&table, listener, "backlog");
                add_number(&table, listener, "backlogLimit");
                add_number(&table, listener, "drops");
        }

        fputc('\n', stdout);
        return table_print(&table, "  ");
}

/* And why it is replaced, if it is */
static void add_state(struct table *table, const json_t *worker)
{
        const char *why = json_string_value(json_object_get(worker, "recycling"));
        char text[64];

        (void)snprintf(text, sizeof(text), "%s%s%s%s", text_of(worker, "state"), why ? " (" : "",
                why ?: "", why ? ")" : "");
        table_add(table, text);
}

static int show_workers(const json_t *workers)
{
        _cleanup_(table_done) struct table table;
        const json_t *worker;
        size_t i;

        table_init(&table, (const char *const[]){ ">WORKER", ">PID", "STATE", ">GENERATION",
                                   ">OPEN", ">CAPACITY", ">HANDED OVER", ">RUNS FOR", NULL });
        json_array_foreach (workers, i, worker) {
                add_number(&table, worker, "number");
                add_number(&table, worker, "pid");
                add_state(&table, worker);
                add_number(&table, worker, "generation");
                add_number(&table, worker, "open");
                add_number(&table, worker, "capacity");
                add_number(&table, worker, "handedOver");
                add_age(&table, worker, "since");
        }

        fputc('\n', stdout);
        return table_print(&table, "  ");
}

static void show_counters(const json_t *counters, const json_t *status)
{
        printf("  Connections: %lld open of at most %lld\n", number_of(counters, "open"),
                number_of(status, "maxConnections"));
        printf("        Total: %lld accepted, %lld done, %lld failed, %lld lost, %lld refused, "
               "%lld taken back\n",
                number_of(counters, "accepted"), number_of(counters, "done"),
                number_of(counters, "failed"), number_of(counters, "lost"),
                number_of(counters, "refused"), number_of(counters, "takenBack"));
}

int show_status(const char *name, const json_t *status)
{
        const json_t *counters = json_object_get(status, "counters");
        int r;

        fputs(name, stdout);
        print_text(" is ", text_of(status, "state"));
        print_text("       Status: ", text_of(status, "statusText"));
        printf("     Main PID: %lld (acceptd ", number_of(status, "mainPID"));
        words_print_safely(text_of(status, "version"), 32, stdout);
        printf(", generation %lld)\n", number_of(status, "generation"));
        if (json_is_object(counters))
                show_counters(counters, status);

        r = show_listeners(json_object_get(status, "listeners"));
        if (r < 0)
                return r;

        return show_workers(json_object_get(status, "workers"));
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
