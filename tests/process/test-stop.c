/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * SIGTERM: no new connection, those in hand finish or are cut off by their deadlines, exit status
 * 0, and nothing is left behind. (That nothing is left, harness_expect_exit() checks in every
 * test.)
 */

#include <signal.h>

#include "client.h"
#include "procfs.h"

static void start_pool(struct harness *h, const char *const *options, const char *const *stub)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = options, .stub = stub);
}

static void terminate(struct harness *h)
{
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_notify(h, "STOPPING=1");
}

static void test_idle(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=3"), NULL);
        harness_await_workers(h, 3);
        terminate(h);
        harness_await_notify(h, "EXTEND_TIMEOUT_USEC=");
        for (int i = 0; i < 3; i++)
                (void)harness_await_stub(h, "ends");
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "SIGTERM"), 0);
        assert_int_equal(harness_count_lines(h, "SIGKILL"), 0);
}

/* REPORTS R6: its socket is to be stopped, too, so whoever comes would wait for nothing. */
static void test_clients_are_refused_while_the_socket_stops(void **state)
{
        struct harness *h = *state;
        struct client held, waiting, late;
        struct counters c;

        (void)listener_add(h, LISTENER_TCP4, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=echo"));
        harness_await_workers(h, 1);
        client_open_served(h, &held, 0);
        client_open(h, &waiting, 0);
        assert_int_equal(kill(h->pid, SIGWINCH), 0);
        (void)harness_counters(h);
        assert_true(client_waits(h, &waiting)); /* it is for the stop */
        terminate(h);
        assert_int_equal(client_await_end(h, &waiting), CLIENT_END_RESET);
        for (int i = 0; i < 3; i++) {
                client_open(h, &late, 0);
                assert_int_equal(client_await_end(h, &late), CLIENT_END_RESET);
        }
        c = harness_counters(h);
        assert_int_equal(c.accepted, 5);
        assert_int_equal(c.refused, 4);
        client_send(&held, "still there?\n");
        assert_string_equal(client_await_line(h, &held), "still there?");
        assert_int_equal(client_await_end(h, &held), CLIENT_END_CLEAN);
        harness_await_line(h, "4 connections were closed unserved", "socket");
        harness_expect_exit(h, 0);
}

static void test_interrupt_from_a_terminal(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=1"), NULL);
        harness_await_ready(h);
        assert_int_equal(kill(h->pid, SIGINT), 0);
        harness_expect_exit(h, 0);
}

/* Clients in hand finish; new ones wait in the backlog, which is systemd's. */
static void test_clients_finish(void **state)
{
        struct harness *h = *state;
        struct client clients[2], late;
        struct counters c;

        start_pool(h, WORDS("Workers=2"), WORDS("--serve=echo"));
        harness_await_workers(h, 2);
        client_open_served(h, &clients[0], 0);
        client_open_served(h, &clients[1], 0);
        terminate(h);
        (void)harness_await_stub(h, "drains");
        (void)harness_await_stub(h, "drains");

        client_open(h, &late, 0);
        for (size_t i = 0; i < 2; i++) {
                client_send(&clients[i], "still there?\n");
                assert_string_equal(client_await_line(h, &clients[i]), "still there?");
                assert_int_equal(client_await_end(h, &clients[i]), CLIENT_END_CLEAN);
                if (i == 0) {
                        c = harness_await_counter(h, done, 1);
                        assert_int_equal(c.open, 1);
                        assert_int_equal(c.accepted, 2);
                }
        }
        assert_true(client_waits(h, &late));
        client_close(&late);

        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "counters:", "accepted=2", "done=2", "lost=0"), 1);
}

/* What is in a worker's queue at the stop belongs to the clients in hand. */
static void test_queue_is_served(void **state)
{
        struct harness *h = *state;
        struct client client, queued;
        char deeds[256];

        start_pool(h, WORDS("Workers=1"), WORDS("--serve=obey", "--capacity=2"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        (void)snprintf(deeds, sizeof(deeds), "wait %s;done\n", h->fifo);
        client_send(&client, deeds);
        (void)harness_await_stub(h, "does wait");
        client_open(h, &queued, 0);
        (void)harness_await_counter(h, accepted, 2);

        terminate(h);
        harness_release(h);
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        client_await_greeting(h, &queued);
        client_send(&queued, "done\n");
        assert_int_equal(client_await_end(h, &queued), CLIENT_END_CLEAN);
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "counters:", "done=2", "lost=0"), 1);
}

static void test_endless_client_gets_sigterm(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, WORDS("Workers=1", "DrainTimeoutSec=200ms"), WORDS("--serve=hold"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        terminate(h);
        (void)harness_await_stub(h, "drains");
        harness_await_line(h, "orker 1 ", "SIGTERM");
        (void)client_await_end(h, &client);
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "It gets SIGKILL"), 0);
        assert_int_equal(harness_count_lines(h, "counters:", "lost=1", "open=0"), 1);
}

