/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How programs of acceptd-inetd end, and what is said of it. That no process is left,
 * harness_expect_exit() checks in every test.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"
#include "inetd-fixture.h"
#include "procfs.h"

/* --- By themselves --- */

static void ask(struct harness *h)
{
        free(inetd_ask(h, 0));
}

static void test_exit_with_0_is_not_worth_a_word(void **state)
{
        struct harness *h = *state;

        inetd_start(h, WORDS("Workers=1"), WORDS("true"));
        ask(h);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "acceptd-inetd"), 0);
}

static void test_exit_with_another_status(void **state)
{
        struct harness *h = *state;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "exit 3"));
        ask(h);
        harness_await_line(h, "acceptd-inetd: sh (PID ", ") exited with status 3");
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

static void test_end_by_a_signal(void **state)
{
        struct harness *h = *state;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "kill -KILL $$"));
        ask(h);
        harness_await_line(h, "acceptd-inetd: sh (PID ", ") was ended by SIGKILL");
        (void)harness_await_counter(h, failed, 1);
        harness_stop(h);
}

/* A program that writes to a client that has left gets SIGPIPE. */
static void test_client_that_leaves_is_no_failure(void **state)
{
        struct harness *h = *state;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "kill -PIPE $$"));
        ask(h);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "acceptd-inetd"), 0);
}

/* Many that end alike are a few lines, and how many more there were. */
static void test_flood_of_failures_is_no_flood_of_lines(void **state)
{
        struct harness *h = *state;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "exit 3"));
        for (int i = 0; i < 50; i++)
                ask(h);
        (void)harness_await_counter(h, done, 50);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "acceptd-inetd: sh (PID "), 5);
        assert_int_equal(
                harness_count_lines(h, "acceptd-inetd: sh exited with another status than 0 "
                                       "45 more times"),
                1);
}

/* What the main process leaves in its group ends with it, and does not keep the client waiting. */
static void test_child_in_the_background(void **state)
{
        struct harness *h = *state;
        struct client client;
        pid_t child;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "sleep 1000 & echo $!"));
        child = inetd_open(h, &client);
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        inetd_await_orphan(h, child);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

/* --- Programs that cannot be executed --- */

/* Its clients wait in the backlog, and it is said what is wrong. */
static void expect_failed_start(
        struct harness *h, const char *const *arguments, const char *line, const char *status)
{
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .command = inetd_command(arguments));
        harness_await_ready(h);
        harness_await_line(h, line);
        harness_await_notify(h, "STATUS=0/1", status);
        client_open(h, &client, 0);
        assert_int_equal(harness_counters(h).accepted, 0);
        assert_true(client_waits(h, &client));
        client_close(&client);
        harness_stop(h);
}

static void test_program_that_is_not_there(void **state)
{
        expect_failed_start(*state, WORDS("/nowhere/program", "x"),
                "acceptd-inetd: /nowhere/program: No such file or directory", "status 69");
}

static void test_name_that_is_nowhere(void **state)
{
        expect_failed_start(*state, WORDS("acceptd-nowhere"),
                "acceptd-inetd: acceptd-nowhere: No such file or directory in /usr/local/sbin:",
                "status 69");
}

static void test_program_that_is_not_executable(void **state)
{
        expect_failed_start(*state, WORDS("/etc/passwd"),
                "acceptd-inetd: /etc/passwd: Permission denied", "status 69");
}

static void test_no_program(void **state)
{
        expect_failed_start(
                *state, WORDS("--capacity=3"), "acceptd-inetd: no program: allowed: ", "status 64");
}

