/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reloads of a real dispatcher: it stays the same process, nobody notices, and one that fails
 * leaves everything as it was.
 */

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"
#include "procfs.h"

/* Settings for a pool of stubs. */
static void write_settings(const struct ctl *ctl, const char *pool, const char *worker)
{
        char text[2048];

        (void)snprintf(text, sizeof(text), "[Pool]\n%s\n[Worker]\nCommand=%s %s\n", pool,
                harness_path("stub-worker"), worker);
        ctl_write_settings(ctl, text);
}

static void begin(struct harness *h, struct ctl *ctl, const char *pool, const char *worker)
{
        ctl_init(h, ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        write_settings(ctl, pool, worker);
        ctl_start(h, ctl, .command = (const char *const[]){ NULL });
        harness_await_ready(h);
}

static long long get_number(struct harness *h, const struct ctl *ctl, const char *name)
{
        json_auto_t *status = ctl_status(h, ctl);

        return ctl_number(status, name);
}

/* A client in hand stays with its worker, a new one comes to a new worker. */
static void test_reload(void **state)
{
        struct harness *h = *state;
        struct client old, new;
        struct ctl ctl;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold --capacity=8");
        client_open_served(h, &old, 0);

        write_settings(&ctl, "Workers=1\nMaxConnections=50", "--serve=hold --capacity=8");
        assert_int_equal(ctl_run(h, &ctl, "reload", "acceptd@test.service"), 0);
        assert_string_equal(ctl_out, "Generation 2 of the workers is starting.\n"
                                     "Settings that changed: MaxConnections=\n");
        harness_await_notify(h, "RELOADING=1");
        harness_await_notify(h, "MONOTONIC_USEC=");
        harness_await_notify(h, "READY=1");
        assert_int_equal(get_number(h, &ctl, "mainPID"), h->pid);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
        assert_int_equal(get_number(h, &ctl, "counters.open"), 1);

        client_open_served(h, &new, 0);
        assert_int_equal(new.worker, 2);
        assert_int_equal(sched_getscheduler(new.pid), sched_getscheduler(old.pid));
        assert_true(client_waits(h, &old));
        client_close(&new);
        client_close(&old);
        (void)harness_await_counter(h, done, 2);
        harness_await_line(h, "Worker 1 ", "exited with status 0");
        harness_stop(h);
}

/* The program that a reload executes is SCHED_BATCH already, and goes on from there. */
static void test_reload_of_the_scheduling_policy(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;
        int before;

        begin(h, &ctl, "Workers=1", "--serve=hold\nCPUSchedulingPolicy=other");
        before = sched_getscheduler(h->pid);
        for (int i = 0; i < 4; i++) {
                client_open_served(h, &client, 0);
                if (before == SCHED_BATCH)
                        assert_int_equal(sched_getscheduler(client.pid),
                                i % 2 == 0 ? SCHED_OTHER : SCHED_BATCH);
                assert_int_equal(sched_getscheduler(h->pid), before);
                client_close(&client);
                write_settings(&ctl, "Workers=1",
                        i % 2 == 0 ? "--serve=hold" : "--serve=hold\nCPUSchedulingPolicy=other");
                assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
                assert_non_null(strstr(ctl_out, "Settings that changed: CPUSchedulingPolicy=\n"));
        }
        harness_stop(h);
}

/* A crash at any moment leaves those of the generation that the ledger says is in force. */
static void test_settings_are_stored_before_they_count(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        write_settings(&ctl, "Workers=1", "--serve=hold");
        ctl_start(h, &ctl, .environment = WORDS("FDSTORE=64"),
                .command = (const char *const[]){ NULL });
        harness_await_notify(h, "FDNAME=!s1");
        harness_await_ready(h);

        write_settings(&ctl, "Workers=1", "--at=start --exit=7");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);
        write_settings(&ctl, "Workers=1", "--serve=hold --capacity=8");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        harness_await_notify(h, "FDSTORE=1");
        harness_await_notify(h, "FDNAME=!s3");
        harness_await_notify(h, "FDSTOREREMOVE=1");
        harness_await_notify(h, "FDNAME=!s1");
        /* the trial that failed left nothing */
        assert_int_equal(harness_count(&h->notify, WORDS("!s")), 3);

        harness_stop(h);
}

