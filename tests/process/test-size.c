/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Pools that grow and shrink, workers that are recycled, and LogConnections=.
 */

#include <signal.h>

#include "client.h"
#include "procfs.h"

#define BURST 8

static void start_pool(struct harness *h, const char *const *options, const char *const *stub)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = options, .stub = stub);
        harness_await_ready(h);
}

static void test_burst_grows_the_pool_and_it_shrinks_again(void **state)
{
        struct harness *h = *state;
        struct client clients[BURST];
        pid_t workers[32];
        struct counters c;

        start_pool(h, WORDS("Workers=1", "WorkersMax=8", "WorkerIdleTimeoutSec=100ms"),
                WORDS("--serve=hold"));
        for (size_t i = 0; i < BURST; i++)
                client_open(h, &clients[i], 0);
        for (size_t i = 0; i < BURST; i++)
                client_await_greeting(h, &clients[i]);
        assert_int_equal(procfs_children(h->pid, workers, ELEMENTSOF(workers)), 8);

        for (size_t i = 0; i < BURST; i++)
                client_close(&clients[i]);
        for (size_t i = 0; i < BURST - 1; i++)
                harness_await_line(h, "orker ", "retires");
        h->log.cursor = 0; /* lines of several workers come in any order */
        for (size_t i = 0; i < BURST - 1; i++)
                (void)harness_await_stub(h, "ends");
        c = harness_counters(h);
        assert_int_equal(c.done, BURST);
        assert_int_equal(harness_count_lines(h, "retires"), BURST - 1);
        assert_int_equal(harness_count_lines(h, "Workers fail"), 0);

        client_open_served(h, &clients[0], 0);
        client_close(&clients[0]);
        harness_stop(h);
}

static void test_spare_workers_are_ready(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, WORDS("Workers=1", "WorkersSpare=2", "WorkersMax=4"), WORDS("--serve=hold"));
        harness_await_workers(h, 2);
        client_open_served(h, &client, 0);
        harness_await_workers(h, 3);
        client_close(&client);
        harness_stop(h);
}

/* One client after the other, each is served, and workers change beneath them. */
static void test_recycling_under_load(void **state)
{
        struct harness *h = *state;
        struct counters c;
        unsigned last = 0;

        start_pool(h, WORDS("Workers=2", "RecycleAfter=10"), WORDS("--capacity=4"));
        harness_await_workers(h, 2);
        for (unsigned i = 0; i < 500; i++) {
                struct client clients[4];

                for (size_t k = 0; k < ELEMENTSOF(clients); k++)
                        client_open(h, &clients[k], 0);
                for (size_t k = 0; k < ELEMENTSOF(clients); k++) {
                        client_await_greeting(h, &clients[k]);
                        last = clients[k].worker > last ? clients[k].worker : last;
                        assert_int_equal(client_await_end(h, &clients[k]), CLIENT_END_CLEAN);
                }
        }
        c = harness_await_counter(h, done, 2000);
        assert_int_equal(c.lost, 0);
        assert_int_equal(c.refused, 0);
        assert_int_equal(c.taken_back, 0);
        /* How many depends on how quickly successors start. */
        assert_true(last > 3);
        assert_true(harness_count_lines(h, "orker ", "is recycled after") > 1);
        assert_int_equal(harness_count_lines(h, "Workers fail"), 0);
        harness_stop(h);
}

/* What it holds is not cut off, and has its time limit. */
static void test_recycled_worker_finishes(void **state)
{
        struct harness *h = *state;
        struct client held, next;

        start_pool(h, WORDS("Workers=1", "RecycleAfter=1"), WORDS("--serve=hold", "--capacity=4"));
        client_open_served(h, &held, 0);
        harness_await_line(h, "orker 1 ", "is recycled after 1 connection.");
        client_open_served(h, &next, 0);
        assert_int_equal(next.worker, 2);
        assert_true(client_waits(h, &held));
        client_close(&held);
        harness_await_line(h, "orker 1 ", "exited with status 0");
        client_close(&next);
        (void)harness_await_counter(h, done, 2);
        harness_stop(h);
}

static void test_recycled_worker_is_terminated_in_the_end(void **state)
{
        struct harness *h = *state;
        struct client held;

        start_pool(h, WORDS("Workers=1", "RecycleAfter=1", "ReloadDrainTimeoutSec=50ms"),
                WORDS("--serve=hold", "--capacity=4"));
        client_open_served(h, &held, 0);
        harness_await_line(h, "orker 1 ", "did not finish its connections in time");
        (void)client_await_end(h, &held);
        (void)harness_await_counter(h, lost, 1);
        harness_stop(h);
}

static void test_connections_are_logged(void **state)
{
        struct harness *h = *state;
        struct client done, lost;

        start_pool(h, WORDS("Workers=1", "LogConnections=yes"), WORDS("--serve=obey"));
        client_open_served(h, &done, 0);
        client_send(&done, "done\n");
        (void)client_await_end(h, &done);
        harness_await_line(h, "onnection ", "of main: done after", "worker 1 ");
        client_open_served(h, &lost, 0);
        client_send(&lost, "exit 1\n");
        (void)client_await_end(h, &lost);
        harness_await_line(h, "onnection ", "of main: lost after", "worker 1 ");
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "onnection ", "of main: "), 2);
}

static void test_connections_are_not_logged(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, WORDS("Workers=1"), WORDS());
        client_open_served(h, &client, 0);
        (void)client_await_end(h, &client);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "of main: "), 0);
}

/* Two generations of three descriptors each, one more worker, the listener, the ledger, the
 * settings in force and those of a reload */
static void test_workers_that_do_not_fit_the_store(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=2", "WorkersMax=10"),
                .environment = WORDS("FDSTORE=64"));
        harness_expect_exit(h, 78);
        assert_int_equal(
                harness_count_lines(h, "WorkersMax=10 ", " 67 ", "FileDescriptorStoreMax=", "64"),
                1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_burst_grows_the_pool_and_it_shrinks_again),
                HARNESS_TEST(test_spare_workers_are_ready),
                HARNESS_TEST(test_recycling_under_load),
                HARNESS_TEST(test_recycled_worker_finishes),
                HARNESS_TEST(test_recycled_worker_is_terminated_in_the_end),
                HARNESS_TEST(test_connections_are_logged),
                HARNESS_TEST(test_connections_are_not_logged),
                HARNESS_TEST(test_workers_that_do_not_fit_the_store),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
