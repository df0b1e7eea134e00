/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptctl metrics: the grammar of both formats, as promtool and a scraper have it, and HTTP.
 */

#include <ctype.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

/* --- Grammar --- */

struct family {
        char name[128], type[16];
        bool has_help, has_samples, is_over;
};

struct parsed {
        struct family families[128];
        size_t n_families;
        json_t *series; /* names with labels, to values */
        bool openmetrics;
};

static struct family *find_family(struct parsed *p, const char *name)
{
        for (size_t i = 0; i < p->n_families; i++)
                if (streq(p->families[i].name, name))
                        return &p->families[i];

        return NULL;
}

/* Returns the family whose sample may have this name. */
static struct family *find_of_sample(struct parsed *p, const char *name)
{
        static const char *const suffixes[] = { "", "_total", "_bucket", "_sum", "_count" };

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                size_t n = strlen(name), m = strlen(suffixes[i]);
                char base[128];
                struct family *f;

                if (n <= m || !streq(name + n - m, suffixes[i]))
                        continue;
                (void)snprintf(base, sizeof(base), "%.*s", (int)(n - m), name);
                f = find_family(p, base);
                if (f)
                        return f;
        }

        return NULL;
}

static void parse_head(struct parsed *p, const char *line)
{
        char kind[8], name[128], rest[256];

        assert_int_equal(sscanf(line, "# %7s %127s %255[^\n]", kind, name, rest), 3);
        if (streq(kind, "HELP")) {
                struct family *f = &p->families[p->n_families++];

                assert_null(find_family(p, name)); /* once */
                *f = (struct family){ .has_help = true };
                strcpy(f->name, name);
                for (size_t i = 0; i + 1 < p->n_families; i++)
                        p->families[i].is_over = true; /* no sample of it may follow */
        } else if (streq(kind, "TYPE")) {
                struct family *f = find_family(p, name);

                assert_true(f && f->has_help && !f->type[0] && !f->has_samples);
                (void)snprintf(f->type, sizeof(f->type), "%.15s", rest);
                assert_true(
                        streq(rest, "gauge") || streq(rest, "counter") || streq(rest, "histogram"));
        } else {
                assert_string_equal(kind, "UNIT");
                assert_true(p->openmetrics);
                assert_string_equal(name + strlen(name) - strlen(rest), rest);
        }
}

static void parse_sample(struct parsed *p, const char *line)
{
        const char *brace = strchr(line, '{'), *end = memrchr(line, '}', strcspn(line, "\n"));
        struct family *f;
        char name[128], series[512];
        char *rest;
        double value;

        if (!brace || !end || end < brace || end[1] != ' ')
                fail_msg("no sample: %.80s", line);
        (void)snprintf(name, sizeof(name), "%.*s", (int)(brace - line), line);
        for (const char *c = name; *c; c++)
                assert_true(islower(*c) || *c == '_');
        f = find_of_sample(p, name);
        if (!f || f->is_over)
                fail_msg("%s stands apart from its family", name);
        f->has_samples = true;
        if (streq(f->type, "counter"))
                assert_non_null(strstr(name, "_total"));
        value = strtod(end + 2, &rest);
        assert_true(*rest == '\n' && value >= 0);

        (void)snprintf(series, sizeof(series), "%.*s", (int)(end - line), line);
        assert_null(json_object_get(p->series, series)); /* once */
        assert_null(strstr(series, "worker=\""));
        assert_int_equal(json_object_set_new(p->series, series, json_real(value)), 0);
}

/* Fails where it is no such text. */
static void parse(struct parsed *p, const char *text, bool openmetrics)
{
        *p = (struct parsed){ .series = json_object(), .openmetrics = openmetrics };
        for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
                assert_non_null(strchr(line, '\n'));
                if (strncmp(line, "# EOF\n", 6) == 0) {
                        assert_true(openmetrics && line[6] == '\0');
                        return;
                }
                if (line[0] == '#')
                        parse_head(p, line);
                else
                        parse_sample(p, line);
        }
        assert_false(openmetrics); /* that ends with EOF */
}

static double value_of(const struct parsed *p, const char *series)
{
        const json_t *value = json_object_get(p->series, series);

        if (!value)
                fail_msg("no %s", series);
        return json_real_value(value);
}