static void test_many_reloads(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        begin(h, &ctl, "Workers=2", "--serve=hold --capacity=8");
        client_open_served(h, &client, 0);
        for (int i = 0; i < 20; i++) {
                assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
                assert_true(client_waits(h, &client));
        }
        client_close(&client);
        (void)harness_await_counter(h, done, 1);
        assert_int_equal(get_number(h, &ctl, "generation"), 21);
        assert_int_equal(get_number(h, &ctl, "mainPID"), h->pid);
        harness_stop(h);
}

/* Workers of each generation still have something. */
static void test_reloads_with_a_client_of_each_generation(void **state)
{
        struct harness *h = *state;
        struct client clients[16];
        struct ctl ctl;

        begin(h, &ctl, "Workers=3", "--serve=hold --capacity=1");
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                client_open_served(h, &clients[i], 0);
                /* fewer than there are in the table already */
                if (i == 4)
                        write_settings(&ctl, "Workers=1", "--serve=hold --capacity=1");
                assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                assert_true(client_waits(h, &clients[i]));
                client_close(&clients[i]);
        }
        (void)harness_await_counter(h, done, ELEMENTSOF(clients));
        harness_stop(h);
}

/* Workers that were asked by the program before answer to the next one. */
static void test_reloads_between_question_and_answer(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        begin(h, &ctl, "Workers=2", "--serve=hold --capacity=8\nWatchdogSec=2s");
        client_open_served(h, &client, 0);
        for (int i = 0; i < 5; i++) {
                /* the question waits in its queue, for this program and then for the next */
                assert_int_equal(kill(client.pid, SIGSTOP), 0);
                (void)poll(NULL, 0, 1100);
                assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
                assert_int_equal(kill(client.pid, SIGCONT), 0);
        }
        assert_true(client_waits(h, &client));
        client_close(&client);
        (void)harness_await_counter(h, done, 1);
        assert_int_equal(harness_count_lines(h, "protocol"), 0);
        harness_stop(h);
}

/* What a failed reload must leave as it was. */
static void expect_failure(struct harness *h, struct ctl *ctl, const char *reason)
{
        struct client client;

        assert_int_equal(ctl_run(h, ctl, "reload", "test"), 1);
        if (!strstr(ctl_err, reason))
                fail_msg("\"%s\" is not in \"%s\"", reason, ctl_err);
        assert_string_equal(ctl_out, "");
        harness_await_line(h, "reload failed", reason);
        harness_await_notify(h, "RELOADING=1");
        harness_await_notify(h, "READY=1");

        assert_int_equal(get_number(h, ctl, "generation"), 1);
        assert_int_equal(get_number(h, ctl, "maxConnections"), 100);
        client_open_served(h, &client, 0);
        client_close(&client);
}

static void test_broken_settings(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold");
        ctl_write_settings(&ctl, "[Pool]\nMaxConnections=50\nWorker=1\n");
        expect_failure(h, &ctl, "test.conf:3: [Pool] has no key Worker=");
        harness_stop(h);
}

static void test_missing_program(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold");
        ctl_write_settings(&ctl, "[Worker]\nCommand=/nonexistent/worker\n");
        expect_failure(h, &ctl, "/nonexistent/worker: No such file");
        harness_stop(h);
}

static void test_program_that_exits(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, "Workers=2\nMaxConnections=100", "--serve=hold");
        write_settings(&ctl, "Workers=2", "--at=start --exit=7");
        expect_failure(h, &ctl, "exited with status 7");
        harness_stop(h);
}