static void make_program(const struct harness *h, char path[static PATH_MAX], const char *text)
{
        FILE *f;

        (void)snprintf(path, PATH_MAX, "%s/program", h->dir);
        f = fopen(path, "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
        assert_int_equal(chmod(path, 0755), 0);
}

/* One client pays for it, the next ones wait for the program to be back. */
static void test_program_that_vanishes(void **state)
{
        struct harness *h = *state;
        char path[PATH_MAX], away[PATH_MAX + 8];
        struct client clients[2];
        char *text;

        make_program(h, path, "#!/bin/sh\necho here\n");
        (void)snprintf(away, sizeof(away), "%s.away", path);
        inetd_start(
                h, WORDS("Workers=1", "RestartSec=50ms", "RestartMaxDelaySec=100ms"), WORDS(path));
        text = inetd_ask(h, 0);
        assert_string_equal(text, "here\n");
        free(text);

        assert_int_equal(rename(path, away), 0);
        ask(h);
        harness_await_line(h, "acceptd-inetd: ", "cannot be executed: No such file or directory");
        harness_await_line(h, "orker 1 ", "exited with status 69 (EX_UNAVAILABLE)");
        harness_await_line(h, "acceptd-inetd: ", "program: No such file or directory");
        for (int i = 0; i < 2; i++)
                client_open(h, &clients[i], 0);
        assert_true(client_waits(h, &clients[0]));

        assert_int_equal(rename(away, path), 0);
        for (int i = 0; i < 2; i++) {
                assert_string_equal(client_await_line(h, &clients[i]), "here");
                (void)client_await_end(h, &clients[i]);
        }
        assert_int_equal(harness_await_counter(h, done, 3).failed, 1);
        harness_stop(h);
}

/* Those that run are finished first. */
static void test_program_that_vanishes_while_others_run(void **state)
{
        struct harness *h = *state;
        char path[PATH_MAX];
        struct client running, waiting;

        make_program(h, path, "#!/bin/sh\necho $$\ncat\n");
        inetd_start(h, WORDS("Workers=1"), WORDS(path));
        (void)inetd_open(h, &running);
        assert_int_equal(unlink(path), 0);
        ask(h);
        harness_await_line(h, "cannot be executed");
        client_open(h, &waiting, 0);
        client_send(&running, "still there?\n");
        assert_string_equal(client_await_line(h, &running), "still there?");
        assert_true(client_waits(h, &waiting));
        client_close(&running);
        harness_await_line(h, "orker 1 ", "exited with status 69");
        make_program(h, path, "#!/bin/sh\necho back\n");
        assert_string_equal(client_await_line(h, &waiting), "back");
        (void)client_await_end(h, &waiting);
        harness_stop(h);
}

/* What is short for a moment costs no client its connection. */
static void test_processes_are_scarce(void **state)
{
        struct harness *h = *state;
        struct rlimit before, four; /* dispatcher, worker, guard, one program */
        struct client first, second;
        char path[PATH_MAX];

        if (geteuid() != 0)
                harness_skip(h, "needs root");
        assert_int_equal(getrlimit(RLIMIT_NPROC, &before), 0);
        four = (struct rlimit){ .rlim_cur = 4, .rlim_max = before.rlim_max };

        (void)snprintf(path, sizeof(path), "%s", harness_path("../../acceptd-inetd"));
        harness_copy_program(h, "acceptd-inetd", path);
        (void)listener_add(h, LISTENER_UNIX, "main");
        assert_int_equal(setrlimit(RLIMIT_NPROC, &four), 0);
        harness_start(h, .options = WORDS("Workers=1"), .command = WORDS(path, "cat"),
                .unprivileged = true);
        assert_int_equal(setrlimit(RLIMIT_NPROC, &before), 0);
        harness_await_workers(h, 1);

        client_open(h, &first, 0);
        client_send(&first, "first\n");
        assert_string_equal(client_await_line(h, &first), "first");
        client_open(h, &second, 0);
        client_send(&second, "second\n");
        harness_await_line(h, "acceptd-inetd: cat cannot be started now: Resource temporarily");
        assert_true(client_waits(h, &second));
        client_close(&first);
        assert_string_equal(client_await_line(h, &second), "second");
        client_close(&second);
        (void)harness_await_counter(h, done, 2);
        harness_stop(h);
}

/* A shell that finds nothing to execute: no stream of clients that are let down. */
static void test_status_127(void **state)
{
        struct harness *h = *state;
        struct client next;

        inetd_start(h, WORDS("Workers=1", "RestartSec=1h", "RestartMaxDelaySec=1h"),
                WORDS("sh", "-c", "exec acceptd-nowhere 2>/dev/null"));
        ask(h);
        harness_await_line(h, "exited with status 127");
        harness_await_line(h, "orker 1 ", "exited with status 69");
        (void)harness_await_counter(h, failed, 1);
        client_open(h, &next, 0);
        (void)harness_counters(h);
        assert_true(client_waits(h, &next));
        client_close(&next);
        harness_stop(h);
}

/* One that has worked before is not given up for a client that brings it to this. */
static void test_status_127_after_service(void **state)
{
        struct harness *h = *state;
        struct client client;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "read s; exit $s"));
        for (int i = 0; i < 6; i++) {
                client_open(h, &client, 0);
                client_send(&client, i % 2 ? "127\n" : "0\n");
                (void)client_await_end(h, &client);
                if (i == 0) /* its end is seen before the next one's */
                        (void)harness_await_counter(h, done, 1);
        }
        /* ends that come at once are told in any order, one by one */
        (void)harness_await_counter(h, failed, 3);
        assert_int_equal(harness_await_counter(h, done, 3).failed, 3);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "orker 2 "), 0);
}

