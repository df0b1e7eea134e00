/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A program of acceptd-inetd that cannot even begin, over TCP: it fails, and has not touched its
 * connection. No stream of clients is let down for it, and none that fails otherwise is taken for
 * it.
 */

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "inetd-fixture.h"

static void start(struct harness *h, const char *script)
{
        (void)listener_add(h, LISTENER_TCP4, "main");
        harness_start(h, .options = WORDS("Workers=1", "RestartSec=1h", "RestartMaxDelaySec=1h"),
                .command = inetd_command(WORDS("sh", "-c", script)));
        harness_await_workers(h, 1);
}

/* Three clients that say something are done, and no worker has ended for it. */
static void expect_done(struct harness *h, const char *script)
{
        struct client client;

        start(h, script);
        for (int i = 0; i < 3; i++) {
                client_open(h, &client, 0);
                client_send(&client, "hello\n");
                (void)client_await_end(h, &client);
        }
        (void)harness_await_counter(h, done, 3);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "orker 1 ", "status 69"), 0);
}

static void expect_given_up(struct harness *h, const char *said)
{
        struct client first, next;

        start(h, "sleep 0.1; exit 1");
        client_open(h, &first, 0);
        if (said)
                client_send(&first, said);
        (void)client_await_end(h, &first);
        harness_await_line(h, "sh (PID ", ") exited with status 1");
        harness_await_line(h, "orker 1 ", "exited with status 69");
        (void)harness_await_counter(h, failed, 1);
        client_open(h, &next, 0);
        (void)harness_counters(h);
        assert_true(client_waits(h, &next));
        client_close(&next);
        harness_stop(h);
}

static void test_fails_and_reads_nothing(void **state)
{
        expect_given_up(*state, "hello\n");
}

static void test_fails_and_says_nothing(void **state)
{
        expect_given_up(*state, NULL);
}

static void test_client_that_is_refused_by_the_program(void **state)
{
        expect_done(*state, "read line; exit 3");
}

static void test_answer_and_failure(void **state)
{
        expect_done(*state, "echo sorry; exit 3");
}

static void test_success_at_once(void **state)
{
        expect_done(*state, "exit 0");
}

static void test_client_that_leaves_and_has_said_nothing(void **state)
{
        struct harness *h = *state;
        struct client client;

        start(h, "read line; exit 3");
        for (int i = 0; i < 3; i++) {
                client_open(h, &client, 0);
                client_close(&client);
        }
        (void)harness_await_counter(h, done, 3);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "orker 1 ", "status 69"), 0);
}

/* One that has worked before is believed. */
static void test_failure_after_service(void **state)
{
        struct harness *h = *state;
        char flag[PATH_MAX], script[2 * PATH_MAX + 64];
        struct client client;

        (void)snprintf(flag, sizeof(flag), "%s/served", h->dir);
        (void)snprintf(script, sizeof(script), "[ ! -e %s ] && : >%s", flag, flag);
        start(h, script);
        for (int i = 0; i < 3; i++) {
                client_open(h, &client, 0);
                (void)client_await_end(h, &client);
                (void)harness_await_counter(h, done, (unsigned)i + 1);
        }
        harness_stop(h);
        assert_int_equal(unlink(flag), 0);
        assert_int_equal(harness_count_lines(h, "orker 1 ", "status 69"), 0);
}

/* What is kept to look at it is no longer kept than a second. */
static void test_program_that_closes_and_goes_on(void **state)
{
        struct harness *h = *state;
        struct client client;

        start(h, "exec 0<&- 1>&- 3>&-; exec sleep 3");
        client_open(h, &client, 0);
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        assert_int_equal(harness_counters(h).done, 0); /* it still runs */
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_fails_and_reads_nothing),
                HARNESS_TEST(test_fails_and_says_nothing),
                HARNESS_TEST(test_client_that_is_refused_by_the_program),
                HARNESS_TEST(test_answer_and_failure),
                HARNESS_TEST(test_success_at_once),
                HARNESS_TEST(test_client_that_leaves_and_has_said_nothing),
                HARNESS_TEST(test_failure_after_service),
                HARNESS_TEST(test_program_that_closes_and_goes_on),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
