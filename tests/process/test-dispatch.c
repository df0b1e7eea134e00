/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Connections go to workers: to which of them, how many at once, and what waits where when none has
 * room.
 */

#include <poll.h>
#include <sys/socket.h>

#include "client.h"

static void test_answered_by_a_worker(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct counters c;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_await_ready(h);

        client_open_served(h, &client, 0);
        assert_string_equal(client.listener, "main");
        assert_int_not_equal(client.id, 0);
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);

        c = harness_await_counter(h, done, 1);
        assert_int_equal(c.accepted, 1);
        assert_int_equal(c.open, 0);
        harness_stop(h);
}

static void test_bytes_flow_both_ways(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=echo"));
        harness_await_ready(h);

        client_open_served(h, &client, 0);
        client_send(&client, "over and back\n");
        assert_string_equal(client_await_line(h, &client), "over and back");
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        harness_stop(h);
}

/* Ids are unique for the life of the instance, though their slots are used again. */
static void test_ids_do_not_come_back(void **state)
{
        struct harness *h = *state;
        uint64_t ids[100];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "MaxConnections=1"));
        harness_await_ready(h);

        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                struct client client;

                client_open_served(h, &client, 0);
                (void)client_await_end(h, &client);
                ids[i] = client.id;
                for (size_t k = 0; k < i; k++)
                        assert_int_not_equal(ids[i], ids[k]);
        }
        harness_stop(h);
}

static void test_least_connections(void **state)
{
        struct harness *h = *state;
        struct client clients[4], next[2];
        unsigned first;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=2", "Distribute=least-connections"),
                .stub = WORDS("--serve=hold", "--capacity=8"));
        harness_await_workers(h, 2);

        for (size_t i = 0; i < 4; i++)
                client_open_served(h, &clients[i], 0);
        first = clients[0].worker;
        assert_int_not_equal(clients[1].worker, first);
        assert_int_not_equal(clients[2].worker, clients[3].worker);

        /* one has none now, the other two: it gets the next two */
        for (size_t i = 0; i < 4; i++)
                if (clients[i].worker == first)
                        client_close(&clients[i]);
        (void)harness_await_counter(h, done, 2);
        for (size_t i = 0; i < 2; i++) {
                client_open_served(h, &next[i], 0);
                assert_int_equal(next[i].worker, first);
                client_close(&next[i]);
                (void)harness_await_counter(h, done, 3 + i);
        }

        for (size_t i = 0; i < 4; i++)
                client_close(&clients[i]);
        harness_stop(h);
}

static void test_round_robin(void **state)
{
        struct harness *h = *state;
        struct client clients[9];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=3", "Distribute=round-robin"),
                .stub = WORDS("--serve=hold", "--capacity=8"));
        harness_await_workers(h, 3);

        for (size_t i = 0; i < 6; i++)
                client_open_served(h, &clients[i], 0);
        assert_int_not_equal(clients[0].worker, clients[1].worker);
        assert_int_not_equal(clients[0].worker, clients[2].worker);
        assert_int_not_equal(clients[1].worker, clients[2].worker);

        /* one has none now, the others two each: the turn goes on all the same */
        client_close(&clients[0]);
        client_close(&clients[3]);
        (void)harness_await_counter(h, done, 2);
        for (size_t i = 6; i < 9; i++)
                client_open_served(h, &clients[i], 0);
        for (size_t i = 3; i < 9; i++)
                assert_int_equal(clients[i].worker, clients[i - 3].worker);

        for (size_t i = 0; i < 9; i++)
                client_close(&clients[i]);
        harness_stop(h);
}

