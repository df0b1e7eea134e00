/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * top: what changes from one look to the next, per second, in all instances and their workers.
 */

#include <time.h>

#include "acceptctl/ask.h"
#include "acceptctl/process.h"
#include "acceptctl/screen.h"
#include "acceptctl/table.h"
#include "base/words.h"

/* Heads and empty lines beside the rows of the two tables */
#define LINES_OTHER 5

enum column {
        BY_RATE,
        BY_OPEN,
        BY_CPU,
        BY_MEMORY,
        BY_AGE,
        COLUMNS,
};

static const struct {
        const char *name;
        char key;
} columns[COLUMNS] = {
        [BY_RATE] = { "rate", 'r' },
        [BY_OPEN] = { "open", 'o' },
        [BY_CPU] = { "cpu", 'c' },
        [BY_MEMORY] = { "memory", 'm' },
        [BY_AGE] = { "age", 'a' },
};

/* A worker as it was found at one look. */
struct row {
        const char *instance, *state; /* lent by the status */
        long long number, pid, open, capacity, handed_over, since;
        struct process_use use;
        bool has_use;
        double values[COLUMNS]; /* to sort by, and to print */
};

/* One look at everything. */
struct look {
        usec_t at;
        json_t *statuses; /* name to status, or to a word for why there is none */
        struct row *rows;
        size_t n_rows;
};

static long long number_of(const json_t *object, const char *member)
{
        const json_t *number = json_object_get(object, member);

        return json_is_integer(number) ? json_integer_value(number) : -1;
}

/* --- Looking --- */

static int add_row(
        struct look *look, const struct places *places, const char *instance, const json_t *worker)
{
        struct row *larger = realloc(look->rows, (look->n_rows + 1) * sizeof(*larger)), *row;

        if (!larger)
                return -ENOMEM;
        look->rows = larger;

        row = &look->rows[look->n_rows++];
        *row = (struct row){
                .instance = instance,
                .state = json_string_value(json_object_get(worker, "state")) ?: "-",
                .number = number_of(worker, "number"),
                .pid = number_of(worker, "pid"),
                .open = number_of(worker, "open"),
                .capacity = number_of(worker, "capacity"),
                .handed_over = number_of(worker, "handedOver"),
                .since = number_of(worker, "since"),
        };
        row->has_use = process_get_use(places, row->pid, &row->use);
        return 0;
}

static int add_instance(struct look *look, const struct arguments *a, const char *name, bool named)
{
        struct arguments now = *a;
        json_auto_t *status = NULL;
        const json_t *worker;
        const char *key;
        json_t *value;
        size_t i;
        int r;

        now.deadline = usec_add(usec_now(), ASK_MOMENT);
        r = ask_status(&now, name, &status);
        if (r == INSTANCE_STOPPED && !named)
                return 0;
        if (r < 0) /* that it is so is what there is to show */
                return json_object_set_new(
                        look->statuses, name, json_string(instance_name_error(r)));
        if (json_object_set(look->statuses, name, status) < 0)
                return -ENOMEM;

        json_object_foreach (look->statuses, key, value) {
                if (value != status)
                        continue;
                json_array_foreach (json_object_get(status, "workers"), i, worker) {
                        r = add_row(look, &a->places, key, worker);
                        if (r < 0)
                                return r;
                }
        }

        return 0;
}

static void look_done(struct look *look)
{
        json_decref(look->statuses);
        free(look->rows);
        *look = (struct look){};
}

static int look_at(struct look *look, const struct arguments *a, char **names)
{
        _cleanup_(words_freep) char **all = NULL;
        char **list = names;
        int r = 0;

        *look = (struct look){ .at = usec_now(), .statuses = json_object() };
        if (!look->statuses)
                return -ENOMEM;
        if (!names[0]) {
                r = instance_list(&a->places, &all);
                list = all;
        }
        for (size_t i = 0; r >= 0 && list[i]; i++)
                r = add_instance(look, a, list[i], names[0] != NULL);

        return r;
}

/* --- Comparing --- */

static const struct row *find_before(const struct look *before, const struct row *row)
{
        for (size_t i = 0; i < before->n_rows; i++)
                if (before->rows[i].number == row->number && before->rows[i].pid == row->pid &&
                        streq(before->rows[i].instance, row->instance))
                        return &before->rows[i];

        return NULL;
}

static double per_second(const struct look *before, const struct look *now, double change)
{
        double seconds = (double)(now->at - before->at) / USEC_PER_SEC;

        return before->at > 0 && seconds > 0 && change > 0 ? change / seconds : 0;
}

