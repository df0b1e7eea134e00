/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptctl at a real dispatcher: draining a worker, pausing, waiting for what becomes of it; and
 * the ways in which it prints.
 */

#include <signal.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

/* --- pause, resume --- */

static void test_paused_clients_wait_and_are_served(void **state)
{
        struct harness *h = *state;
        struct client before, after;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=10");
        client_open_served(h, &before, 0);
        assert_int_equal(ctl_run(h, &ctl, "pause", "test"), 0);
        assert_int_equal(ctl_run(h, &ctl, "is-ready", "test"), 1);
        assert_string_equal(ctl_out, "paused\n");
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_non_null(strstr(ctl_out, "test is paused\n"));
        assert_non_null(strstr(ctl_out, "accepting is paused by acceptctl"));

        client_open(h, &after, 0);
        client_exchange(h, &before); /* goes on */
        assert_int_equal(harness_counters(h).accepted, 1);
        assert_true(client_waits(h, &after));

        assert_int_equal(ctl_run(h, &ctl, "resume", "test"), 0);
        client_await_greeting(h, &after);
        assert_int_equal(ctl_run(h, &ctl, "is-ready", "test"), 0);
        client_finish(h, &before);
        client_finish(h, &after);
        harness_stop(h);
}

static void test_pause_outlives_reload_and_crash(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey", .store = 64);
        assert_int_equal(ctl_run(h, &ctl, "pause", "test"), 0);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_int_equal(ctl_run(h, &ctl, "is-ready", "test"), 1);
        harness_crash(h);
        harness_start(h, .arguments = WORDS("-c", ctl.settings), .command = WORDS(), .store = 64);
        harness_await_ready(h);
        client_open(h, &client, 0);
        assert_int_equal(ctl_run(h, &ctl, "is-ready", "test"), 1);
        assert_string_equal(ctl_out, "paused\n");
        assert_int_equal(harness_counters(h).accepted, 0);

        assert_int_equal(ctl_run(h, &ctl, "resume", "test"), 0);
        client_await_greeting(h, &client);
        client_finish(h, &client);
        harness_stop(h);
}

/* --- drain --- */

static void test_drained_worker_finishes_and_is_replaced(void **state)
{
        struct harness *h = *state;
        struct client old, new;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=10");
        client_open_served(h, &old, 0);
        assert_int_equal(old.worker, 1);
        assert_int_equal(ctl_run(h, &ctl, "drain", "test", "1"), 0);
        harness_await_line(h, "Worker 1 ", "is drained by acceptctl, with 1 connection;");
        harness_await_workers(h, 2);
        client_open_served(h, &new, 0);
        assert_int_equal(new.worker, 2);
        client_exchange(h, &old);

        assert_int_equal(ctl_run(h, &ctl, "drain", "test", "1"), 1);
        assert_non_null(strstr(ctl_err, "leaving already"));
        assert_int_equal(ctl_run(h, &ctl, "drain", "test", "99"), 1);
        assert_non_null(strstr(ctl_err, "has no such worker"));
        assert_int_equal(ctl_run(h, &ctl, "drain", "nix", "1"), 5);
        assert_int_equal(ctl_run(h, &ctl, "drain", "test"), 1);
        assert_int_equal(ctl_run(h, &ctl, "drain", "test", "x"), 1);

        client_finish(h, &old);
        client_finish(h, &new);
        (void)harness_await_counter(h, done, 2);
        harness_stop(h);
}

/* --- wait --- */

static void test_wait_ends_when_it_is_so(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=10");
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--ready", "--idle", "--no-old"), 0);
        client_open_served(h, &client, 0);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--idle", "--timeout=200ms"), 1);
        assert_non_null(strstr(ctl_err, "there are connections"));

        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--generation=2", "--ready"), 0);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--generation=3", "--timeout=0"), 1);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--no-old", "--timeout=200ms"), 1);
        assert_non_null(strstr(ctl_err, "older generations"));
        client_finish(h, &client);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--no-old", "--idle", "--timeout=60"), 0);
        harness_stop(h);
}

