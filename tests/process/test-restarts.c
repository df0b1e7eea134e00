/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workers that fail before they serve: they come back with growing delay, the service stays up and
 * says what is wrong, and all is well again when one serves.
 */

#include <signal.h>
#include <unistd.h>

#include "client.h"
#include "procfs.h"

static void start_pool(struct harness *h, const char *const *options, const char *const *stub)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = options, .stub = stub);
}

/* Delays of 100, 200, 400 and 800 ms lie between five starts: 1.5 seconds. */
static void test_growing_delay(void **state)
{
        struct harness *h = *state;
        usec_t begin = usec_now(), took;

        start_pool(h, WORDS("Workers=1"), WORDS("--exit=1", "--at=start"));
        for (int i = 0; i < 5; i++)
                (void)harness_await_stub(h, "starts");
        took = usec_now() - begin;
        assert_true(took >= 1400 * USEC_PER_MSEC);
        harness_stop(h);
}

/* More workers do not mean more starts: while they fail, one at a time is tried. */
static void test_growing_delay_is_for_all_workers(void **state)
{
        struct harness *h = *state;
        usec_t begin = usec_now();

        start_pool(h, WORDS("Workers=4"), WORDS("--exit=1", "--at=start"));
        for (int i = 0; i < 8; i++)
                (void)harness_await_stub(h, "starts");
        assert_true(usec_now() - begin >= 1300 * USEC_PER_MSEC);
        harness_stop(h);
}

/* READY is no proof of health: a worker that dies before it served anything waits just as long. */
static void test_growing_delay_after_ready(void **state)
{
        struct harness *h = *state;
        usec_t begin = usec_now();

        start_pool(h, WORDS("Workers=1"), WORDS("--exit=1", "--at=ready"));
        for (int i = 0; i < 5; i++)
                (void)harness_await_stub(h, "starts");
        assert_true(usec_now() - begin >= 1400 * USEC_PER_MSEC);
        harness_stop(h);
}

static void test_delay_has_a_bound(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=1", "RestartSec=50ms", "RestartMaxDelaySec=100ms"),
                WORDS("--exit=1", "--at=start"));
        for (int i = 0; i < 20; i++)
                (void)harness_await_stub(h, "starts");
        harness_stop(h);
}

/* A failed start makes the service ready, degraded: the port is open, and STATUS says why nobody
 * answers. */
static void test_ready_after_a_failed_start(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, WORDS("Workers=2"), WORDS("--exit=7", "--at=start"));
        harness_await_ready(h);
        harness_await_notify(h, "STATUS=", "0/2", "status 7");
        client_open(h, &client, 0);
        assert_int_equal(harness_counters(h).accepted, 0);
        assert_true(client_waits(h, &client));
        client_close(&client);
        harness_stop(h);
        assert_int_equal(harness_count(&h->notify, WORDS("READY=1")), 1);
}

static void test_program_that_is_not_there(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=2"), .command = WORDS("/nowhere/worker"));
        harness_await_ready(h);
        harness_await_notify(h, "STATUS=", "0/2", "/nowhere/worker", "No such file");
        harness_await_line(h, "/nowhere/worker", "No such file");
        client_open(h, &client, 0);
        assert_true(client_waits(h, &client));
        client_close(&client);
        harness_stop(h);
        /* whether it would speak the protocol, nobody knows */
        assert_int_equal(harness_count_lines(h, "acceptd-inetd"), 0);
}

/* The name in the message began a line of its own, as if it were another message. */
static void test_program_with_a_newline_in_its_name(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .command = WORDS("/nowhere\nSTATUS=evil"));
        harness_await_line(h, "Workers fail", "STATUS=evil", "No such file");
        harness_await_ready(h);
        harness_stop(h);
}

