/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Features of the worker protocol: what a worker takes of what the dispatcher offers in
 * $ACCEPTD_FEATURES works, for its life, whoever the dispatcher is; what it does not take neither
 * comes nor is accepted.
 */

#include <signal.h>

#include "ctl.h"
#include "wire/record.h"

#define OBEYS   "--serve=obey", "--capacity=4"
#define MODERN  "--features=7", OBEYS
#define MINUTES (5 * 60 * USEC_PER_SEC)

static void begin(struct harness *h, const char *const *options, const char *const *stub)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = options, .stub = stub);
        harness_await_ready(h);
}

/* Has the worker of this client do something, and waits until the dispatcher has heard it. */
static void have_said(struct harness *h, struct client *client, const char *deed)
{
        char line[64];

        (void)snprintf(line, sizeof(line), "%s;answer said\n", deed);
        client_send(client, line);
        assert_string_equal(client_await_line(h, client), "said");
        (void)harness_counters(h);
}

static void expect_killed(struct harness *h, const struct client *client, const char *why)
{
        harness_await_line(h, "Worker ", "broke the protocol", why);
        harness_await_death(h, client->pid);
}

/* --- FAILED --- */

static void test_failed_is_counted_and_shown(void **state)
{
        struct harness *h = *state;
        struct client client, next;
        struct counters c;
        struct ctl ctl;
        json_t *status;

        ctl_start_pool(
                h, &ctl, "Workers=1\nLogConnections=yes", "--features=7 --serve=obey --capacity=4");
        client_open_served(h, &client, 0);
        client_send(&client, "failed 2\n");
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        c = harness_await_counter(h, failed, 1);
        assert_int_equal(c.accepted, 1);
        assert_int_equal(c.open, 0);
        assert_int_equal(c.done, 0);
        harness_await_line(h, "Connection ", "failed after");

        status = ctl_status(h, &ctl);
        assert_int_equal(ctl_number(status, "counters.failed"), 1);
        json_decref(status);
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_non_null(strstr(ctl_out, "0 done, 1 failed, 0 lost"));

        /* its room is free again */
        client_open_served(h, &next, 0);
        client_finish(h, &next);
        assert_int_equal(harness_await_counter(h, done, 1).failed, 1);
        harness_stop(h);
}

static void test_failed_makes_room(void **state)
{
        struct harness *h = *state;

        begin(h, WORDS("Workers=1"), WORDS("--features=7", "--serve=obey", "--capacity=1"));
        for (uint64_t i = 1; i <= 3; i++) {
                struct client client;

                client_open_served(h, &client, 0);
                client_send(&client, "failed 99\n");
                assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
                (void)harness_await_counter(h, failed, i);
        }
        harness_stop(h);
}

/* A READY, and then a deed that is none for this worker. */
static void check_violation(
        struct harness *h, const char *features, const char *deed, const char *why)
{
        struct client client;
        char line[64];

        begin(h, WORDS("Workers=1"), WORDS(features, OBEYS));
        client_open_served(h, &client, 0);
        (void)snprintf(line, sizeof(line), "%s;hang\n", deed);
        client_send(&client, line);
        expect_killed(h, &client, why);
        (void)client_await_end(h, &client);
        harness_stop(h);
}

static void test_failed_without_the_feature(void **state)
{
        check_violation(*state, "--features=6", "failed 1", "FAILED");
}

static void test_failed_for_foreign_connection(void **state)
{
        check_violation(*state, "--features=7", "foreign-failed", "does not have");
}

/* --- READY --- */

static void test_pause_without_the_feature(void **state)
{
        check_violation(*state, "--features=5", "ready 0", "capacity 0");
}

static void test_features_that_change(void **state)
{
        check_violation(*state, "--features=7", "name-features 3", "features");
}

static void test_features_taken_later(void **state)
{
        check_violation(*state, "--features=0", "name-features 1", "features");
}

/* The first worker says READY in a way that is none; the next one serves. */
static void check_first_ready(struct harness *h, const char *const *stub, const char *why)
{
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "RestartSec=10ms"), .stub = stub);
        harness_await_line(h, "broke the protocol", why);
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, 2);
        client_close(&client);
        harness_stop(h);
}

static void test_features_that_are_not_offered(void **state)
{
        struct harness *h = *state;

        check_first_ready(h, WORDS("--features=8", h->marks), "features");
}