static void test_wait_for_what_does_not_run(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--ready", "--timeout=200ms"), 3);
        assert_int_equal(ctl_run(h, &ctl, "wait", "nix", "--ready"), 4);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test"), 1);
        assert_int_equal(ctl_run(h, &ctl, "is-ready", "test"), 3);
        assert_int_equal(ctl_run(h, &ctl, "is-ready", "nix"), 4);
        h->finished = true;
}

/* --- Names, options, print --- */

static void test_patterns(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "list", "t*t"), 0);
        assert_non_null(strstr(ctl_out, "test      ready"));
        assert_int_equal(ctl_run(h, &ctl, "is-ready", "[tu]es?"), 0);
        assert_int_equal(ctl_run(h, &ctl, "status", "x*"), 4);
        assert_non_null(strstr(ctl_err, "No instance matches \"x*\""));
        assert_int_equal(ctl_run(h, &ctl, "reload", "x*"), 5);
        assert_int_equal(ctl_run(h, &ctl, "reload", "acceptd@te*.service"), 0);
        harness_stop(h);
}

static void test_options_that_do_not_fit(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "list", "--cancel"), 1);
        assert_non_null(strstr(ctl_err, "list has no --cancel"));
        assert_int_equal(ctl_run(h, &ctl, "status", "--ready"), 1);
        assert_int_equal(ctl_run(h, &ctl, "status", "--json=x"), 1);
        assert_int_equal(ctl_run(h, &ctl, "status", "--worker=0"), 1);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--timeout=soon"), 1);
        assert_int_equal(ctl_run(h, &ctl, "list", "--no-pager"), 0);
        h->finished = true;
}

static void test_errors_as_json(void **state)
{
        struct harness *h = *state;
        json_auto_t *error = NULL, *status = NULL;
        struct ctl ctl;

        ctl_init(h, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "status", "test", "--json=short"), 3);
        error = json_loads(ctl_err, 0, NULL);
        assert_string_equal(ctl_text(error, "error"), "NotRunning");
        assert_string_equal(ctl_text(error, "instance"), "test");
        assert_non_null(strstr(ctl_text(error, "message"), "is not running"));
        assert_int_equal(ctl_run(h, &ctl, "status", "test", "--json=off"), 3);
        assert_non_null(strstr(ctl_err, "acceptctl: Instance test"));

        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);
        assert_int_equal(ctl_run(h, &ctl, "status", "test", "--json=short"), 0);
        assert_ptr_equal(strchr(ctl_out, '\n'), ctl_out + strlen(ctl_out) - 1); /* one line */
        status = json_loads(ctl_out, 0, NULL);
        assert_string_equal(ctl_text(status, "instance"), "test");
        harness_stop(h);
}

static void test_heads_and_colours(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "list", "--no-legend"), 0);
        assert_null(strstr(ctl_out, "INSTANCE"));
        assert_non_null(strstr(ctl_out, "test"));
        assert_int_equal(ctl_run(h, &ctl, "status", "test", "--plain"), 0);
        assert_non_null(strstr(ctl_out, "\nLISTENER"));

        assert_null(strchr(ctl_out, '\033')); /* no terminal */
        assert_int_equal(setenv("SYSTEMD_COLORS", "1", true), 0);
        assert_int_equal(ctl_run(h, &ctl, "list"), 0);
        assert_non_null(strstr(ctl_out, "\033[1;32mready\033[0m"));
        assert_int_equal(ctl_run(h, &ctl, "list", "--plain"), 0);
        assert_null(strchr(ctl_out, '\033'));
        assert_int_equal(setenv("SYSTEMD_COLORS", "0", true), 0);
        assert_int_equal(ctl_run(h, &ctl, "list"), 0);
        assert_null(strchr(ctl_out, '\033'));
        assert_int_equal(unsetenv("SYSTEMD_COLORS"), 0);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_paused_clients_wait_and_are_served),
                HARNESS_TEST(test_pause_outlives_reload_and_crash),
                HARNESS_TEST(test_drained_worker_finishes_and_is_replaced),
                HARNESS_TEST(test_wait_ends_when_it_is_so),
                HARNESS_TEST(test_wait_for_what_does_not_run),
                HARNESS_TEST(test_patterns),
                HARNESS_TEST(test_options_that_do_not_fit),
                HARNESS_TEST(test_errors_as_json),
                HARNESS_TEST(test_heads_and_colours),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
