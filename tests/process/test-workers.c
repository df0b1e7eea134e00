/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workers that start, or do not; that end, and what becomes of their connections.
 */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "client.h"
#include "procfs.h"

static void start_pool(struct harness *h, const char *workers, const char *const *stub)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS(workers, "RestartSec=100ms", "QueueTimeoutSec=infinity"),
                .stub = stub);
}

/* READY=1 waits for the first worker, and clients wait in the backlog. */
static void test_ready_waits_for_a_worker(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        client_open(h, &client, 0);
        harness_start(
                h, .options = WORDS("Workers=1"), .stub = WORDS("--wait", h->fifo, "--at=start"));
        harness_await_line(h, "stub", "does wait");
        assert_int_equal(harness_counters(h).accepted, 0);
        assert_int_equal(harness_count(&h->notify, WORDS("READY=1")), 0);
        assert_true(client_waits(h, &client));

        harness_release(h);
        harness_await_ready(h);
        client_await_greeting(h, &client);
        assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        assert_int_equal(harness_count(&h->notify, WORDS("READY=1")), 1);
        harness_stop(h);
}

/* One slow worker holds up neither READY=1 nor the clients of the others. */
static void test_one_ready_worker_is_enough(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct stub_id slow;

        start_pool(h, "Workers=2", WORDS(h->marks, "--wait", h->fifo, "--at=start"));
        slow = harness_await_stub(h, "misbehaves");
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        assert_int_not_equal(client.worker, slow.worker);
        (void)client_await_end(h, &client);

        harness_release(h);
        harness_stop(h);
}