static void compare_rows(const struct look *before, struct look *now)
{
        for (size_t i = 0; i < now->n_rows; i++) {
                struct row *row = &now->rows[i];
                const struct row *old = find_before(before, row);

                row->values[BY_OPEN] = (double)row->open;
                row->values[BY_MEMORY] = (double)row->use.memory;
                row->values[BY_AGE] = -(double)row->since;
                if (!old)
                        continue;
                row->values[BY_RATE] =
                        per_second(before, now, (double)(row->handed_over - old->handed_over));
                if (row->has_use && old->has_use)
                        row->values[BY_CPU] = per_second(before, now,
                                                      (double)row->use.cpu - (double)old->use.cpu) *
                                              100 / USEC_PER_SEC;
        }
}

static int compare(const void *x, const void *y, void *userdata)
{
        const struct row *a = x, *b = y;
        enum column by = *(enum column *)userdata;
        int r = (a->values[by] < b->values[by]) - (a->values[by] > b->values[by]);

        if (r == 0)
                r = strcmp(a->instance, b->instance);
        return r != 0 ? r : (a->number > b->number) - (a->number < b->number);
}

/* --- Showing --- */

static void add_decimal(struct table *t, double number)
{
        char text[32];

        (void)snprintf(text, sizeof(text), number < 100 ? "%.1f" : "%.0f", number);
        table_add(t, text);
}

static void add_known(struct table *t, long long number)
{
        if (number >= 0)
                table_add_number(t, number);
        else
                table_add(t, "-");
}

static long long sum_waiting(const json_t *status)
{
        const json_t *listener;
        long long sum = -1;
        size_t i;

        json_array_foreach (json_object_get(status, "listeners"), i, listener) {
                long long backlog = number_of(listener, "backlog");

                if (backlog >= 0)
                        sum = MAX(sum, 0) + backlog;
        }

        return sum;
}

static void add_rate(struct table *t, const struct look *before, const struct look *now,
        const char *name, const char *counter)
{
        const json_t *old = json_object_get(json_object_get(before->statuses, name), "counters"),
                     *new = json_object_get(json_object_get(now->statuses, name), "counters");

        if (json_is_object(old) && json_is_object(new))
                add_decimal(
                        t, per_second(before, now,
                                   (double)(number_of(new, counter) - number_of(old, counter))));
        else
                table_add(t, "-");
}

static int print_instances(
        const struct screen *screen, const struct look *before, const struct look *now)
{
        _cleanup_(table_done) struct table t;
        const char *name;
        json_t *status;

        table_init(&t, (const char *const[]){ "INSTANCE", "STATE", ">WORKERS", ">OPEN", ">WAITING",
                               ">ACCEPT/S", ">DONE/S", ">LOST", ">REFUSED", ">FAIL/S", NULL });
        t.width_max = screen->columns;
        t.rows_max = screen->rows;
        json_object_foreach (now->statuses, name, status) {
                const json_t *counters = json_object_get(status, "counters");
                bool runs = json_is_object(status);
                char workers[64] = "-";

                if (runs)
                        (void)snprintf(workers, sizeof(workers), "%lld/%lld",
                                number_of(status, "workersReady"),
                                number_of(status, "workersWanted"));
                table_add(&t, name);
                table_add_state(&t, runs ? ask_name_state(status) : json_string_value(status));
                table_add(&t, workers);
                add_known(&t, number_of(counters, "open"));
                add_known(&t, sum_waiting(status));
                add_rate(&t, before, now, name, "accepted");
                add_rate(&t, before, now, name, "done");
                add_known(&t, number_of(counters, "lost"));
                add_known(&t, number_of(counters, "refused"));
                add_rate(&t, before, now, name, "failed");
        }

        return table_print(&t, "");
}

static void add_worker(struct table *t, const struct row *row, usec_t now)
{
        usec_t since = row->since > 0 ? (usec_t)row->since : 0, age = now - MIN(now, since);
        char text[USEC_FORMAT_SIZE], memory[PROCESS_FORMAT_SIZE];

        table_add(t, row->instance);
        table_add_number(t, row->number);
        table_add_number(t, row->pid);
        table_add_state(t, row->state);
        add_known(t, row->open);
        add_known(t, row->capacity);
        add_decimal(t, row->values[BY_RATE]);
        if (row->has_use)
                add_decimal(t, row->values[BY_CPU]);
        else
                table_add(t, "-");
        table_add(t, row->has_use ? process_format_memory(row->use.memory, memory) : "-");
        table_add(t, age < USEC_PER_SEC ? "0s" : usec_format(age - age % USEC_PER_SEC, text));
}