static void test_both_formats_follow_their_grammar(void **state)
{
        struct harness *h = *state;
        struct parsed text, open;
        struct client client;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_TCP4, "main");
        (void)listener_add(h, LISTENER_UNIX, "local");
        ctl_start(h, &ctl, .options = WORDS("Workers=2"), .stub = WORDS("--serve=line"));
        harness_await_workers(h, 2);
        for (int i = 0; i < 7; i++) {
                client_open_served(h, &client, 0);
                client_close(&client);
        }
        (void)harness_await_counter(h, done, 7);

        assert_int_equal(ctl_run(h, &ctl, "metrics"), 0);
        parse(&text, ctl_out, false);
        assert_non_null(find_family(&text, "acceptd_connections_accepted_total"));
        assert_true(value_of(&text, "acceptd_up{pool=\"test\"") == 1);
        assert_true(value_of(&text, "acceptd_connections_accepted_total{pool=\"test\"") == 7);
        assert_true(value_of(&text, "acceptd_state{pool=\"test\",state=\"ready\"") == 1);
        assert_true(value_of(&text, "acceptd_workers{pool=\"test\",state=\"ready\"") == 2);
        assert_non_null(
                strstr(ctl_out, "acceptd_listener_backlog{pool=\"test\",listener=\"main\""));
        /* where the kernel does not tell it there is no 0 */
        assert_null(strstr(ctl_out, "acceptd_listener_backlog{pool=\"test\",listener=\"local\""));

        assert_int_equal(ctl_run(h, &ctl, "metrics", "test", "--openmetrics"), 0);
        parse(&open, ctl_out, true);
        assert_non_null(find_family(&open, "acceptd_connections_accepted"));
        assert_int_equal(json_object_size(open.series), json_object_size(text.series));
        json_decref(text.series);
        json_decref(open.series);
        harness_stop(h);
}

static void test_histogram_adds_up(void **state)
{
        static const char bucket[] = "acceptd_connection_wait_seconds_bucket{";
        struct harness *h = *state;
        struct parsed p;
        struct client client;
        double last = 0, last_le = 0;
        const char *series;
        json_t *value;
        struct ctl ctl;

        ctl_start_one(h, &ctl); /* a stub says nothing of waiting */
        client_open_served(h, &client, 0);
        client_close(&client);
        assert_int_equal(ctl_run(h, &ctl, "metrics"), 0);
        parse(&p, ctl_out, false);
        json_object_foreach (p.series, series, value) {
                const char *le = strstr(series, "le=\"");

                if (strncmp(series, bucket, strlen(bucket)) != 0)
                        continue;
                assert_true(strtod(le + 4, NULL) > last_le);
                assert_true(json_real_value(value) >= last);
                last_le = strtod(le + 4, NULL); /* infinite in the end */
                last = json_real_value(value);
        }
        assert_true(last == value_of(&p, "acceptd_connection_wait_seconds_count{pool=\"test\""));
        assert_true(last_le > 1e300);
        json_decref(p.series);
        harness_stop(h);
}

static void test_restarts_make_no_new_series(void **state)
{
        struct harness *h = *state;
        struct parsed before, after;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "metrics"), 0);
        parse(&before, ctl_out, false);
        for (unsigned i = 0; i < 3; i++) {
                json_auto_t *status = ctl_status(h, &ctl);
                const json_t *worker = json_array_get(json_object_get(status, "workers"), 0);

                assert_int_equal(kill((pid_t)ctl_number(worker, "pid"), SIGKILL), 0);
                harness_await_line(h, "Worker", "ended by SIGKILL");
                harness_await_line(h, "is ready");
        }
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--ready", "--no-old"), 0);
        assert_int_equal(ctl_run(h, &ctl, "metrics"), 0);
        parse(&after, ctl_out, false);
        assert_int_equal(json_object_size(before.series), json_object_size(after.series));
        json_decref(before.series);
        json_decref(after.series);
        harness_stop(h);
}