static void test_first_ready_is_a_pause(void **state)
{
        struct harness *h = *state;

        check_first_ready(h, WORDS("--features=7", "--capacity=0", h->marks), "first");
}

/* --- Pause --- */

static void test_pause(void **state)
{
        struct harness *h = *state;
        struct client first, second;

        begin(h, WORDS("Workers=1"), WORDS(MODERN));
        client_open_served(h, &first, 0);
        have_said(h, &first, "ready 0");
        client_open(h, &second, 0);
        client_exchange(h, &first);
        assert_int_equal(harness_counters(h).accepted, 1);
        assert_true(client_waits(h, &second));

        have_said(h, &first, "ready 4");
        client_await_greeting(h, &second);
        assert_int_equal(second.pid, first.pid);
        client_finish(h, &first);
        client_finish(h, &second);
        harness_stop(h);
}

/* The others serve. */
static void test_pause_of_one(void **state)
{
        struct harness *h = *state;
        struct client each[2], more[3];

        begin(h, WORDS("Workers=2", "Distribute=round-robin"), WORDS(MODERN));
        harness_await_workers(h, 2);
        client_open_at_each(h, each, 0);
        have_said(h, &each[0], "ready 0");
        for (size_t i = 0; i < ELEMENTSOF(more); i++) {
                client_open_served(h, &more[i], 0);
                assert_int_equal(more[i].pid, each[1].pid);
        }
        for (size_t i = 0; i < ELEMENTSOF(more); i++)
                client_finish(h, &more[i]);
        client_finish(h, &each[0]);
        client_finish(h, &each[1]);
        harness_stop(h);
}

/* A paused worker ends as any other does. */
static void test_stop_while_paused(void **state)
{
        struct harness *h = *state;
        struct client client;

        begin(h, WORDS("Workers=1"), WORDS(MODERN));
        client_open_served(h, &client, 0);
        have_said(h, &client, "ready 0");
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_line(h, "is told to drain");
        client_finish(h, &client);
        harness_expect_exit(h, 0);
}

/* --- DRAIN --- */

/* Waits until a worker is told, and after that sees the end of file. Its deadline lies in
 * `timeout` from now, or is none: USEC_INFINITY. */
static void expect_told(struct harness *h, unsigned reason, usec_t since, usec_t timeout)
{
        const char *line = harness_await_line(h, "is told to drain: reason=");
        unsigned long long deadline;
        unsigned said;

        line = strstr(line, "reason=");
        assert_int_equal(sscanf(line, "reason=%u deadline=%llu", &said, &deadline), 2);
        assert_int_equal(said, reason);
        if (timeout == USEC_INFINITY)
                assert_int_equal(deadline, 0);
        else
                assert_in_range(deadline, since + timeout, usec_now() + timeout);
        harness_await_line(h, ": drains");
}

static void check_stop(struct harness *h, const char *timeout, usec_t expected)
{
        usec_t since;

        begin(h, WORDS("Workers=1", timeout), WORDS(MODERN));
        since = usec_now();
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        expect_told(h, RECORD_DRAIN_STOP, since, expected);
        harness_expect_exit(h, 0);
}

static void test_told_of_stop(void **state)
{
        check_stop(*state, "DrainTimeoutSec=5min", MINUTES);
}

static void test_told_of_stop_without_deadline(void **state)
{
        check_stop(*state, "DrainTimeoutSec=infinity", USEC_INFINITY);
}

static void test_told_of_reload(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;
        usec_t since;

        ctl_start_pool(h, &ctl, "Workers=1",
                "--features=7 --serve=obey --capacity=4\nReloadDrainTimeoutSec=5min");
        since = usec_now();
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        expect_told(h, RECORD_DRAIN_RELOAD, since, MINUTES);
        harness_await_line(h, "Worker 1 ", "exited with status 0");
        harness_stop(h);
}

static void test_told_of_recycling(void **state)
{
        struct harness *h = *state;
        struct client client;
        usec_t since;

        begin(h, WORDS("Workers=1", "RecycleAfter=1", "ReloadDrainTimeoutSec=5min"), WORDS(MODERN));
        since = usec_now();
        client_open_served(h, &client, 0);
        expect_told(h, RECORD_DRAIN_RECYCLE, since, MINUTES);
        client_finish(h, &client);
        harness_stop(h);
}