static void test_program_that_may_not_be_executed(void **state)
{
        struct harness *h = *state;
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/worker", h->dir);
        fclose(fopen(path, "we"));
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "RestartSec=50ms"), .command = WORDS(path));
        harness_await_ready(h);
        harness_await_notify(h, "STATUS=", "0/1", path, "Permission denied");

        /* mended while it runs: the next try finds it */
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink(harness_path("stub-worker"), path), 0);
        harness_await_workers(h, 1);
        harness_await_notify(h, "STATUS=1/1");
        harness_stop(h);
}

/* No line a start: the same trouble is said once. */
static void test_trouble_is_said_once(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=1", "RestartSec=10ms", "RestartMaxDelaySec=20ms"),
                WORDS("--exit=7", "--at=start"));
        for (int i = 0; i < 10; i++)
                (void)harness_await_stub(h, "starts");
        assert_int_equal(harness_count_lines(h, "Workers fail", "status 7"), 1);
        assert_int_equal(harness_count_lines(h, "before it was ready"), 1);
        harness_stop(h);
}

/* After three failed starts the fourth worker serves; from then on a death is replaced at once. */
static void test_recovery(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct counters c;

        start_pool(h, WORDS("Workers=1", "RestartMaxDelaySec=1h"),
                WORDS("--serve=obey", h->marks, "--times=3", "--exit=1", "--at=start"));
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, 4);
        client_send(&client, "done\n");
        harness_await_line(h, "Workers start and serve again, after 3 failed starts.");
        (void)client_await_end(h, &client);
        c = harness_await_counter(h, done, 1);
        assert_int_equal(c.accepted, 1);

        /* With a delay that went on growing, the last of these would take minutes. */
        for (unsigned i = 0; i < 8; i++) {
                client_open_served(h, &client, 0);
                client_send(&client, "done\n");
                (void)client_await_end(h, &client);
                (void)kill(client.pid, SIGKILL);
                harness_await_death(h, client.pid);
        }
        harness_await_notify(h, "STATUS=1/1");
        harness_stop(h);
}

static void test_start_timeout(void **state)
{
        struct harness *h = *state;
        struct stub_id late;
        struct client client;

        start_pool(h, WORDS("Workers=1", "TimeoutStartSec=2s"), WORDS(h->marks, "--never-ready"));
        late = harness_await_stub(h, "misbehaves");
        harness_await_death(h, late.pid);
        harness_await_line(h, "orker 1 ", "not", "ready", "SIGTERM");
        harness_await_line(
                h, "Workers fail", "was ended by SIGTERM: not ready within TimeoutStartSec=");
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, 2);
        (void)client_await_end(h, &client);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "orker 1 ", "SIGKILL"), 0);
}

/* ... and SIGKILL follows for one that does not listen. */
static void test_start_timeout_with_sigkill(void **state)
{
        struct harness *h = *state;
        struct stub_id late;
        struct client client;

        start_pool(h, WORDS("Workers=1", "TimeoutStartSec=2s", "TimeoutStopSec=200ms"),
                WORDS(h->marks, "--never-ready", "--ignore-term"));
        late = harness_await_stub(h, "misbehaves");
        harness_await_death(h, late.pid);
        harness_await_line(h, "orker 1 ", "SIGTERM");
        harness_await_line(h, "orker 1 ", "SIGKILL");
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, 2);
        (void)client_await_end(h, &client);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_growing_delay),
                HARNESS_TEST(test_growing_delay_is_for_all_workers),
                HARNESS_TEST(test_growing_delay_after_ready),
                HARNESS_TEST(test_delay_has_a_bound),
                HARNESS_TEST(test_ready_after_a_failed_start),
                HARNESS_TEST(test_program_that_is_not_there),
                HARNESS_TEST(test_program_with_a_newline_in_its_name),
                HARNESS_TEST(test_program_that_may_not_be_executed),
                HARNESS_TEST(test_trouble_is_said_once),
                HARNESS_TEST(test_recovery),
                HARNESS_TEST(test_start_timeout),
                HARNESS_TEST(test_start_timeout_with_sigkill),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
