/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a worker finds when it starts: descriptors, process group, signals, environment; and what
 * the dispatcher tells the service manager.
 */

#include <sched.h>
#include <signal.h>

#include "client.h"
#include "procfs.h"

/* What systemd sets for the dispatcher, and what it does not but others might. */
#define SERVICE_ENVIRONMENT                                                                        \
        "FDSTORE=512", "SYSTEMD_EXEC_PID=1", "JOURNAL_STREAM=1:1", "INVOCATION_ID=0123456789",     \
                "ACCEPTD_WORKER=77", "ACCEPTD_CHANNEL=88", "ACCEPTD_LISTENERS=none",               \
                "A_SETTING=of the unit", "EMPTY="

/* 32 and 33 are glibc's own, and posix_spawn(3) starts every process with them ignored. */
#define SIGNALS_OF_GLIBC ((1ULL << 31) | (1ULL << 32))

/* Returns the report of a worker, for the caller to free. */
static char *get_report(struct harness *h, const char *const *arguments)
{
        struct client client;
        char *report;

        (void)listener_add(h, LISTENER_UNIX, "main");
        (void)listener_add(h, LISTENER_UNIX, "second");
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .arguments = arguments, .options = WORDS("Workers=1"),
                .stub = WORDS("--serve=report"), .watchdog = 60 * USEC_PER_SEC,
                .environment = WORDS(SERVICE_ENVIRONMENT));
        harness_await_ready(h);
        client_open(h, &client, 0);
        report = client_await_all(h, &client);
        assert_non_null(strstr(report, "\nend\n"));

        return report;
}

static bool has_line(const char *report, const char *line)
{
        size_t length = strlen(line);

        for (const char *p = report; (p = strstr(p, line)); p++)
                if ((p == report || p[-1] == '\n') && p[length] == '\n')
                        return true;

        return false;
}

/* Returns the rest of the first line that starts so, or NULL. */
static const char *find_line(const char *report, const char *start)
{
        static char line[256];
        char pattern[64];
        const char *p;

        (void)snprintf(pattern, sizeof(pattern), "\n%s", start);
        p = strstr(report, pattern);
        if (!p)
                return NULL;
        p += strlen(pattern);
        (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(p, "\n"), p);

        return line;
}

/* 0 is /dev/null, 1 and 2 are the unit's, then the channel, and that is all. */
static void test_descriptors(void **state)
{
        struct harness *h = *state;
        _cleanup_(freep) char *report = get_report(h, NULL);
        char out[256];
        unsigned n = 0;

        for (const char *p = report; (p = strstr(p, "\nfd ")); p++)
                n++;
        assert_int_equal(n, 4);
        assert_string_equal(find_line(report, "fd 0 "), "/dev/null");
        (void)snprintf(out, sizeof(out), "%s", find_line(report, "fd 1 "));
        assert_non_null(startswith(out, "pipe:"));
        assert_string_equal(find_line(report, "fd 2 "), out);
        assert_non_null(startswith(find_line(report, "fd 3 "), "socket:"));
        assert_true(has_line(report, "env ACCEPTD_CHANNEL=3"));
        harness_stop(h);
}

static void test_process_group_and_signals(void **state)
{
        struct harness *h = *state;
        _cleanup_(freep) char *report = get_report(h, NULL);
        int pid, sid, pgid, ppid;

        assert_int_equal(
                sscanf(report, "process pid=%d sid=%d pgid=%d ppid=%d", &pid, &sid, &pgid, &ppid),
                4);
        assert_int_equal(sid, getsid(0));
        assert_int_equal(pgid, pid);
        assert_int_equal(ppid, h->pid);
        assert_int_equal(strtoull(find_line(report, "status SigBlk:"), NULL, 16), 0);
        assert_int_equal(
                strtoull(find_line(report, "status SigIgn:"), NULL, 16) & ~SIGNALS_OF_GLIBC, 0);
        assert_int_equal(strtoull(find_line(report, "status SigPnd:"), NULL, 16), 0);
        harness_stop(h);
}

static void test_environment(void **state)
{
        static const char *const gone[] = { "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "FDSTORE",
                "SYSTEMD_EXEC_PID", "JOURNAL_STREAM" };
        struct harness *h = *state;
        _cleanup_(freep) char *report = get_report(h, NULL);

        for (size_t i = 0; i < ELEMENTSOF(gone); i++) {
                char start[64];

                (void)snprintf(start, sizeof(start), "env %s", gone[i]);
                assert_null(find_line(report, start));
        }

        assert_true(has_line(report, "env PATH=/usr/bin:/bin"));
        assert_true(has_line(report, "env A_SETTING=of the unit"));
        assert_true(has_line(report, "env EMPTY="));
        assert_true(has_line(report, "env INVOCATION_ID=0123456789"));
        assert_true(has_line(report, "env ACCEPTD_WORKER=1"));
        assert_true(has_line(report, "env ACCEPTD_FEATURES=39"));
        assert_true(has_line(report, "env ACCEPTD_LISTENERS=main:second"));
        assert_non_null(find_line(report, "env ACCEPTD_INSTANCE="));
        harness_stop(h);

        /* each once, though the unit had some of its own */
        for (const char *name = "\nenv ACCEPTD_", *p = report; (p = strstr(p, name)); p++) {
                char start[64];

                (void)snprintf(start, sizeof(start), "%.*s", (int)strcspn(p + 1, "=") + 2, p);
                assert_null(strstr(p + 1, start));
        }
}

