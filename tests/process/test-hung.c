/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workers that live and do not read: their queue goes to others (QueueTimeoutSec=), and one that
 * does not answer is ended (WatchdogSec=).
 */

#include <poll.h>
#include <signal.h>

#include "client.h"
#include "procfs.h"

#define QUEUED 6

/* Two workers with a client each; the first one stops. */
static void begin(
        struct harness *h, const char *const *options, struct client *stopped, struct client *other)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = options, .stub = WORDS("--serve=hold", "--capacity=16"));
        harness_await_workers(h, 2);
        client_open_served(h, stopped, 0);
        client_open_served(h, other, 0);
        assert_int_not_equal(stopped->worker, other->worker);
        assert_int_equal(kill(stopped->pid, SIGSTOP), 0);
}

static const char *name_of(const struct client *client)
{
        static char name[32];

        (void)snprintf(name, sizeof(name), "orker %u ", client->worker);
        return name;
}

/* Half of them are queued for the stopped one. Returns how long it took until all were served. */
static usec_t open_queued(struct harness *h, struct client *clients, const struct client *stopped)
{
        usec_t begun = usec_now();

        for (size_t i = 0; i < QUEUED; i++)
                client_open(h, &clients[i], 0);
        for (size_t i = 0; i < QUEUED; i++) {
                client_await_greeting(h, &clients[i]);
                assert_int_not_equal(clients[i].worker, stopped->worker);
        }

        return usec_now() - begun;
}

static void close_all(struct client *clients, size_t n)
{
        for (size_t i = 0; i < n; i++)
                client_close(&clients[i]);
}

static void test_queue_of_a_stopped_worker(void **state)
{
        struct harness *h = *state;
        struct client stopped, other, clients[QUEUED], later;
        struct counters c;
        unsigned n = 0;

        begin(h, WORDS("Workers=2", "Distribute=round-robin"), &stopped, &other);
        assert_in_range(open_queued(h, clients, &stopped), USEC_PER_SEC, HARNESS_DEADLINE);
        c = harness_counters(h);
        assert_int_equal(c.taken_back, QUEUED / 2);
        assert_int_equal(c.open, QUEUED + 2);
        harness_await_line(h, name_of(&stopped), "did not receive in time", "3 connections");

        /* It gets nothing until it comes back. */
        for (int i = 0; i < 4; i++) {
                client_open_served(h, &later, 0);
                assert_int_equal(later.worker, other.worker);
                client_close(&later);
        }
        assert_int_equal(kill(stopped.pid, SIGCONT), 0);
        do {
                assert_true(++n < 10000);
                client_open_served(h, &later, 0);
                client_close(&later);
        } while (later.worker != stopped.worker);

        close_all(clients, QUEUED);
        client_close(&stopped);
        client_close(&other);
        c = harness_await_counter(h, open, 0);
        assert_int_equal(c.done, c.accepted);
        assert_int_equal(c.taken_back, QUEUED / 2);
        harness_stop(h);
}

/* Nobody else has room: the queue stays, and nothing is accepted on top. */
static void test_queue_stays_with_the_only_worker(void **state)
{
        struct harness *h = *state;
        struct client first, queued, later;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "QueueTimeoutSec=100ms"),
                .stub = WORDS("--serve=hold", "--capacity=4"));
        harness_await_ready(h);
        client_open_served(h, &first, 0);
        assert_int_equal(kill(first.pid, SIGSTOP), 0);
        client_open(h, &queued, 0);
        (void)harness_await_counter(h, accepted, 2);
        (void)poll(NULL, 0, 300);
        client_open(h, &later, 0);
        assert_int_equal(harness_counters(h).accepted, 2);

        assert_int_equal(kill(first.pid, SIGCONT), 0);
        client_await_greeting(h, &queued);
        client_await_greeting(h, &later);
        assert_int_equal(harness_counters(h).taken_back, 0);
        client_close(&first);
        client_close(&queued);
        client_close(&later);
        (void)harness_await_counter(h, done, 3);
        harness_stop(h);
}