/* Without credit nothing is accepted: the backlog is where connections wait. */
static void test_no_accept_without_credit(void **state)
{
        struct harness *h = *state;
        struct client clients[5];
        struct counters c;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=2"), .stub = WORDS("--serve=hold"));
        harness_await_workers(h, 2);

        for (size_t i = 0; i < 5; i++)
                client_open(h, &clients[i], 0);
        client_await_greeting(h, &clients[0]);
        client_await_greeting(h, &clients[1]);
        assert_int_not_equal(clients[0].worker, clients[1].worker);

        c = harness_counters(h);
        assert_int_equal(c.accepted, 2);
        assert_int_equal(c.open, 2);

        /* each end of one is the begin of exactly one other, in the order of their coming */
        for (size_t i = 2; i < 5; i++) {
                for (size_t k = i; k < 5; k++)
                        assert_true(client_waits(h, &clients[k]));
                client_close(&clients[i - 2]);
                client_await_greeting(h, &clients[i]);
                assert_int_equal(clients[i].worker, clients[i - 2].worker);
                c = harness_counters(h);
                assert_int_equal(c.accepted, i + 1);
                assert_int_equal(c.open, 2);
        }

        client_close(&clients[3]);
        client_close(&clients[4]);
        (void)harness_await_counter(h, done, 5);
        harness_stop(h);
}

static void test_max_connections(void **state)
{
        struct harness *h = *state;
        struct client clients[5];
        struct counters c;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "MaxConnections=3"),
                .stub = WORDS("--serve=hold", "--capacity=100"));
        harness_await_ready(h);

        for (size_t i = 0; i < 5; i++)
                client_open(h, &clients[i], 0);
        for (size_t i = 0; i < 3; i++)
                client_await_greeting(h, &clients[i]);
        c = harness_counters(h);
        assert_int_equal(c.accepted, 3);
        assert_true(client_waits(h, &clients[3]));
        assert_true(client_waits(h, &clients[4]));

        client_close(&clients[1]);
        client_await_greeting(h, &clients[3]);
        assert_true(client_waits(h, &clients[4]));
        client_close(&clients[0]);
        client_await_greeting(h, &clients[4]);

        for (size_t i = 0; i < 5; i++)
                client_close(&clients[i]);
        (void)harness_await_counter(h, done, 5);
        harness_stop(h);
}

static void test_connections_per_worker(void **state)
{
        struct harness *h = *state;
        struct client clients[3];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "ConnectionsPerWorker=2"),
                .stub = WORDS("--serve=hold", "--capacity=100"));
        harness_await_ready(h);

        client_open_served(h, &clients[0], 0);
        client_open_served(h, &clients[1], 0);
        client_open(h, &clients[2], 0);
        assert_int_equal(harness_counters(h).accepted, 2);
        assert_true(client_waits(h, &clients[2]));

        client_close(&clients[0]);
        client_await_greeting(h, &clients[2]);
        client_close(&clients[1]);
        client_close(&clients[2]);
        harness_stop(h);
}

/* READY said again changes the capacity for later connections, up and down. */
static void test_capacity_changes(void **state)
{
        struct harness *h = *state;
        struct client clients[5];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=obey"));
        harness_await_ready(h);

        client_open_served(h, &clients[0], 0);
        for (size_t i = 1; i < 4; i++)
                client_open(h, &clients[i], 0);
        assert_int_equal(harness_counters(h).accepted, 1);

        client_send(&clients[0], "ready 3\n");
        client_await_greeting(h, &clients[1]);
        client_await_greeting(h, &clients[2]);
        assert_int_equal(harness_counters(h).accepted, 3);
        assert_true(client_waits(h, &clients[3]));

        /* Less than it holds: nothing is taken from it, and nothing new comes. */
        client_send(&clients[0], "ready 1\n");
        harness_await_line(h, "stub", "does ready");
        harness_await_line(h, "stub", "does ready");
        client_close(&clients[1]);
        client_close(&clients[2]);
        assert_int_equal(harness_await_counter(h, done, 2).accepted, 3);
        assert_true(client_waits(h, &clients[3]));
        client_close(&clients[0]);
        client_await_greeting(h, &clients[3]);

        client_open(h, &clients[4], 0);
        assert_int_equal(harness_counters(h).accepted, 4);
        client_close(&clients[3]);
        client_await_greeting(h, &clients[4]);
        client_close(&clients[4]);
        harness_stop(h);
}