/* --- By force --- */

static void test_runtime_max(void **state)
{
        struct harness *h = *state;
        struct client client;

        inetd_start(h, WORDS("Workers=1"), WORDS("--runtime-max=200ms", "sleep", "1000"));
        client_open(h, &client, 0);
        (void)client_await_end(h, &client);
        harness_await_line(
                h, "acceptd-inetd: sleep (PID ", ") had run for 200ms, and was ended by SIGTERM");
        (void)harness_await_counter(h, failed, 1);
        harness_stop(h);
}

static void test_runtime_max_of_one_that_does_not_listen(void **state)
{
        struct harness *h = *state;
        struct client client;

        inetd_start(h, WORDS("Workers=1"),
                WORDS("--runtime-max=100ms", "--stop-timeout=100ms", "sh", "-c",
                        "trap '' TERM; echo $$; exec cat"));
        (void)inetd_open(h, &client);
        (void)client_await_end(h, &client);
        harness_await_line(
                h, "acceptd-inetd: sh (PID ", ") had run for 100ms, and was ended by SIGKILL");
        (void)harness_await_counter(h, failed, 1);
        harness_stop(h);
}

static void test_drain_waits_for_programs(void **state)
{
        struct harness *h = *state;
        struct client client;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "echo $$; exec cat"));
        (void)inetd_open(h, &client);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_notify(h, "STOPPING=1");
        client_send(&client, "still there?\n");
        assert_string_equal(client_await_line(h, &client), "still there?");
        assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "SIGTERM"), 0);
        assert_int_equal(harness_count_lines(h, "counters:", "done=1", "lost=0"), 1);
}

/* The program says good-bye, and the worker ends as one that was not killed. */
static void test_sigterm_is_passed_on(void **state)
{
        struct harness *h = *state;
        struct client client;

        inetd_start(h, WORDS("Workers=1", "DrainTimeoutSec=100ms"),
                WORDS("sh", "-c",
                        "trap 'echo bye; exit 0' TERM; echo $$; while :; do sleep 0.1; done"));
        (void)inetd_open(h, &client);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_line(h, "orker 1 ", "SIGTERM");
        harness_await_line(
                h, "acceptd-inetd: sh (1 process) is sent the SIGTERM that this worker got");
        assert_string_equal(client_await_line(h, &client), "bye");
        (void)client_await_end(h, &client);
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "counters:", "done=1", "lost=0"), 1);
}

