/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A socket unit is edited, daemon-reload takes its sockets out of it, and then the dispatcher dies:
 * what it listened on comes from the store, or not at all.
 */

#include <signal.h>

#include "adoption.h"
#include "client.h"

/* As adoption_next(), with the first `n` sockets from units, and the others only from the store. */
static void next_with(struct harness *h, size_t n)
{
        size_t all = h->n_sockets;

        h->n_sockets = n;
        adoption_next(h);
        h->n_sockets = all;
}

static void finish_both(struct harness *h, struct client held[2])
{
        for (size_t i = 0; i < 2; i++) {
                client_exchange(h, &held[i]);
                client_finish(h, &held[i]);
        }
}

static void check_served(struct harness *h, size_t listener, const char *name)
{
        struct client client;

        client_open_served(h, &client, listener);
        assert_string_equal(client.listener, name);
        client_finish(h, &client);
}

/* REPORTS R5: "No socket was passed", status 78, and all held connections lost. */
static void test_crash_after_the_socket_unit_was_edited(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        harness_crash(h);
        next_with(h, 0);
        harness_await_line(h, "Took over 2 workers with 2 open connections");
        harness_await_notify(h, "STATUS=", "socket unit was edited", "systemctl restart acceptd@");
        assert_int_equal(harness_count_lines(h, "socket unit was edited", "restart"), 1);
        check_served(h, 0, "main");
        finish_both(h, held);
        assert_int_equal(harness_await_counter(h, done, 3).lost, 0);
        harness_stop(h);
}

/* Again and again, it is the same one. */
static void test_kept_listener_outlives_the_next_crash(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        for (int i = 0; i < 3; i++) {
                harness_crash(h);
                next_with(h, 0);
                harness_await_line(h, "socket unit was edited");
                check_served(h, 0, "main");
                assert_int_equal(h->store.n, ADOPTION_OWN_STORE + 2 * ADOPTION_PER_STORE);
        }
        finish_both(h, held);
        harness_stop(h);
}

/* Some addresses are still in the unit, others not, and the names are those of before. */
static void test_crash_after_an_address_was_replaced(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        (void)listener_add(h, LISTENER_UNIX, "main");
        (void)listener_add(h, LISTENER_TCP4, "a-name.of_its-own@x");
        (void)listener_add(h, LISTENER_SEQPACKET, "main");
        adoption_start(h, "Workers=2");
        harness_await_ready(h);
        harness_await_workers(h, 2);
        client_open_at_each(h, held, 1);
        harness_crash(h);
        next_with(h, 1);
        harness_await_line(h, "2 addresses are served", "restart");
        check_served(h, 0, "main");
        check_served(h, 1, "a-name.of_its-own@x");
        check_served(h, 2, "main");
        finish_both(h, held);
        (void)harness_await_counter(h, done, 5);
        harness_stop(h);
}

/* What comes from both is one listener, and nothing is said of it. */
static void test_listener_comes_twice(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        harness_crash(h);
        adoption_next(h);
        harness_await_line(h, "Took over 2 workers");
        assert_int_equal(harness_count_lines(h, "Listening on"), 2); /* once each */
        assert_int_equal(harness_count_lines(h, "socket unit"), 0);
        check_served(h, 0, "main");
        finish_both(h, held);
        harness_stop(h);
}

/* FileDescriptorName= was edited: the unit's counts, and is stored from then on. */
static void test_listener_comes_twice_with_another_name(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        harness_crash(h);
        (void)snprintf(h->names[0], sizeof(h->names[0]), "other");
        adoption_next(h);
        (void)harness_counters(h);
        assert_int_equal(descriptor_store_get(&h->store, "!nmain"), -1);
        assert_true(descriptor_store_get(&h->store, "!nother") >= 0);
        finish_both(h, held);
        harness_stop(h);
}

/* A dispatcher that stored none, as one before this version: the workers live on all the same. */
static void test_workers_live_on_without_any_listener(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        harness_crash(h);
        descriptor_store_drop(&h->store, "!nmain");
        next_with(h, 0);
        harness_await_line(h, "nobody listens", "systemctl restart acceptd@");
        harness_await_notify(h, "STATUS=", "nobody listens");
        finish_both(h, held);
        assert_int_equal(harness_await_counter(h, done, 2).lost, 0);
        harness_stop(h);
}

/* Before a stop has begun: a copy that stays would keep the port open. */
static void test_stop_forgets_listeners_first(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        assert_true(descriptor_store_get(&h->store, "!nmain") >= 0);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_notify(h, "STOPPING=1");
        assert_int_equal(descriptor_store_get(&h->store, "!nmain"), -1);
        finish_both(h, held);
        harness_expect_exit(h, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_crash_after_the_socket_unit_was_edited),
                HARNESS_TEST(test_kept_listener_outlives_the_next_crash),
                HARNESS_TEST(test_crash_after_an_address_was_replaced),
                HARNESS_TEST(test_listener_comes_twice),
                HARNESS_TEST(test_listener_comes_twice_with_another_name),
                HARNESS_TEST(test_workers_live_on_without_any_listener),
                HARNESS_TEST(test_stop_forgets_listeners_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
