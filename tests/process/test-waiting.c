/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Clients that wait because the pool is full: REPORTS U4, the journal had nothing of it.
 */

#include <poll.h>

#include "client.h"

static void begin(struct harness *h, const char *option)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", option),
                .stub = WORDS("--serve=hold", "--capacity=2"));
        harness_await_workers(h, 1);
}

static void check_told(struct harness *h, const char *option, size_t room, const char *why)
{
        struct client clients[3];

        begin(h, option);
        for (size_t i = 0; i < 3; i++)
                client_open(h, &clients[i], 0);
        for (size_t i = 0; i < room; i++)
                client_await_greeting(h, &clients[i]);
        harness_await_line(h, "Clients wait: ", why, "open connection");
        for (size_t i = 0; i < room; i++)
                client_close(&clients[i]);
        client_await_greeting(h, &clients[room]);
        for (size_t i = room; i < 3; i++)
                client_close(&clients[i]);
        harness_await_line(h, "Nobody waits any more", "had to for ");
        assert_int_equal(harness_count_lines(h, "Clients wait"), 1);
        harness_stop(h);
}

static void test_all_workers_are_full(void **state)
{
        check_told(*state, "MaxConnections=100", 2, "all workers are full");
}

static void test_maximum_is_reached(void **state)
{
        check_told(*state, "MaxConnections=1", 1, "MaxConnections= is reached");
}

/* A pool that is full and has no more clients than that is as it should be. */
static void test_full_and_nobody_waits(void **state)
{
        struct harness *h = *state;
        struct client clients[2];
        usec_t until = usec_now() + 4 * USEC_PER_SEC;

        begin(h, "MaxConnections=100");
        for (size_t i = 0; i < 2; i++)
                client_open_served(h, &clients[i], 0);
        /* longer than it takes to be told */
        while (usec_now() < until)
                (void)poll(NULL, 0, 100);
        (void)harness_counters(h);
        assert_int_equal(harness_count_lines(h, "wait"), 0);
        for (size_t i = 0; i < 2; i++)
                client_close(&clients[i]);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_all_workers_are_full),
                HARNESS_TEST(test_maximum_is_reached),
                HARNESS_TEST(test_full_and_nobody_waits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