static void test_program_that_never_gets_ready(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold");
        write_settings(&ctl, "Workers=1", "--never-ready\nTimeoutStartSec=200ms");
        expect_failure(h, &ctl, "ended by SIGTERM");
        /* and the next one works */
        write_settings(&ctl, "Workers=1\nMaxConnections=90", "--serve=hold");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 90);
        harness_stop(h);
}

/* Ask for a reload that will hang. Returns the connection, for the answer. */
static int begin_hanging_reload(struct harness *h, const struct ctl *ctl)
{
        int fd = ctl_connect(ctl);

        ctl_send(
                fd, CTL_CALL("io.acceptd.Pool.Reload"), sizeof(CTL_CALL("io.acceptd.Pool.Reload")));
        harness_await_notify(h, "RELOADING=1");
        (void)harness_await_stub(h, "starts");
        return fd;
}

static void expect_reason(struct harness *h, int fd, const char *reason)
{
        json_auto_t *answer = ctl_receive(h, fd);

        assert_string_equal(ctl_text(json_object_get(answer, "parameters"), "reason"), reason);
        fd_close(fd);
}

static const char hangs[] = "--never-ready\nTimeoutStartSec=infinity";

/* All workers of the generation in force die during a trial: they are replaced, by the program and
 * the settings in force, and clients do not wait for the end of the trial. */
static void test_workers_that_die_during_a_trial_are_replaced(void **state)
{
        struct harness *h = *state;
        struct stub_id old[2];
        struct client client;
        struct ctl ctl;
        int fd;

        begin(h, &ctl, "Workers=2\nMaxConnections=100", "--serve=hold");
        old[0] = harness_await_stub(h, "starts");
        old[1] = harness_await_stub(h, "starts");
        write_settings(&ctl, "Workers=2\nMaxConnections=90", hangs);
        fd = begin_hanging_reload(h, &ctl);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(kill(old[i].pid, SIGKILL), 0);
        harness_await_line(h, "is ready for");
        client_open_served(h, &client, 0);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 100);
        client_close(&client);
        assert_int_equal(ctl_run(h, &ctl, "reload", "--cancel", "test"), 0);
        expect_reason(h, fd, "it was cancelled");
        harness_stop(h);
}

/* A program that never gets ready, and is given all the time for it. */
static void test_trial_that_hangs_is_cancelled(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;
        int fd;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold");
        (void)harness_await_stub(h, "starts");
        assert_int_equal(ctl_run(h, &ctl, "reload", "--cancel", "test"), 1);
        assert_non_null(strstr(ctl_err, "no reload is under way"));
        assert_int_equal(ctl_run(h, &ctl, "status", "--cancel", "test"), 1);

        write_settings(&ctl, "Workers=1", hangs);
        fd = begin_hanging_reload(h, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "reload", "--cancel", "test"), 0);
        expect_reason(h, fd, "it was cancelled");
        harness_await_line(h, "reload failed", "it was cancelled");
        harness_await_notify(h, "READY=1");
        client_open_served(h, &client, 0);
        client_close(&client);
        harness_stop(h);
}

/* The settings are mended, and the next reload does not wait for the last one. */
static void test_trial_that_hangs_is_replaced(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;
        int fd;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold");
        (void)harness_await_stub(h, "starts");
        write_settings(&ctl, "Workers=1", hangs);
        fd = begin_hanging_reload(h, &ctl);
        write_settings(&ctl, "Workers=1\nMaxConnections=90", "--serve=hold");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        expect_reason(h, fd, "another reload took its place");
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 90);
        harness_stop(h);
}

/* Passes the descriptor of a file with this text. */
static void pass_text(struct harness *h, const char *name, const char *text)
{
        int fd = memfd_create(name, MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
        harness_pass(h, fd, name);
}

/* From a program that knew other values, after a downgrade: there is nothing to go back to but what
 * is in the file. Listeners and lists are as the program before it passes them. */
static void resume_without_old_settings(struct harness *h, const char *worker)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        pass_text(h, "!s1", "[Pool]\nWorkers=OfTomorrow\n");
        pass_text(h, "list", "3 main\n4 !s1\n");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold", worker),
                .environment = WORDS("ACCEPTD_ADOPT=5"));
        harness_await_line(h, "cannot be read", "Workers=", "OfTomorrow");
}