static void test_stopped_worker_is_ended(void **state)
{
        struct harness *h = *state;
        struct client stopped, other, clients[QUEUED];
        struct counters c;

        begin(h,
                WORDS("Workers=2", "Distribute=round-robin", "QueueTimeoutSec=infinity",
                        "WatchdogSec=2s", "TimeoutStopSec=2s"),
                &stopped, &other);
        assert_in_range(open_queued(h, clients, &stopped), 400 * USEC_PER_MSEC, HARNESS_DEADLINE);
        /* at once, and not when it is dead */
        assert_int_equal(kill(stopped.pid, 0), 0);
        harness_await_line(h, name_of(&stopped), "hangs", "SIGABRT");
        assert_int_equal(harness_counters(h).lost, 0);
        assert_int_equal(harness_count_lines(h, "did not receive in time"), 1);

        harness_await_death(h, stopped.pid);
        harness_await_line(h, name_of(&stopped), "did not end", "SIGKILL");
        harness_await_line(h, name_of(&stopped), "was ended by SIGKILL");
        assert_int_equal(client_await_end(h, &stopped), CLIENT_END_CLEAN);
        c = harness_await_counter(h, lost, 1);
        assert_int_equal(c.taken_back, QUEUED / 2);
        assert_int_equal(c.open, QUEUED + 1);
        assert_int_equal(harness_count_lines(h, "hangs"), 1);

        close_all(clients, QUEUED);
        client_close(&other);
        c = harness_await_counter(h, open, 0);
        assert_int_equal(c.done + c.lost, c.accepted);
        harness_stop(h);
}

/* One that can still die of SIGABRT does, and needs no SIGKILL. */
static void test_hung_worker_aborts(void **state)
{
        struct harness *h = *state;
        struct client client, next;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "WatchdogSec=1s", "TimeoutStopSec=1h"),
                .stub = WORDS("--serve=obey", "--capacity=2"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        client_send(&client, "hang\n");
        harness_await_line(h, name_of(&client), "hangs", "SIGABRT");
        (void)client_await_end(h, &client);
        (void)harness_await_counter(h, lost, 1);
        assert_int_equal(harness_count_lines(h, "SIGKILL"), 0);

        client_open_served(h, &next, 0);
        assert_int_not_equal(next.worker, client.worker);
        client_close(&next);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

/* A worker for one connection that serves is not asked. */
static void test_busy_worker_is_left_alone(void **state)
{
        struct harness *h = *state;
        struct client client, next;
        char deeds[256];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(
                h, .options = WORDS("Workers=1", "WatchdogSec=1s"), .stub = WORDS("--serve=obey"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        (void)snprintf(deeds, sizeof(deeds), "wait %s;done\n", h->fifo);
        client_send(&client, deeds);
        (void)harness_await_stub(h, "does wait");
        (void)poll(NULL, 0, 2500);
        harness_release(h);
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        client_open_served(h, &next, 0);
        assert_int_equal(next.pid, client.pid);
        client_close(&next);
        (void)harness_await_counter(h, done, 2);
        assert_int_equal(harness_count_lines(h, "hangs"), 0);
        harness_stop(h);
}

/* Workers of the library and of the wire, idle, are asked and answer. */
static void test_idle_workers_answer(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=3", "WatchdogSec=1s"),
                .command = WORDS(harness_path("../../acceptd-echo")));
        harness_await_workers(h, 3);
        (void)poll(NULL, 0, 2000);
        (void)harness_counters(h);
        assert_int_equal(harness_count_lines(h, "hangs"), 0);
        assert_int_equal(harness_count_lines(h, "protocol"), 0);
        harness_stop(h);
}

static void test_wrong_pong(void **state)
{
        struct harness *h = *state;
        struct stub_id guilty;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "WatchdogSec=2s"),
                .stub = WORDS(h->marks, "--wrong-pong"));
        guilty = harness_await_stub(h, "misbehaves");
        harness_await_line(h, "protocol", "PONG for a question that was not asked");
        harness_await_death(h, guilty.pid);
        harness_await_workers(h, 2);
        assert_int_equal(harness_count_lines(h, "hangs"), 0);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_queue_of_a_stopped_worker),
                HARNESS_TEST(test_queue_stays_with_the_only_worker),
                HARNESS_TEST(test_stopped_worker_is_ended),
                HARNESS_TEST(test_hung_worker_aborts),
                HARNESS_TEST(test_busy_worker_is_left_alone),
                HARNESS_TEST(test_idle_workers_answer),
                HARNESS_TEST(test_wrong_pong),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