static void test_sigkill_follows(void **state)
{
        struct harness *h = *state;
        struct client client;

        inetd_start(h, WORDS("Workers=1", "DrainTimeoutSec=100ms"),
                WORDS("--stop-timeout=100ms", "sh", "-c", "trap '' TERM; echo $$; exec cat"));
        (void)inetd_open(h, &client);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        (void)client_await_end(h, &client);
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "It gets SIGKILL"), 0);
        assert_int_equal(harness_count_lines(h, "counters:", "failed=1", "lost=0", "open=0"), 1);
}

/* --- With the worker --- */

#define TREE_MAX 16

/* The worker's children: programs and the guard. */
static size_t collect(const struct harness *h, pid_t pids[static TREE_MAX])
{
        return procfs_children(inetd_worker(h), pids, TREE_MAX);
}

/* What is counted lost is lost, with all that it has started. */
static void test_killed_worker_takes_its_programs_along(void **state)
{
        struct harness *h = *state;
        struct client clients[3];
        pid_t tree[TREE_MAX], children[3];
        size_t n;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "sleep 1000 & echo $!; wait"));
        for (int i = 0; i < 3; i++)
                children[i] = inetd_open(h, &clients[i]);
        n = collect(h, tree);
        assert_int_equal(n, 4);

        assert_int_equal(kill(inetd_worker(h), SIGKILL), 0);
        for (int i = 0; i < 3; i++)
                (void)client_await_end(h, &clients[i]);
        for (size_t i = 0; i < n; i++)
                inetd_await_orphan(h, tree[i]);
        for (int i = 0; i < 3; i++)
                inetd_await_orphan(h, children[i]);
        harness_await_line(h, "orker 1 ", "SIGKILL", "with 3 connections");
        assert_int_equal(harness_await_counter(h, lost, 3).open, 0);
        harness_stop(h);
}

/* A program that has changed its user is not told of its parent's death by the kernel. */
static void test_killed_worker_and_a_program_of_another_user(void **state)
{
        struct harness *h = *state;
        struct client client;
        pid_t tree[TREE_MAX];
        size_t n;

        if (geteuid() != 0 || access("/usr/bin/setpriv", X_OK) < 0)
                harness_skip(h, "needs root and setpriv");
        inetd_start(h, WORDS("Workers=1"),
                WORDS("setpriv", "--reuid=65534", "--clear-groups", "sh", "-c",
                        "echo $$; exec cat"));
        (void)inetd_open(h, &client);
        n = collect(h, tree);
        assert_int_equal(kill(inetd_worker(h), SIGKILL), 0);
        (void)client_await_end(h, &client);
        for (size_t i = 0; i < n; i++)
                inetd_await_orphan(h, tree[i]);
        (void)harness_await_counter(h, lost, 1);
        harness_stop(h);
}

/* There is always a guard. */
static void test_killed_guard(void **state)
{
        struct harness *h = *state;
        struct client client;
        pid_t guard, tree[TREE_MAX], child;
        size_t n;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "sleep 1000 & echo $!; wait"));
        assert_int_equal(collect(h, tree), 1);
        guard = tree[0];
        assert_int_equal(kill(guard, SIGKILL), 0);
        harness_await_death(h, guard);
        child = inetd_open(h, &client);
        n = collect(h, tree);
        assert_int_equal(n, 2);
        assert_int_equal(kill(inetd_worker(h), SIGKILL), 0);
        (void)client_await_end(h, &client);
        for (size_t i = 0; i < n; i++)
                inetd_await_orphan(h, tree[i]);
        inetd_await_orphan(h, child);
        harness_stop(h);
}