static void test_old_settings_that_cannot_be_read(void **state)
{
        struct harness *h = *state;
        struct client client;

        resume_without_old_settings(h, "--capacity=1");
        harness_await_line(h, "Generation 2", "Settings that changed: none");
        client_open_served(h, &client, 0);
        client_close(&client);
        harness_stop(h);
}

static void test_failure_without_old_settings(void **state)
{
        struct harness *h = *state;

        resume_without_old_settings(h, "--never-ready");
        (void)harness_await_stub(h, "starts");
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_line(h, "reload failed", "the instance is stopping");
        harness_expect_exit(h, 0);
}

/* No fault of settings or sockets: the workers are for the next dispatcher, not for the reaper. */
static void test_list_that_cannot_be_read(void **state)
{
        struct harness *h = *state;

        pass_text(h, "list", "main\n");
        harness_start(h, .environment = WORDS("ACCEPTD_ADOPT=3"));
        harness_await_line(h, "Cannot start: ");
        harness_expect_exit(h, 1);
}

/* All of the old settings count again: how far the pool can grow, what it logs. */
static void test_failed_reload_to_a_smaller_pool(void **state)
{
        struct harness *h = *state;
        struct client clients[24];
        struct ctl ctl;

        begin(h, &ctl, "Workers=1\nWorkersMax=24\nMaxConnections=100", "--serve=hold --capacity=1");
        write_settings(&ctl, "Workers=1\nLogConnections=yes", "--at=start --exit=7");
        expect_failure(h, &ctl, "exited with status 7");
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_open_served(h, &clients[i], 0);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_close(&clients[i]);
        (void)harness_await_counter(h, done, ELEMENTSOF(clients) + 1);
        assert_int_equal(harness_count_lines(h, "Connection ", ": done after"), 0);
        harness_stop(h);
}

/* Settings that are right, and for which there is no room: only the program that was executed for
 * them sees that. It goes on with the old ones. */
static void test_no_room_in_the_store(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        write_settings(&ctl, "Workers=1\nMaxConnections=100", "--serve=hold --capacity=8");
        ctl_start(h, &ctl, .store = 32, .command = (const char *const[]){ NULL });
        harness_await_ready(h);
        client_open_served(h, &client, 0);

        write_settings(&ctl, "Workers=20", "--serve=hold --capacity=8");
        expect_failure(h, &ctl, "Workers=20 need room for 127 descriptors");
        assert_true(client_waits(h, &client));
        assert_int_equal(get_number(h, &ctl, "mainPID"), h->pid);

        write_settings(&ctl, "Workers=2", "--serve=hold --capacity=8");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_true(client_waits(h, &client));
        client_close(&client);
        harness_stop(h);
}

static void test_no_room_below_the_limit(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        write_settings(&ctl, "Workers=1\nMaxConnections=100", "--serve=hold");
        ctl_start(h, &ctl, .nofile = 128, .command = (const char *const[]){ NULL });
        harness_await_ready(h);
        write_settings(&ctl, "Workers=100", "--serve=hold");
        expect_failure(h, &ctl, "RLIMIT_NOFILE is 128");
        harness_stop(h);
}

/* As other services are asked. Nobody waits for an answer; the journal has it. */
static void test_hangup_is_a_reload(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold --capacity=8");
        client_open_served(h, &client, 0);
        write_settings(&ctl, "Workers=1\nMaxConnections=50", "--serve=hold --capacity=8");
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_notify(h, "RELOADING=1");
        harness_await_notify(h, "READY=1");
        harness_await_line(h, "Generation 2", "MaxConnections=");
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);

        ctl_write_settings(&ctl, "[Pool]\nWorker=1\n");
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_notify(h, "RELOADING=1");
        harness_await_notify(h, "READY=1");
        harness_await_line(h, "reload failed", "has no key Worker=");
        assert_true(client_waits(h, &client));
        client_close(&client);
        harness_stop(h);
}

