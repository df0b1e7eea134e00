/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The dispatcher as a command: settings from a file, drop-ins and -o, what it says of bad ones, and
 * how it exits then. What each key allows is in tests/unit/test-settings.c.
 */

#include <sys/stat.h>

#include "client.h"
#include "procfs.h"

static void write_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

/* The path of a file in the test's folder; static, four at a time. */
static const char *path_of(const struct harness *h, const char *name)
{
        static char paths[4][128];
        static unsigned next;
        char *path = paths[next++ % 4];

        (void)snprintf(path, sizeof(paths[0]), "%s/%s", h->dir, name);
        return path;
}

/* One line on stderr, the same as STATUS=, and exit status 78, which systemd does not restart. */
#define check_refused(h, ...) check_refused_words(h, WORDS(__VA_ARGS__))
static void check_refused_words(struct harness *h, const char *const *words)
{
        harness_expect_exit(h, 78);
        assert_int_equal(harness_count(&h->log, words), 1);
        assert_int_equal(procfs_lines(h->log.text), 1);
        assert_int_equal(harness_count(&h->notify, words), 1);
        assert_int_equal(harness_count(&h->notify, WORDS("READY=1")), 0);
}

static void test_unknown_key(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Wokers=2"));
        check_refused(h, "Wokers=", "known", "Workers=");
}

/* The journal reads <3> as a priority; to people, in a pipe or a file, it means nothing. */
static void test_priorities_only_where_the_journal_reads(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Wokers=2"), .environment = WORDS("JOURNAL_STREAM=1:1"));
        check_refused(h, "Wokers=");
        assert_int_not_equal(h->log.text[0], '<');
}

static void test_priorities_for_the_journal(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Wokers=2"));
        check_refused(h, "Wokers=");
        assert_memory_equal(h->log.text, "<3>", 3);
}

static void test_bad_value(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Distribute=fairly"));
        check_refused(h, "Distribute=", "fairly", "least-connections", "round-robin");
}

static void test_assignment_without_value(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers"));
        check_refused(h, "Workers", "=");
}

static void test_settings_file_is_missing(void **state)
{
        struct harness *h = *state;
        const char *path = path_of(h, "none.conf");

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .arguments = WORDS("-c", path));
        check_refused(h, path, "does not exist", "acceptd.conf");
}

static void test_bad_line_in_the_file(void **state)
{
        struct harness *h = *state;
        const char *path = path_of(h, "bad.conf");

        write_file(path, "[Pool]\nWorkers=2\nMaxConnections=many\n");
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .arguments = WORDS("-c", path));
        check_refused(h, "bad.conf:3", "MaxConnections=", "many", "allowed");
}

static void test_bad_line_in_a_drop_in(void **state)
{
        struct harness *h = *state;
        const char *path = path_of(h, "good.conf"),
                   *drop_in = path_of(h, "good.conf.d/10-mine.conf");

        write_file(path, "[Pool]\nWorkers=2\n");
        assert_int_equal(mkdir(path_of(h, "good.conf.d"), 0755), 0);
        write_file(drop_in, "[Worker]\nTimeoutStartSec=soon\n");
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .arguments = WORDS("-c", path));
        check_refused(h, "10-mine.conf:2", "TimeoutStartSec=", "soon", "allowed");
}

static void test_relative_command(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .command = WORDS("./worker", "--fast"));
        check_refused(h, "./worker", "absolute");
}

/* A bundled worker by its name, which is beside this dispatcher; --check says where. */
static void test_name_of_a_bundled_worker(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .command = WORDS("acceptd-inetd", "cat"));
        harness_await_workers(h, 1);
        client_open(h, &client, 0);
        client_send(&client, "found\n");
        assert_string_equal(client_await_line(h, &client), "found");
        client_close(&client);
        harness_stop(h);
}

static void test_name_of_another_program(void **state)
{
        struct harness *h = *state;

        harness_start(h, .arguments = WORDS("--check", "-oCommand=cat -u"), .command = WORDS());
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "Command=/usr/bin/cat -u"), 1);
}

static void test_name_that_is_nowhere(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .command = WORDS("acceptd-nowhere", "--fast"));
        check_refused(h, "Command=acceptd-nowhere: No such file or directory; looked for in ",
                ":/usr/local/sbin:/usr/local/bin:");
}

/* What --check prints: a line that says where it comes from, and the setting. */
static void check_setting(const struct harness *h, const char *setting, const char *origin)
{
        char pattern[256];

        (void)snprintf(pattern, sizeof(pattern), "%s\n%s\n", origin, setting);
        if (!strstr(h->log.text, pattern))
                fail_msg("no %s with origin %s in:\n%s", setting, origin, h->log.text);
}