/* Nothing that runs notices that a dispatcher crashed, or that another took over. */
static void test_crash_of_the_dispatcher(void **state)
{
        struct harness *h = *state;
        struct client clients[4];
        pid_t pids[4];
        static const char *const words[] = { "sh", "-c", "echo $$; exec cat", NULL };

        (void)listener_add(h, LISTENER_UNIX, "main");
        for (int i = 0; i < 4; i++) {
                harness_start(h, .options = WORDS("Workers=1"), .command = inetd_command(words),
                        .store = 64);
                harness_await_ready(h);
                pids[i] = inetd_open(h, &clients[i]);
                if (i < 3)
                        harness_crash(h);
                for (int k = 0; k <= i; k++) {
                        client_send(&clients[k], "alive\n");
                        assert_string_equal(client_await_line(h, &clients[k]), "alive");
                        assert_int_equal(kill(pids[k], 0), 0);
                }
        }
        for (int i = 0; i < 4; i++)
                client_close(&clients[i]);
        assert_int_equal(harness_await_counter(h, done, 4).lost, 0);
        harness_stop(h);
}

/* Those that run keep their program, new clients get the new one. */
static void test_reload(void **state)
{
        struct harness *h = *state;
        struct client old, new;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_write_settings(&ctl,
                "[Pool]\nWorkers=1\n[Worker]\nCommand=acceptd-inetd sh -c 'echo 1; exec cat'\n");
        ctl_start(h, &ctl, .command = WORDS());
        harness_await_ready(h);
        client_open(h, &old, 0);
        assert_string_equal(client_await_line(h, &old), "1");

        ctl_write_settings(&ctl,
                "[Pool]\nWorkers=1\n[Worker]\nCommand=acceptd-inetd sh -c 'echo 2; exec cat'\n");
        assert_int_equal(ctl_run(h, &ctl, "reload", "acceptd@test.service"), 0);
        client_open(h, &new, 0);
        assert_string_equal(client_await_line(h, &new), "2");
        client_send(&old, "still there?\n");
        assert_string_equal(client_await_line(h, &old), "still there?");

        /* one that cannot work is refused, and nothing changes */
        ctl_write_settings(
                &ctl, "[Pool]\nWorkers=1\n[Worker]\nCommand=acceptd-inetd /nowhere/program\n");
        assert_int_not_equal(ctl_run(h, &ctl, "reload", "acceptd@test.service"), 0);
        harness_await_line(h, "acceptd-inetd: /nowhere/program: No such file or directory");
        client_send(&new, "still there?\n");
        assert_string_equal(client_await_line(h, &new), "still there?");

        client_close(&old);
        client_close(&new);
        assert_int_equal(harness_await_counter(h, done, 2).lost, 0);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_exit_with_0_is_not_worth_a_word),
                HARNESS_TEST(test_exit_with_another_status),
                HARNESS_TEST(test_end_by_a_signal),
                HARNESS_TEST(test_client_that_leaves_is_no_failure),
                HARNESS_TEST(test_flood_of_failures_is_no_flood_of_lines),
                HARNESS_TEST(test_child_in_the_background),
                HARNESS_TEST(test_program_that_is_not_there),
                HARNESS_TEST(test_name_that_is_nowhere),
                HARNESS_TEST(test_program_that_is_not_executable),
                HARNESS_TEST(test_no_program),
                HARNESS_TEST(test_program_that_vanishes),
                HARNESS_TEST(test_program_that_vanishes_while_others_run),
                HARNESS_TEST(test_processes_are_scarce),
                HARNESS_TEST(test_status_127),
                HARNESS_TEST(test_status_127_after_service),
                HARNESS_TEST(test_runtime_max),
                HARNESS_TEST(test_runtime_max_of_one_that_does_not_listen),
                HARNESS_TEST(test_drain_waits_for_programs),
                HARNESS_TEST(test_sigterm_is_passed_on),
                HARNESS_TEST(test_sigkill_follows),
                HARNESS_TEST(test_killed_worker_takes_its_programs_along),
                HARNESS_TEST(test_killed_worker_and_a_program_of_another_user),
                HARNESS_TEST(test_killed_guard),
                HARNESS_TEST(test_crash_of_the_dispatcher),
                HARNESS_TEST(test_reload),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