static void test_hangup_during_a_reload(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold");
        write_settings(&ctl, "Workers=1", "--never-ready\nTimeoutStartSec=1s");
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        (void)harness_await_stub(h, "starts");
        (void)harness_await_stub(h, "starts");
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_line(h, "reload failed", "another reload took its place");
        harness_await_line(h, "reload failed", "ended by SIGTERM");
        harness_stop(h);
}

static void test_hangup_of_a_terminal_is_a_stop(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .environment = WORDS("SYSTEMD_EXEC_PID=1"));
        harness_await_ready(h);
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_expect_exit(h, 0);
}

/* A stop in the middle of a trial: whoever asked for it hears that at once, and not when the last
 * client has gone. */
static void test_stop_during_a_reload(void **state)
{
        struct harness *h = *state;
        static const char call[] = "{\"method\":\"io.acceptd.Pool.Reload\"}";
        json_auto_t *answer = NULL;
        struct client client;
        struct ctl ctl;
        int fd;

        begin(h, &ctl, "Workers=1\nMaxConnections=100", "--serve=hold");
        client_open_served(h, &client, 0);
        write_settings(&ctl, "Workers=1", "--never-ready");
        fd = ctl_connect(&ctl);
        ctl_send(fd, call, sizeof(call)); /* with its 0 */
        (void)harness_await_stub(h, "starts");
        (void)harness_await_stub(h, "starts");
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        answer = ctl_receive(h, fd);
        assert_string_equal(
                json_string_value(json_object_get(json_object_get(answer, "parameters"), "reason")),
                "the instance is stopping");
        fd_close(fd);
        client_close(&client);
        harness_expect_exit(h, 0);
}

/* Executed in place, the program would not know that it was asked to stop. */
static void test_stop_while_settings_are_checked(void **state)
{
        struct harness *h = *state;
        static const char call[] = "{\"method\":\"io.acceptd.Pool.Reload\"}";
        struct client client;
        struct ctl ctl;
        int fd;

        begin(h, &ctl, "Workers=1", "--serve=hold");
        client_open_served(h, &client, 0);
        fd = ctl_connect(&ctl);
        ctl_send(fd, call, sizeof(call));
        harness_await_notify(h, "RELOADING=1");
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        json_decref(ctl_receive(h, fd));
        fd_close(fd);
        client_close(&client);
        harness_expect_exit(h, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_reload),
                HARNESS_TEST(test_reload_of_the_scheduling_policy),
                HARNESS_TEST(test_settings_are_stored_before_they_count),
                HARNESS_TEST(test_many_reloads),
                HARNESS_TEST(test_reloads_with_a_client_of_each_generation),
                HARNESS_TEST(test_reloads_between_question_and_answer),
                HARNESS_TEST(test_broken_settings),
                HARNESS_TEST(test_missing_program),
                HARNESS_TEST(test_program_that_exits),
                HARNESS_TEST(test_program_that_never_gets_ready),
                HARNESS_TEST(test_workers_that_die_during_a_trial_are_replaced),
                HARNESS_TEST(test_trial_that_hangs_is_cancelled),
                HARNESS_TEST(test_trial_that_hangs_is_replaced),
                HARNESS_TEST(test_old_settings_that_cannot_be_read),
                HARNESS_TEST(test_failure_without_old_settings),
                HARNESS_TEST(test_list_that_cannot_be_read),
                HARNESS_TEST(test_failed_reload_to_a_smaller_pool),
                HARNESS_TEST(test_no_room_in_the_store),
                HARNESS_TEST(test_no_room_below_the_limit),
                HARNESS_TEST(test_hangup_is_a_reload),
                HARNESS_TEST(test_hangup_during_a_reload),
                HARNESS_TEST(test_hangup_of_a_terminal_is_a_stop),
                HARNESS_TEST(test_stop_during_a_reload),
                HARNESS_TEST(test_stop_while_settings_are_checked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