/* The settings in force, each with where it comes from: the last one wins. */
static void test_check(void **state)
{
        struct harness *h = *state;
        const char *path = path_of(h, "some.conf"),
                   *drop_in = path_of(h, "some.conf.d/10-mine.conf");

        write_file(path, "[Pool]\nWorkers=2\nMaxConnections=10\nDistribute=round-robin\n");
        assert_int_equal(mkdir(path_of(h, "some.conf.d"), 0755), 0);
        write_file(drop_in, "[Pool]\nMaxConnections=20\nWorkers=3\n");
        harness_start(h, .arguments = WORDS("-c", path, "--check"), .options = WORDS("Workers=4"));
        harness_expect_exit(h, 0);
        check_setting(h, "Workers=4", "command line");
        check_setting(h, "MaxConnections=20", "some.conf.d/10-mine.conf:2");
        check_setting(h, "Distribute=round-robin", "some.conf:4");
        check_setting(h, "TimeoutStopSec=5s", "default");
        assert_int_equal(harness_count_lines(h, "Workers=3"), 0);
        assert_null(h->notify.text);
}

/* Not at the first connection, and not as an error of a worker's */
static void check_of_command(struct harness *h, const char *command, const char *why)
{
        const char *path = path_of(h, "some.conf");
        char text[256];

        (void)snprintf(text, sizeof(text), "[Worker]\nCommand=%s --fast\n", command);
        write_file(path, text);
        harness_start(h, .arguments = WORDS("-c", path, "--check"), .command = WORDS(NULL));
        check_refused(h, "some.conf:2: Command=", command, why);
}

static void test_check_of_a_command_that_is_missing(void **state)
{
        check_of_command(*state, "/nonexistent/worker", "No such file");
}

static void test_check_of_a_command_that_is_not_executable(void **state)
{
        check_of_command(*state, "/etc/passwd", "Permission denied");
}

static void test_check_of_a_command_that_is_a_folder(void **state)
{
        check_of_command(*state, "/etc", "directory");
}

static void test_check_of_bad_settings(void **state)
{
        struct harness *h = *state;

        harness_start(h, .arguments = WORDS("--check"), .options = WORDS("Workers=0"));
        harness_expect_exit(h, 78);
        assert_int_equal(harness_count_lines(h, "Workers=", "0", "allowed"), 1);
}

/* Settings from a file do what they say; the command line goes before them. */
static void test_settings_are_in_force(void **state)
{
        struct harness *h = *state;
        struct client clients[3];
        const char *path = path_of(h, "some.conf");
        char text[512];

        (void)snprintf(text, sizeof(text),
                "[Pool]\nWorkers=1\nMaxConnections=2\n[Worker]\n"
                "Command=\"%s\" --serve=hold --capacity=9\n",
                harness_path("stub-worker"));
        write_file(path, text);
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .arguments = WORDS("-c", path), .command = WORDS());
        client_open_served(h, &clients[0], 0);
        client_open_served(h, &clients[1], 0);
        client_open(h, &clients[2], 0);
        assert_int_equal(harness_counters(h).accepted, 2);
        for (size_t i = 0; i < 3; i++)
                client_close(&clients[i]);
        (void)harness_await_counter(h, done, 3);
        harness_stop(h);
}

/* Without a command: the echo worker beside the program. */
static void test_echo_is_the_default(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .command = WORDS());
        harness_await_ready(h);
        client_open(h, &client, 0);
        client_send(&client, "hello\n");
        assert_string_equal(client_await_line(h, &client), "hello");
        client_close(&client);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

static void test_unknown_option(void **state)
{
        struct harness *h = *state;

        harness_start(h, .arguments = WORDS("--wrong"));
        harness_expect_exit(h, 64);
        assert_int_equal(harness_count_lines(h, "--wrong"), 1);
        assert_int_equal(harness_count_lines(h, "--help"), 1);
}

static void test_help(void **state)
{
        struct harness *h = *state;

        harness_start(h, .arguments = WORDS("--help"));
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "Usage: acceptd"), 1);
        assert_int_equal(harness_count_lines(h, "--check"), 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_unknown_key),
                HARNESS_TEST(test_priorities_only_where_the_journal_reads),
                HARNESS_TEST(test_priorities_for_the_journal),
                HARNESS_TEST(test_bad_value),
                HARNESS_TEST(test_assignment_without_value),
                HARNESS_TEST(test_settings_file_is_missing),
                HARNESS_TEST(test_bad_line_in_the_file),
                HARNESS_TEST(test_bad_line_in_a_drop_in),
                HARNESS_TEST(test_relative_command),
                HARNESS_TEST(test_name_of_a_bundled_worker),
                HARNESS_TEST(test_name_of_another_program),
                HARNESS_TEST(test_name_that_is_nowhere),
                HARNESS_TEST(test_check),
                HARNESS_TEST(test_check_of_a_command_that_is_missing),
                HARNESS_TEST(test_check_of_a_command_that_is_not_executable),
                HARNESS_TEST(test_check_of_a_command_that_is_a_folder),
                HARNESS_TEST(test_check_of_bad_settings),
                HARNESS_TEST(test_settings_are_in_force),
                HARNESS_TEST(test_echo_is_the_default),
                HARNESS_TEST(test_unknown_option),
                HARNESS_TEST(test_help),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