static void test_exit_with_a_connection_in_hand(void **state)
{
        struct harness *h = *state;
        struct client client, next;
        struct counters c;

        start_pool(h, "Workers=1", WORDS("--serve=obey"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        client_send(&client, "exit 3\n");
        (void)client_await_end(h, &client);

        c = harness_await_counter(h, lost, 1);
        assert_int_equal(c.open, 0);
        assert_int_equal(harness_count_lines(h, "orker 1 ", "exited with status 3"), 1);
        assert_int_equal(harness_count_lines(h, "onnection", "lost", "orker 1 "), 1);

        client_open_served(h, &next, 0);
        assert_int_not_equal(next.worker, client.worker);
        client_close(&next);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

static void test_end_by_a_signal(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, "Workers=1", WORDS("--serve=obey"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        client_send(&client, "abort\n");
        (void)client_await_end(h, &client);
        (void)harness_await_counter(h, lost, 1);
        assert_int_equal(harness_count_lines(h, "orker 1 ", "SIGABRT"), 1);
        harness_stop(h);
}

/* A worker may exit with status 0 when it holds nothing; another takes its place. */
static void test_clean_exit_after_some_connections(void **state)
{
        struct harness *h = *state;
        unsigned last = 0;

        start_pool(h, "Workers=1", WORDS("--exit=0", "--at=2"));
        harness_await_ready(h);
        for (unsigned i = 0; i < 6; i++) {
                struct client client;

                client_open_served(h, &client, 0);
                assert_true(client.worker >= last);
                last = client.worker;
                assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        }
        assert_true(last >= 3);
        assert_int_equal(harness_await_counter(h, done, 6).lost, 0);
        harness_stop(h);
}

/* The queue of a dead worker goes to the others: its clients are answered, nothing is lost. */
static void test_queue_outlives_its_worker(void **state)
{
        struct harness *h = *state;
        struct client clients[6];
        struct counters c;
        struct stub_id dead;
        size_t waiting = 0;

        start_pool(
                h, "Workers=2", WORDS("--serve=hold", "--capacity=8", h->marks, "--never-receive"));
        dead = harness_await_stub(h, "misbehaves");
        harness_await_workers(h, 2);
        for (size_t i = 0; i < 6; i++)
                client_open(h, &clients[i], 0);
        c = harness_await_counter(h, accepted, 6);
        assert_int_equal(c.open, 6);
        for (size_t i = 0; i < 6; i++)
                waiting += client_waits(h, &clients[i]);
        assert_true(waiting >= 3);

        assert_int_equal(kill(dead.pid, SIGKILL), 0);
        for (size_t i = 0; i < 6; i++) {
                client_await_greeting(h, &clients[i]);
                assert_int_not_equal(clients[i].worker, dead.worker);
        }
        c = harness_counters(h);
        assert_int_equal(c.lost, 0);
        assert_int_equal(c.open, 6);
        assert_true(c.taken_back >= 3);

        for (size_t i = 0; i < 6; i++)
                client_close(&clients[i]);
        (void)harness_await_counter(h, done, 6);
        harness_stop(h);
}

/* With nobody else, the queue waits for the successor, and goes before what is in the backlog. */
static void test_queue_waits_for_the_successor(void **state)
{
        struct harness *h = *state;
        struct client clients[4];
        struct counters c;
        struct stub_id dead;

        start_pool(
                h, "Workers=1", WORDS("--serve=hold", "--capacity=3", h->marks, "--never-receive"));
        dead = harness_await_stub(h, "misbehaves");
        harness_await_ready(h);
        for (size_t i = 0; i < 4; i++)
                client_open(h, &clients[i], 0);
        (void)harness_await_counter(h, accepted, 3);

        assert_int_equal(kill(dead.pid, SIGKILL), 0);
        for (size_t i = 0; i < 3; i++)
                client_await_greeting(h, &clients[i]);
        c = harness_counters(h);
        assert_int_equal(c.accepted, 3);
        assert_int_equal(c.taken_back, 3);
        assert_int_equal(c.lost, 0);

        client_close(&clients[0]);
        client_await_greeting(h, &clients[3]);
        for (size_t i = 1; i < 4; i++)
                client_close(&clients[i]);
        (void)harness_await_counter(h, done, 4);
        harness_stop(h);
}

/* What it received is lost, what it did not is not. */
static void test_stopped_worker_killed(void **state)
{
        struct harness *h = *state;
        struct client in_hand, queued[2];
        struct counters c;

        start_pool(h, "Workers=1",
                WORDS("--serve=hold", "--capacity=8", h->marks, "--stop", "--at=1"));
        harness_await_ready(h);
        client_open_served(h, &in_hand, 0);
        (void)harness_await_stub(h, "does stop");
        client_open(h, &queued[0], 0);
        client_open(h, &queued[1], 0);
        (void)harness_await_counter(h, accepted, 3);

        assert_int_equal(kill(in_hand.pid, SIGKILL), 0);
        (void)client_await_end(h, &in_hand);
        client_await_greeting(h, &queued[0]);
        client_await_greeting(h, &queued[1]);
        c = harness_counters(h);
        assert_int_equal(c.lost, 1);
        assert_int_equal(c.taken_back, 2);
        assert_int_equal(c.open, 2);

        client_close(&queued[0]);
        client_close(&queued[1]);
        harness_stop(h);
}

/* Waits until it has come to a stop: what it does is over. */
static void stop_process(pid_t pid)
{
        struct procfs_stat stat = {};
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);

        assert_int_equal(kill(pid, SIGSTOP), 0);
        while (procfs_stat(pid, &stat) == 0 && stat.state != 'T') {
                assert_true(usec_now() < deadline);
                (void)poll(NULL, 0, 1);
        }
}

/* Of an echo worker. */
static void exchange(struct harness *h, struct client *client)
{
        client_open(h, client, 0);
        client_send(client, "a\n");
        assert_string_equal(client_await_line(h, client), "a");
}

/* 602 were counted as lost where 6 clients had failed: the others had their answers, and were about
 * to close or had closed. Who keeps its connection notices, and nobody knows who would have. */
static void test_idle_ones_are_told_from_the_lost(void **state)
{
        struct harness *h = *state;
        struct client kept, closed, asking, silent, half;
        struct counters c;
        pid_t worker;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .command = WORDS());
        harness_await_ready(h);
        client_open(h, &asking, 0);
        client_open(h, &silent, 0);
        exchange(h, &kept);
        exchange(h, &closed);
        exchange(h, &half); /* after those: it has received them all */
        assert_int_equal(shutdown(half.fd, SHUT_WR), 0);
        assert_int_equal(client_await_end(h, &half), CLIENT_END_CLEAN);
        (void)harness_await_counter(h, done, 1);

        assert_int_equal(procfs_children(h->pid, &worker, 1), 1);
        stop_process(worker);
        client_send(&asking, "a\n");
        assert_int_equal(shutdown(asking.fd, SHUT_WR), 0);
        client_close(&closed);
        assert_int_equal(kill(worker, SIGKILL), 0);
        harness_await_line(h, "4 connections that worker 1 ", "are lost (2 of them idle).");
        c = harness_counters(h);
        assert_int_equal(c.lost, 4);
        assert_int_equal(c.lost_idle, 2);
        assert_int_equal(c.done, 1);
        (void)client_await_end(h, &asking);
        (void)client_await_end(h, &silent);
        (void)client_await_end(h, &kept);
        harness_stop(h);
}

static void test_done_is_never_said(void **state)
{
        struct harness *h = *state;
        struct client client, next;
        struct counters c;
        struct stub_id silent;

        start_pool(h, "Workers=2", WORDS(h->marks, "--no-done"));
        silent = harness_await_stub(h, "misbehaves");
        harness_await_workers(h, 2);
        do {
                client_open_served(h, &client, 0);
                (void)client_await_end(h, &client);
        } while (client.worker != silent.worker);

        /* Its credit is gone; the others go on. */
        for (unsigned i = 0; i < 4; i++) {
                client_open_served(h, &next, 0);
                assert_int_not_equal(next.worker, silent.worker);
                (void)client_await_end(h, &next);
        }
        c = harness_counters(h);
        assert_int_equal(c.lost, 0);
        assert_true(c.open >= 1);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "counters:", "lost=1", "open=0"), 1);
}