static void test_told_of_retirement(void **state)
{
        struct harness *h = *state;
        struct client clients[2];
        usec_t since;

        begin(h, WORDS("Workers=1", "WorkersMax=2", "WorkerIdleTimeoutSec=50ms"),
                WORDS("--features=7", "--serve=obey"));
        client_open_served(h, &clients[0], 0);
        client_open_served(h, &clients[1], 0);
        since = usec_now();
        client_finish(h, &clients[0]);
        client_finish(h, &clients[1]);
        expect_told(h, RECORD_DRAIN_RETIRE, since, USEC_INFINITY);
        harness_stop(h);
}

/* A stub dies of a DRAIN that it did not take. */
static void check_silence(struct harness *h, const char *features)
{
        struct client client;

        begin(h, WORDS("Workers=1"), WORDS(features, OBEYS));
        client_open_served(h, &client, 0);
        client_finish(h, &client);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_line(h, "Worker 1 ", "exited with status 0");
        assert_int_equal(harness_count_lines(h, "is told to drain"), 0);
        assert_int_equal(harness_count_lines(h, ": drains"), 1);
        harness_expect_exit(h, 0);
}

static void test_nothing_new_without_features(void **state)
{
        check_silence(*state, "--features=0");
}

static void test_no_drain_with_other_features(void **state)
{
        check_silence(*state, "--features=3");
}

/* A DRAIN that the dead worker did not read is no connection: what is in its queue before that goes
 * to the new worker, and nothing is said to have died with it. */
static void test_drain_in_a_dead_workers_queue(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct stub_id old;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1",
                "--features=7 --serve=obey --capacity=4 --never-receive\n"
                "QueueTimeoutSec=infinity");
        old = harness_await_stub(h, "ready");
        client_open(h, &client, 0);
        (void)harness_await_counter(h, open, 1);
        ctl_write_pool(&ctl, "Workers=1", "--features=7 --serve=obey --capacity=4");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        (void)harness_await_stub(h, "ready");
        (void)harness_counters(h);
        assert_int_equal(kill(old.pid, SIGKILL), 0);
        client_await_greeting(h, &client);
        assert_int_equal(client.worker, 2);
        harness_await_line(h, "Worker 1 ", "was ended by SIGKILL");
        assert_int_equal(harness_count_lines(h, "Worker 1 ", "with 1 connection"), 0);
        client_finish(h, &client);
        assert_int_equal(harness_await_counter(h, done, 1).lost, 0);
        harness_stop(h);
}

/* --- Dispatchers come and go --- */

static void start(struct harness *h, const char *features)
{
        harness_start(h, .options = WORDS("Workers=1", "DrainTimeoutSec=5min"),
                .stub = WORDS(features, OBEYS), .store = 64);
        harness_await_ready(h);
}

static void begin_to_adopt(struct harness *h, const char *features)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        start(h, features);
}

static void crash(struct harness *h, const char *features)
{
        harness_crash(h);
        start(h, features);
        harness_await_line(h, "Took over 1 worker");
}

static void test_adopted_worker_keeps_its_features(void **state)
{
        struct harness *h = *state;
        struct client client, failing;
        usec_t since;

        begin_to_adopt(h, "--features=7");
        client_open_served(h, &client, 0);
        client_open_served(h, &failing, 0);
        crash(h, "--features=7");

        client_send(&failing, "failed 1\n");
        assert_int_equal(client_await_end(h, &failing), CLIENT_END_CLEAN);
        (void)harness_await_counter(h, failed, 1);
        have_said(h, &client, "ready 4"); /* names them as before */
        assert_int_equal(harness_count_lines(h, "broke the protocol"), 0);

        since = usec_now();
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        expect_told(h, RECORD_DRAIN_STOP, since, MINUTES);
        client_finish(h, &client);
        harness_expect_exit(h, 0);
}

static void test_adopted_worker_without_features(void **state)
{
        struct harness *h = *state;
        struct client client;

        begin_to_adopt(h, "--features=0");
        client_open_served(h, &client, 0);
        crash(h, "--features=0");

        client_exchange(h, &client);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_line(h, ": drains");
        assert_int_equal(harness_count_lines(h, "is told to drain"), 0);
        client_finish(h, &client);
        harness_expect_exit(h, 0);
}