static void test_instance_that_does_not_answer_is_down(void **state)
{
        struct harness *h = *state;
        struct parsed p;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        assert_int_equal(kill(h->pid, SIGSTOP), 0);
        assert_int_equal(ctl_run(h, &ctl, "metrics"), 0);
        assert_int_equal(kill(h->pid, SIGCONT), 0);
        parse(&p, ctl_out, false);
        assert_true(value_of(&p, "acceptd_up{pool=\"test\"") == 0);
        assert_int_equal(json_object_size(p.series), 1);
        json_decref(p.series);
        harness_stop(h);
}

/* Where it is installed (Debian: prometheus): what it finds is a mistake of ours. */
static void test_promtool_finds_nothing(void **state)
{
        struct harness *h = *state;
        char command[512];
        struct ctl ctl;

        ctl_init(h, &ctl);
        if (system("command -v promtool >/dev/null") != 0)
                harness_skip(h, "promtool is not installed");
        (void)listener_add(h, LISTENER_TCP4, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=2"));
        harness_await_ready(h);
        (void)snprintf(command, sizeof(command), "%s %s metrics | promtool check metrics 1>&2",
                harness_path("../../acceptctl"), ctl.root);
        assert_int_equal(system(command), 0);
        harness_stop(h);
}

/* --- HTTP --- */

/* Sends a request as it is. Returns the answer; static. */
static const char *scrape(struct harness *h, const struct ctl *ctl, const char *request)
{
        static char text[262144];
        size_t n = 0;
        ssize_t r;
        int ends[2], status;
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)dup2(ends[1], STDIN_FILENO);
                (void)dup2(ends[1], STDOUT_FILENO);
                execl(harness_path("../../acceptctl"), "acceptctl", ctl->root, "metrics", "--http",
                        (char *)NULL);
                _exit(127);
        }
        (void)fd_close(ends[1]);
        assert_int_equal(send(ends[0], request, strlen(request), MSG_NOSIGNAL), strlen(request));
        assert_int_equal(shutdown(ends[0], SHUT_WR), 0);
        while (harness_wait(h, ends[0], POLLIN) &&
                (r = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0)
                n += (size_t)r;
        (void)fd_close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        text[n] = '\0';
        return text;
}

/* Returns the body, whose length is as the head says. */
static const char *check_body(const char *answer)
{
        const char *length = strstr(answer, "Content-Length: "), *body = strstr(answer, "\r\n\r\n");

        assert_true(length && body);
        assert_int_equal(strtoul(length + 16, NULL, 10), strlen(body + 4));
        return body + 4;
}

static void test_http(void **state)
{
        struct harness *h = *state;
        struct parsed p;
        const char *text;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        text = scrape(h, &ctl, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
        assert_non_null(strstr(text, "Content-Type: text/plain; version=0.0.4"));
        parse(&p, check_body(text), false);
        assert_true(value_of(&p, "acceptd_up{pool=\"test\"") == 1);
        json_decref(p.series);

        text = scrape(h, &ctl,
                "GET /metrics?x=y HTTP/1.1\r\naccept: application/openmetrics-text;version=1.0.0,"
                "text/plain;q=0.5\r\n\r\n");
        assert_non_null(strstr(text, "Content-Type: application/openmetrics-text; version=1.0.0"));
        parse(&p, check_body(text), true);
        json_decref(p.series);

        text = scrape(h, &ctl, "HEAD /metrics HTTP/1.1\r\n\r\n");
        assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
        assert_memory_equal(scrape(h, &ctl, "GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 404", 12);
        assert_memory_equal(scrape(h, &ctl, "GET /metricsx HTTP/1.1\r\n\r\n"), "HTTP/1.1 404", 12);
        assert_memory_equal(scrape(h, &ctl, "POST /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405", 12);
        assert_memory_equal(scrape(h, &ctl, "GET /metrics HTTP/1.1\r\n"), "HTTP/1.1 400", 12);
        assert_memory_equal(scrape(h, &ctl, ""), "HTTP/1.1 400", 12);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_both_formats_follow_their_grammar),
                HARNESS_TEST(test_histogram_adds_up),
                HARNESS_TEST(test_restarts_make_no_new_series),
                HARNESS_TEST(test_instance_that_does_not_answer_is_down),
                HARNESS_TEST(test_promtool_finds_nothing),
                HARNESS_TEST(test_http),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