static int print_workers(const struct screen *screen, const struct look *now, enum column by)
{
        size_t used = json_object_size(now->statuses) + LINES_OTHER;
        _cleanup_(table_done) struct table t;

        if (screen->rows > 0 && used >= screen->rows)
                return 0;

        table_init(&t, (const char *const[]){ "INSTANCE", ">WORKER", ">PID", "STATE", ">OPEN",
                               ">CAPACITY", ">RATE/S", ">CPU%", ">MEMORY", ">RUNS FOR", NULL });
        t.width_max = screen->columns;
        t.rows_max = screen->rows > 0 ? screen->rows - used : 0; /* and one line is the cursor's */
        if (now->n_rows > 0)
                qsort_r(now->rows, now->n_rows, sizeof(*now->rows), compare, &by);
        for (size_t i = 0; i < now->n_rows; i++)
                add_worker(&t, &now->rows[i], now->at);

        fputc('\n', stdout);
        return table_print(&t, "");
}

static void print_title(const struct screen *screen, const struct look *now, enum column by)
{
        time_t t = time(NULL);
        char text[128], clock[32] = "";
        struct tm tm;

        if (localtime_r(&t, &tm))
                (void)strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
        (void)snprintf(text, sizeof(text), "%s  %zu instances  %zu workers by %s%s", clock,
                json_object_size(now->statuses), now->n_rows, columns[by].name,
                screen->is_terminal ? "  (r o c m a: sort, q: quit)" : "");
        printf("%.*s\n\n", screen->columns > 0 ? (int)screen->columns : INT32_MAX, text);
}

static int print_as_json(const struct look *now)
{
        json_auto_t *workers = json_array();
        json_auto_t *json = json_pack("{s:O, s:O}", "instances", now->statuses, "workers", workers);

        for (size_t i = 0; json && i < now->n_rows; i++) {
                const struct row *row = &now->rows[i];

                (void)json_array_append_new(workers,
                        json_pack("{s:s, s:I, s:I, s:f, s:o?, s:o?}", "instance", row->instance,
                                "number", (json_int_t)row->number, "pid", (json_int_t)row->pid,
                                "rate", row->values[BY_RATE], "cpu",
                                row->has_use ? json_real(row->values[BY_CPU]) : NULL, "memory",
                                row->has_use ? json_integer((json_int_t)row->use.memory) : NULL));
        }
        if (!json || json_dumpf(json, stdout, JSON_COMPACT) < 0)
                return -ENOMEM;
        fputc('\n', stdout);

        return 0;
}

static int show(struct screen *screen, const struct look *before, struct look *now, enum column by)
{
        int r;

        compare_rows(before, now);
        screen_begin(screen);
        if (say.json) {
                r = print_as_json(now);
        } else {
                print_title(screen, now, by);
                r = print_instances(screen, before, now);
                if (r >= 0)
                        r = print_workers(screen, now, by);
        }
        screen_end(screen);
        return r;
}

/* --- Again and again --- */

static bool find_column(const char *name, enum column *ret)
{
        for (size_t i = 0; i < COLUMNS; i++)
                if (streq(name, columns[i].name)) {
                        *ret = (enum column)i;
                        return true;
                }

        complain("--sort=%s is not among rate, open, cpu, memory, age.", name);
        return false;
}

/* Waits for the next look. Returns false at the end. */
static bool pass_time(struct screen *screen, const struct look *before, struct look *now,
        enum column *by, usec_t until)
{
        while (usec_now() < until) {
                int key = screen_wait(screen, until);

                if (key == 'q')
                        return false;
                for (size_t i = 0; i < COLUMNS; i++)
                        if (key == columns[i].key)
                                *by = (enum column)i;
                if (usec_now() < until && screen->is_terminal)
                        (void)show(screen, before, now, *by); /* sorted or sized otherwise */
        }

        return !ferror(stdout);
}

static int run(struct screen *screen, const struct arguments *a, char **names, enum column by)
{
        /* Where nobody watches, one picture, with rates */
        uint64_t left = a->iterations ?: screen->is_terminal ? UINT64_MAX : 1;
        struct look before = {}, now = {};
        int r = look_at(&now, a, names);

        if (r >= 0 && screen->is_terminal)
                r = show(screen, &before, &now, by);
        while (r >= 0 && left > 0 &&
                pass_time(screen, &before, &now, &by, usec_add(now.at, a->interval))) {
                look_done(&before);
                before = now;
                r = look_at(&now, a, names);
                if (r >= 0)
                        r = show(screen, &before, &now, by);
                left--;
        }

        look_done(&before);
        look_done(&now);
        return r;
}

int command_top(const struct arguments *a, char **names)
{
        enum column by = BY_RATE;
        struct screen screen;
        int r;

        if (a->sort && !find_column(a->sort, &by))
                return EXIT_FAILURE;

        r = screen_open(&screen);
        if (r >= 0)
                r = run(&screen, a, names, by);
        screen_close(&screen);
        if (r >= 0)
                return 0;

        complain("Cannot look for instances: %s", strerror(-r));
        return EXIT_FAILURE;
}