/* A worker that forked: the grandchild neither hides its end nor outlives it. */
static void test_grandchild_in_the_process_group(void **state)
{
        struct harness *h = *state;
        struct client client, next;
        struct stub_id grandchild;

        start_pool(h, "Workers=1", WORDS("--serve=obey"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        client_send(&client, "grandchild;exit 1\n");
        grandchild = harness_await_stub(h, "grandchild is there");
        harness_await_death(h, grandchild.pid);
        (void)client_await_end(h, &client);
        client_open_served(h, &next, 0);
        client_close(&next);
        harness_stop(h);
}

/* One that leaves its channel to a process that no signal reaches: it sees the end of the channel
 * as soon as the queue is with others. */
static void test_channel_leaked_to_a_grandchild(void **state)
{
        struct harness *h = *state;
        struct client client, queued;
        char deeds[256];

        start_pool(h, "Workers=1", WORDS("--serve=obey", "--capacity=2"));
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        (void)snprintf(deeds, sizeof(deeds), "wait %s;leak 1\n", h->fifo);
        client_send(&client, deeds);
        (void)harness_await_stub(h, "does wait");
        client_open(h, &queued, 0);
        (void)harness_await_counter(h, accepted, 2);

        harness_release(h);
        (void)harness_await_stub(h, "grandchild sees the end of the channel");
        client_await_greeting(h, &queued);
        assert_int_not_equal(queued.worker, client.worker);
        (void)client_await_end(h, &client);
        client_close(&queued);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_ready_waits_for_a_worker),
                HARNESS_TEST(test_one_ready_worker_is_enough),
                HARNESS_TEST(test_exit_with_a_connection_in_hand),
                HARNESS_TEST(test_end_by_a_signal),
                HARNESS_TEST(test_clean_exit_after_some_connections),
                HARNESS_TEST(test_queue_outlives_its_worker),
                HARNESS_TEST(test_queue_waits_for_the_successor),
                HARNESS_TEST(test_stopped_worker_killed),
                HARNESS_TEST(test_idle_ones_are_told_from_the_lost),
                HARNESS_TEST(test_done_is_never_said),
                HARNESS_TEST(test_grandchild_in_the_process_group),
                HARNESS_TEST(test_channel_leaked_to_a_grandchild),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