static void test_endless_client_gets_sigkill(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, WORDS("Workers=1", "DrainTimeoutSec=200ms", "TimeoutStopSec=200ms"),
                WORDS("--serve=hold", "--ignore-term"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        terminate(h);
        harness_await_line(h, "orker 1 ", "SIGTERM");
        harness_await_line(h, "orker 1 ", "SIGKILL");
        (void)client_await_end(h, &client);
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "counters:", "lost=1", "open=0"), 1);
}

static void test_idle_worker_that_does_not_drain(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=2", "DrainTimeoutSec=200ms", "TimeoutStopSec=200ms"),
                WORDS("--ignore-drain", "--ignore-term"));
        harness_await_workers(h, 2);
        terminate(h);
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "It gets SIGKILL"), 2);
}

/* A stopped process takes SIGKILL and nothing else; nobody is left for what it had in its queue. */
static void test_stopped_worker_with_a_queue(void **state)
{
        struct harness *h = *state;
        struct client in_hand, queued;

        start_pool(h, WORDS("Workers=1", "DrainTimeoutSec=100ms", "TimeoutStopSec=100ms"),
                WORDS("--serve=hold", "--capacity=4", "--stop", "--at=1"));
        harness_await_ready(h);
        client_open_served(h, &in_hand, 0);
        (void)harness_await_stub(h, "does stop");
        client_open(h, &queued, 0);
        (void)harness_await_counter(h, accepted, 2);

        terminate(h);
        (void)client_await_end(h, &in_hand);
        (void)client_await_end(h, &queued);
        harness_expect_exit(h, 0);
        assert_int_equal(
                harness_count_lines(h, "counters:", "accepted=2", "lost=1", "refused=1", "open=0"),
                1);
}

/* The second SIGTERM waits for nobody. */
static void test_twice(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, WORDS("Workers=1", "DrainTimeoutSec=1h"), WORDS("--serve=hold"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        terminate(h);
        (void)harness_await_stub(h, "drains");
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        (void)client_await_end(h, &client);
        harness_expect_exit(h, 0);
}

/* A worker that is not ready yet holds nothing, so nothing has to be waited for. */
static void test_while_starting(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=2", "DrainTimeoutSec=1h", "TimeoutStopSec=1h"),
                WORDS("--never-ready"));
        (void)harness_await_stub(h, "starts");
        (void)harness_await_stub(h, "starts");
        terminate(h);
        harness_expect_exit(h, 0);
}

static void test_while_workers_fail(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=2", "RestartSec=1h", "RestartMaxDelaySec=1h"),
                WORDS("--exit=1", "--at=start"));
        harness_await_ready(h);
        terminate(h);
        harness_expect_exit(h, 0);
}

/* Right at the start, before there is any worker. */
static void test_at_once(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=4"), NULL);
        harness_await_line(h, "istening on");
        harness_stop(h);
}

/* Processes that workers started end with them. */
static void test_grandchildren(void **state)
{
        struct harness *h = *state;

        start_pool(h, WORDS("Workers=2"), WORDS("--grandchild"));
        (void)harness_await_stub(h, "grandchild is there");
        (void)harness_await_stub(h, "grandchild is there");
        harness_stop(h);
}

/* A worker that dies while others drain is not replaced. */
static void test_death_while_draining(void **state)
{
        struct harness *h = *state;
        struct client clients[2];

        start_pool(h, WORDS("Workers=2"), WORDS("--serve=hold"));
        harness_await_workers(h, 2);
        client_open_served(h, &clients[0], 0);
        client_open_served(h, &clients[1], 0);
        terminate(h);
        (void)harness_await_stub(h, "drains");
        (void)harness_await_stub(h, "drains");
        assert_int_equal(kill(clients[0].pid, SIGKILL), 0);
        (void)client_await_end(h, &clients[0]);
        (void)harness_await_counter(h, lost, 1);
        client_close(&clients[1]);
        harness_expect_exit(h, 0);
        assert_int_equal(harness_count_lines(h, "stub", "starts"), 2);
        assert_int_equal(harness_count_lines(h, "counters:", "lost=1", "done=1"), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_idle),
                HARNESS_TEST(test_clients_are_refused_while_the_socket_stops),
                HARNESS_TEST(test_interrupt_from_a_terminal),
                HARNESS_TEST(test_clients_finish),
                HARNESS_TEST(test_queue_is_served),
                HARNESS_TEST(test_endless_client_gets_sigterm),
                HARNESS_TEST(test_endless_client_gets_sigkill),
                HARNESS_TEST(test_idle_worker_that_does_not_drain),
                HARNESS_TEST(test_stopped_worker_with_a_queue),
                HARNESS_TEST(test_twice),
                HARNESS_TEST(test_while_starting),
                HARNESS_TEST(test_while_workers_fail),
                HARNESS_TEST(test_at_once),
                HARNESS_TEST(test_grandchildren),
                HARNESS_TEST(test_death_while_draining),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