static void test_adopted_worker_takes_none_later(void **state)
{
        struct harness *h = *state;
        struct client client;

        begin_to_adopt(h, "--features=0");
        client_open_served(h, &client, 0);
        crash(h, "--features=0");

        client_send(&client, "name-features 7;hang\n");
        expect_killed(h, &client, "features");
        (void)client_await_end(h, &client);
        harness_stop(h);
}

/* What FAILED while nobody was there is counted by the next dispatcher. */
static void test_failed_while_nobody_is_there(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct counters c;

        begin_to_adopt(h, "--features=7");
        client_open_served(h, &client, 0);
        harness_crash(h);
        client_send(&client, "failed 1\n");
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        start(h, "--features=7");
        c = harness_await_counter(h, failed, 1);
        assert_int_equal(c.accepted, 1);
        assert_int_equal(c.lost, 0);
        assert_int_equal(c.done, 0);
        harness_stop(h);
}

static void test_adopted_worker_is_still_paused(void **state)
{
        struct harness *h = *state;
        struct client first, second;

        begin_to_adopt(h, "--features=7");
        client_open_served(h, &first, 0);
        have_said(h, &first, "ready 0");
        crash(h, "--features=7");

        client_open(h, &second, 0);
        client_exchange(h, &first);
        assert_int_equal(harness_counters(h).accepted, 1);
        assert_true(client_waits(h, &second));
        have_said(h, &first, "ready 4");
        client_await_greeting(h, &second);
        assert_int_equal(second.pid, first.pid);
        client_finish(h, &first);
        client_finish(h, &second);
        harness_stop(h);
}

/* The program that is executed in place reads what it offered, and to whom, from the ledger. */
static void test_worker_of_before_the_reload(void **state)
{
        struct harness *h = *state;
        struct client old, failing;
        struct ctl ctl;
        usec_t since;

        ctl_start_pool(h, &ctl, "Workers=1",
                "--features=7 --serve=obey --capacity=4\nDrainTimeoutSec=5min");
        client_open_served(h, &old, 0);
        client_open_served(h, &failing, 0);
        since = usec_now();
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        expect_told(h, RECORD_DRAIN_RELOAD, since, USEC_INFINITY);

        client_send(&failing, "failed 1\n");
        assert_int_equal(client_await_end(h, &failing), CLIENT_END_CLEAN);
        (void)harness_await_counter(h, failed, 1);
        client_finish(h, &old);
        harness_await_line(h, "Worker 1 ", "exited with status 0");

        since = usec_now();
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        expect_told(h, RECORD_DRAIN_STOP, since, MINUTES); /* the other worker */
        harness_expect_exit(h, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_failed_is_counted_and_shown),
                HARNESS_TEST(test_failed_makes_room),
                HARNESS_TEST(test_failed_without_the_feature),
                HARNESS_TEST(test_failed_for_foreign_connection),
                HARNESS_TEST(test_pause_without_the_feature),
                HARNESS_TEST(test_features_that_change),
                HARNESS_TEST(test_features_taken_later),
                HARNESS_TEST(test_features_that_are_not_offered),
                HARNESS_TEST(test_first_ready_is_a_pause),
                HARNESS_TEST(test_pause),
                HARNESS_TEST(test_pause_of_one),
                HARNESS_TEST(test_stop_while_paused),
                HARNESS_TEST(test_told_of_stop),
                HARNESS_TEST(test_told_of_stop_without_deadline),
                HARNESS_TEST(test_told_of_reload),
                HARNESS_TEST(test_told_of_recycling),
                HARNESS_TEST(test_told_of_retirement),
                HARNESS_TEST(test_nothing_new_without_features),
                HARNESS_TEST(test_no_drain_with_other_features),
                HARNESS_TEST(test_drain_in_a_dead_workers_queue),
                HARNESS_TEST(test_adopted_worker_keeps_its_features),
                HARNESS_TEST(test_adopted_worker_without_features),
                HARNESS_TEST(test_adopted_worker_takes_none_later),
                HARNESS_TEST(test_failed_while_nobody_is_there),
                HARNESS_TEST(test_adopted_worker_is_still_paused),
                HARNESS_TEST(test_worker_of_before_the_reload),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