/* A burst on one listener does not keep another one's clients out. */
static void test_listeners_are_served_in_turn(void **state)
{
        struct harness *h = *state;
        struct client busy[64], other;
        struct counters c;

        (void)listener_add(h, LISTENER_UNIX, "busy");
        (void)listener_add(h, LISTENER_UNIX, "other");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        harness_await_ready(h);

        for (size_t i = 0; i < ELEMENTSOF(busy); i++)
                client_open(h, &busy[i], 0);
        client_await_greeting(h, &busy[0]);
        client_open(h, &other, 1);

        /* one credit at a time: the other listener's turn comes long before the 64th */
        for (size_t i = 0; i < 8; i++) {
                struct pollfd either[] = {
                        { .fd = other.fd, .events = POLLIN },
                        { .fd = busy[i + 1].fd, .events = POLLIN },
                };

                client_close(&busy[i]);
                c = harness_await_counter(h, accepted, i + 2);
                assert_int_equal(c.open, 1);
                assert_int_equal(poll(either, 2, HARNESS_DEADLINE / USEC_PER_MSEC), 1);
                if (either[0].revents)
                        break;
                client_await_greeting(h, &busy[i + 1]);
        }
        client_await_greeting(h, &other);
        assert_string_equal(other.listener, "other");
        client_close(&other);

        for (size_t i = 0; i < ELEMENTSOF(busy); i++)
                client_close(&busy[i]);
        harness_stop(h);
}

/* Clients that left while they were in the backlog are connections like all others. */
static void test_clients_that_did_not_wait(void **state)
{
        struct harness *h = *state;
        struct client first, gone[3], last;
        struct counters c;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        harness_await_ready(h);
        client_open_served(h, &first, 0);
        for (size_t i = 0; i < 3; i++)
                client_open(h, &gone[i], 0);
        client_open(h, &last, 0);
        for (size_t i = 0; i < 3; i++)
                client_close(&gone[i]);
        assert_int_equal(harness_counters(h).accepted, 1);

        client_close(&first);
        client_await_greeting(h, &last);
        c = harness_counters(h);
        assert_int_equal(c.accepted, 5);
        assert_int_equal(c.done, 4);
        assert_int_equal(c.open, 1);
        client_close(&last);
        harness_stop(h);
}

/* The same over TCP, where the end is a reset. */
static void test_clients_that_reset(void **state)
{
        const struct linger at_once = { .l_onoff = 1 };
        struct harness *h = *state;
        struct client first, gone[3], last;

        if (!listener_available(LISTENER_TCP4))
                harness_skip(h, "no IPv4 here");
        (void)listener_add(h, LISTENER_TCP4, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        harness_await_ready(h);
        client_open_served(h, &first, 0);
        for (size_t i = 0; i < 3; i++) {
                client_open(h, &gone[i], 0);
                assert_int_equal(
                        setsockopt(gone[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)),
                        0);
                client_close(&gone[i]);
        }

        client_close(&first);
        client_open_served(h, &last, 0);
        client_close(&last);
        (void)harness_await_counter(h, done, harness_counters(h).accepted);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_answered_by_a_worker),
                HARNESS_TEST(test_bytes_flow_both_ways),
                HARNESS_TEST(test_ids_do_not_come_back),
                HARNESS_TEST(test_least_connections),
                HARNESS_TEST(test_round_robin),
                HARNESS_TEST(test_no_accept_without_credit),
                HARNESS_TEST(test_max_connections),
                HARNESS_TEST(test_connections_per_worker),
                HARNESS_TEST(test_capacity_changes),
                HARNESS_TEST(test_listeners_are_served_in_turn),
                HARNESS_TEST(test_clients_that_did_not_wait),
                HARNESS_TEST(test_clients_that_reset),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
