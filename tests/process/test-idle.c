/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Pools that end when nobody uses them, ExitIdleTimeSec=, and who comes just then. That systemd
 * starts them again is seen in tests/system/test-idle.sh.
 */

#include <signal.h>

#include "adoption.h"
#include "ctl.h"

static void start_pool(struct harness *h, const char *const *options, const char *const *stub)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = options, .stub = stub);
        harness_await_ready(h);
}

static void await_idle_exit(struct harness *h)
{
        harness_await_line(h, "There was no connection for 1s (ExitIdleTimeSec=)");
        harness_await_notify(h, "STOPPING=1");
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "Workers fail"), 0);
}

static void test_idle_pool_ends(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, WORDS("Workers=2", "ExitIdleTimeSec=1s"), WORDS("--serve=hold"));
        client_open_served(h, &client, 0);
        client_close(&client);
        await_idle_exit(h);
        assert_int_equal(harness_count_lines(h, "done=1 "), 1);
}

/* Whichever it is of many. */
static void test_client_of_the_last_listener_keeps_it(void **state)
{
        struct harness *h = *state;
        struct client client;
        size_t last = 0;

        for (size_t i = 0; i < HARNESS_SOCKETS; i++)
                last = listener_add(h, i % 2 ? LISTENER_TCP4 : LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "ExitIdleTimeSec=1s"),
                .stub = WORDS("--serve=hold"));
        harness_await_ready(h);
        for (unsigned i = 0; i < 4; i++) {
                client_open_served(h, &client, last);
                (void)harness_wait(h, -1, 0);
                client_close(&client);
        }
        await_idle_exit(h);
        assert_int_equal(harness_count_lines(h, "done=4 "), 1);
}

static void start_with_one_that_stays(struct harness *h)
{
        harness_start(h,
                .options = WORDS("Workers=1", "ExitIdleTimeSec=1s", "DrainTimeoutSec=infinity"),
                .stub = WORDS("--serve=hold", h->marks, "--ignore-drain"), .store = ADOPTION_STORE);
}

/* That worker takes its time to end, and the client does not wait for it. */
static void test_client_in_the_rest_is_served(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct stub_id first;

        (void)listener_add(h, LISTENER_UNIX, "main");
        start_with_one_that_stays(h);
        first = harness_await_stub(h, "drains");
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, 2);
        assert_int_equal(harness_count_lines(h, "There was no connection"), 0);
        assert_int_equal(kill(first.pid, SIGKILL), 0);
        client_close(&client);
        (void)harness_await_counter(h, done, 1);
        await_idle_exit(h);
}

/* It is drained like in a stop, and not as in a reload, where it may take forever. */
static void test_worker_that_does_not_end_is_terminated(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=1", "ExitIdleTimeSec=1s", "DrainTimeoutSec=50ms"),
                WORDS("--ignore-drain"));
        harness_await_line(h, "orker 1 ", "It gets SIGTERM");
        await_idle_exit(h);
}

/* A crash between drain and end: the next dispatcher goes on, and ends when it is time. */
static void test_crash_in_the_rest(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct stub_id first;

        (void)listener_add(h, LISTENER_UNIX, "main");
        start_with_one_that_stays(h);
        first = harness_await_stub(h, "drains");
        harness_crash(h);
        start_with_one_that_stays(h);
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, 2);
        assert_int_equal(kill(first.pid, SIGKILL), 0);
        client_close(&client);
        (void)harness_await_counter(h, done, 1);
        await_idle_exit(h);
}

/* A reload counts as use; one that fails does not keep the pool forever. */
static void test_failed_reload_does_not_keep_it(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1\nExitIdleTimeSec=1s", "");
        ctl_write_settings(&ctl, "[Pool]\nWorkers=none\n");
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_line(h, "The reload failed", "Workers=none");
        await_idle_exit(h);
}

static void test_reload_turns_it_on(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "");
        ctl_write_pool(&ctl, "Workers=1\nExitIdleTimeSec=1s", "");
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_line(h, "Settings that changed: ExitIdleTimeSec=");
        await_idle_exit(h);
}

/* Its status tells that something is wrong: it must stay to be seen. */
static void test_pool_that_fails_stays(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=1", "ExitIdleTimeSec=1s", "RestartMaxDelaySec=400ms"),
                WORDS("--at=start", "--exit=3"));
        harness_await_notify(h, "STATUS=0/1 workers ready", "workers fail");
        for (unsigned i = 0; i < 8; i++)
                (void)harness_await_stub(h, "does exit"); /* more than 2 s */
        assert_int_equal(harness_count_lines(h, "There was no connection"), 0);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_idle_pool_ends),
                HARNESS_TEST(test_client_of_the_last_listener_keeps_it),
                HARNESS_TEST(test_client_in_the_rest_is_served),
                HARNESS_TEST(test_worker_that_does_not_end_is_terminated),
                HARNESS_TEST(test_crash_in_the_rest),
                HARNESS_TEST(test_failed_reload_does_not_keep_it),
                HARNESS_TEST(test_reload_turns_it_on),
                HARNESS_TEST(test_pool_that_fails_stays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