static void expect_scheduling(struct harness *h, const char *setting, int dispatcher, int worker)
{
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", setting), .stub = WORDS("--serve=hold"));
        client_open_served(h, &client, 0);
        assert_int_equal(sched_getscheduler(h->pid), dispatcher);
        assert_int_equal(sched_getscheduler(client.pid), worker);
        client_close(&client);
        harness_stop(h);
}

/* The dispatcher interrupts nobody, and neither do workers, but where the unit says otherwise. */
static void test_scheduling(void **state)
{
        int of_the_unit = sched_getscheduler(0);
        int batch = of_the_unit == SCHED_OTHER ? SCHED_BATCH : of_the_unit;

        expect_scheduling(*state, "CPUSchedulingPolicy=", batch, batch);
}

static void test_scheduling_as_set(void **state)
{
        int of_the_unit = sched_getscheduler(0);
        bool is_free = of_the_unit == SCHED_OTHER || of_the_unit == SCHED_BATCH;

        expect_scheduling(*state, "CPUSchedulingPolicy=other", is_free ? SCHED_BATCH : of_the_unit,
                is_free ? SCHED_OTHER : of_the_unit);
}

/* The instance has the name of its settings file. */
static void test_instance(void **state)
{
        struct harness *h = *state;
        _cleanup_(freep) char *report = NULL;
        char path[128];
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/some-name.conf", h->dir);
        f = fopen(path, "we");
        assert_non_null(f);
        fputs("[Pool]\nMaxConnections=5\n", f);
        fclose(f);
        report = get_report(h, WORDS("-c", path));
        assert_true(has_line(report, "env ACCEPTD_INSTANCE=some-name"));
        harness_stop(h);
}

/* A number is never given twice, so that a line in the journal means one worker. */
static void test_numbers_count_up(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        for (unsigned i = 1; i <= 4; i++) {
                struct client client;

                client_open_served(h, &client, 0);
                assert_int_equal(client.worker, i);
                assert_int_equal(kill(client.pid, SIGKILL), 0);
                (void)client_await_end(h, &client);
        }
        harness_stop(h);
}

static void test_watchdog(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .watchdog = 500 * USEC_PER_MSEC);
        harness_await_ready(h);
        for (int i = 0; i < 3; i++)
                harness_await_notify(h, "WATCHDOG=1");
        harness_stop(h);
}

/* Also while no worker starts: that is no fault of the dispatcher. */
static void test_watchdog_while_workers_fail(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--exit=1", "--at=start"),
                .watchdog = 500 * USEC_PER_MSEC);
        for (int i = 0; i < 3; i++)
                harness_await_notify(h, "WATCHDOG=1");
        harness_stop(h);
}

static void test_no_watchdog(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        (void)client_await_end(h, &client);
        harness_await_notify(h, "STATUS=", "1 done");
        harness_stop(h);
        assert_int_equal(harness_count(&h->notify, WORDS("WATCHDOG=1")), 0);
}

/* STATUS has the figures: workers ready of all, open, done, failed, lost. */
static void test_status(void **state)
{
        struct harness *h = *state;
        struct client clients[3];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=3"), .stub = WORDS("--serve=hold"));
        harness_await_notify(h, "STATUS=", "3/3");
        for (size_t i = 0; i < 3; i++)
                client_open_served(h, &clients[i], 0);
        harness_await_notify(h, "STATUS=", "3 open", "0 done", "0 failed", "0 lost", "full");
        client_close(&clients[0]);
        assert_int_equal(kill(clients[1].pid, SIGKILL), 0);
        (void)client_await_end(h, &clients[1]);
        harness_await_notify(h, "STATUS=3/3", "1 open", "1 done", "0 failed", "1 lost");
        client_close(&clients[2]);
        harness_stop(h);
}

/* However long workers take to start: the service manager would lose its patience after 90 s. */
static void test_start_asks_for_time(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "TimeoutStartSec=5min"),
                .stub = WORDS("--never-ready"));
        for (int i = 0; i < 3; i++)
                harness_await_notify(h, "EXTEND_TIMEOUT_USEC=15000000");
        assert_int_equal(harness_count(&h->notify, WORDS("READY=1")), 0);
        harness_stop(h);
}

/* Where nobody wants notifications, nothing depends on them. */
static void test_without_a_service_manager(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .environment = WORDS("NOTIFY_SOCKET="));
        client_open_served(h, &client, 0);
        (void)client_await_end(h, &client);
        harness_stop(h);
        assert_null(h->notify.text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_descriptors),
                HARNESS_TEST(test_process_group_and_signals),
                HARNESS_TEST(test_environment),
                HARNESS_TEST(test_scheduling),
                HARNESS_TEST(test_scheduling_as_set),
                HARNESS_TEST(test_instance),
                HARNESS_TEST(test_numbers_count_up),
                HARNESS_TEST(test_watchdog),
                HARNESS_TEST(test_watchdog_while_workers_fail),
                HARNESS_TEST(test_no_watchdog),
                HARNESS_TEST(test_status),
                HARNESS_TEST(test_start_asks_for_time),
                HARNESS_TEST(test_without_a_service_manager),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
