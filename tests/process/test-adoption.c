/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A dispatcher is killed, and the next one takes over what the service manager kept of it, whole or
 * in part. Damaged ledgers and settings are test-adoption-damage.c's matter, and where exactly it
 * dies is test-stop-points.c's.
 */

#include <poll.h>
#include <signal.h>

#include "adoption.h"
#include "client.h"

#define CLIENTS 8

/* --- What goes on --- */

/* Clients talk to their workers while there is no dispatcher, and after it; those that come in
 * between are served by the next one. */
static void test_everything_goes_on(void **state)
{
        struct harness *h = *state;
        struct client clients[CLIENTS];
        size_t n = 2;

        adoption_begin(h);
        client_open_at_each(h, clients, 0);
        while (n < CLIENTS) {
                struct counters c;

                harness_crash(h);
                for (size_t i = 0; i < n; i++)
                        client_exchange(h, &clients[i]);
                client_open(h, &clients[n], 0);
                adoption_next(h);
                harness_await_line(h, "Took over 2 workers with", "open connections");
                client_await_greeting(h, &clients[n]);
                assert_true(clients[n].pid == clients[0].pid || clients[n].pid == clients[1].pid);
                n++;
                for (size_t i = 0; i < n; i++)
                        client_exchange(h, &clients[i]);
                c = harness_await_counter(h, open, n);
                assert_int_equal(c.accepted, n);
                assert_int_equal(h->store.n, ADOPTION_OWN_STORE + 2 * ADOPTION_PER_STORE);
        }

        for (size_t i = 0; i < n; i++)
                client_finish(h, &clients[i]);
        assert_int_equal(harness_await_counter(h, done, n).lost, 0);
        harness_stop(h);
}

/* What a stopped worker has not received waits for it, or goes to the other one. */
static void test_queue_goes_on(void **state)
{
        struct harness *h = *state;
        struct client held[2], queued[2];

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        assert_int_equal(kill(held[0].pid, SIGSTOP), 0);
        client_open(h, &queued[0], 0);
        client_open(h, &queued[1], 0);
        (void)harness_await_counter(h, open, 4);
        harness_crash(h);
        adoption_next(h);
        for (size_t i = 0; i < 2; i++) {
                client_await_greeting(h, &queued[i]);
                assert_int_equal(queued[i].pid, held[1].pid);
        }
        assert_int_equal(kill(held[0].pid, SIGCONT), 0);
        client_exchange(h, &held[0]);
        assert_int_equal(harness_await_counter(h, taken_back, 1).open, 4);
        for (size_t i = 0; i < 2; i++) {
                client_finish(h, &queued[i]);
                client_finish(h, &held[i]);
        }
        assert_int_equal(harness_await_counter(h, done, 4).lost, 0);
        harness_stop(h);
}

/* It is no child of the dispatcher that sees it die: how it ended is known where the kernel tells,
 * and the test, in the service manager's place, has reaped it in time. */
static void test_adopted_worker_dies(void **state)
{
        struct harness *h = *state;
        struct client held[2], client;
        const char *line;

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        harness_crash(h);
        adoption_next(h);
        client_exchange(h, &held[0]);
        (void)kill(held[0].pid, SIGKILL);
        (void)client_await_end(h, &held[0]);
        line = harness_await_line(h, "orker 1 ", "with 1 connection");
        assert_true(
                strstr(line, "was ended by SIGKILL") || strstr(line, "ended in an unknown way"));
        assert_int_equal(harness_await_counter(h, lost, 1).open, 1);
        harness_await_workers(h, 3);
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, 3);
        client_finish(h, &client);
        client_finish(h, &held[1]);
        assert_int_equal(harness_await_counter(h, done, 2).lost, 1);
        harness_stop(h);
}

/* Several crashes before anybody is asked what it has. */
static void test_crash_after_crash(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(kill(held[i].pid, SIGSTOP), 0);
        for (int i = 0; i < 10; i++) {
                harness_crash(h);
                adoption_next(h);
        }
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(kill(held[i].pid, SIGCONT), 0);
        for (size_t i = 0; i < 2; i++) {
                client_exchange(h, &held[i]);
                client_finish(h, &held[i]);
        }
        assert_int_equal(harness_await_counter(h, done, 2).lost, 0);
        assert_int_equal(harness_count_lines(h, "protocol"), 0);
        harness_stop(h);
}

/* --- What is in the store --- */

/* Returns where the message about this name stands, and fails when there is none. */
static size_t find_message(const struct harness *h, const char *kind, const char *name)
{
        char text[128];
        const char *at;

        (void)snprintf(text, sizeof(text), "%sFDNAME=%s\n", kind, name);
        at = h->notify.text ? strstr(h->notify.text, text) : NULL;
        if (!at)
                fail_msg("no message %s", text);
        return (size_t)(at - h->notify.text);
}

static void test_order_of_messages(void **state)
{
        static const char store[] = "FDSTORE=1\nFDPOLL=0\n", removal[] = "FDSTOREREMOVE=1\n";
        struct harness *h = *state;
        struct client held[2];
        size_t queue, channel;

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        /* all of a worker is there when its first client is */
        (void)harness_wait(h, -1, 0);
        channel = find_message(h, store, "%0");
        assert_true(find_message(h, store, "!l1") < find_message(h, store, "=0"));
        assert_true(find_message(h, store, "=0") < channel);
        assert_true(channel < find_message(h, store, "+0"));
        assert_int_equal(h->store.n, ADOPTION_OWN_STORE + 2 * ADOPTION_PER_STORE);

        (void)kill(held[0].pid, SIGKILL);
        (void)client_await_end(h, &held[0]);
        (void)harness_await_counter(h, lost, 1);
        queue = find_message(h, removal, "+0");
        channel = find_message(h, removal, "%0");
        assert_true(queue < channel);
        assert_true(channel < find_message(h, removal, "=0"));
        client_close(&held[1]);
        harness_stop(h);
}

/* The worker that left it died with a queue while nobody else was there: it waits in the store,
 * over a crash, until the last of it is served. */
static void test_queue_of_a_dead_worker_is_stored(void **state)
{
        struct harness *h = *state;
        struct client clients[3];
        struct stub_id dead;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "RestartSec=1h", "RestartMaxDelaySec=1h"),
                .stub = WORDS(h->marks, "--never-receive", "--capacity=4"),
                .store = ADOPTION_STORE);
        dead = harness_await_stub(h, "misbehaves");
        for (size_t i = 0; i < 3; i++)
                client_open(h, &clients[i], 0);
        (void)harness_await_counter(h, open, 3);
        (void)kill(dead.pid, SIGKILL);
        harness_await_line(h, "orker 1 ", "SIGKILL");
        assert_int_equal(harness_counters(h).open, 3);
        (void)harness_wait(h, -1, 0);
        assert_true(descriptor_store_get(&h->store, "+0") >= 0);

        harness_crash(h);
        assert_int_equal(descriptor_store_count(&h->store, "+"), 1);
        harness_start(h, .options = WORDS("Workers=1"), .store = ADOPTION_STORE);
        for (size_t i = 0; i < 3; i++) {
                client_await_greeting(h, &clients[i]);
                assert_int_equal(clients[i].worker, 2);
                assert_int_equal(client_await_end(h, &clients[i]), CLIENT_END_CLEAN);
        }
        assert_int_equal(harness_await_counter(h, done, 3).lost, 0);
        assert_int_equal(descriptor_store_get(&h->store, "+0"), -1);
        assert_int_equal(h->store.n, ADOPTION_OWN_STORE + ADOPTION_PER_STORE);
        harness_stop(h);
}

/* What did not fit is not there after a crash: its worker is ended, and the rest goes on. */
static void test_store_is_full(void **state)
{
        struct harness *h = *state;
        struct client held[2], client;

        h->store.max = ADOPTION_OWN_STORE + ADOPTION_PER_STORE + 1;
        adoption_begin(h);
        client_open_at_each(h, held, 0);
        for (unsigned i = 0; i < 3; i++) {
                struct counters c;

                assert_int_equal(h->store.n, h->store.max);
                harness_crash(h);
                adoption_next(h);
                assert_int_equal(client_await_end(h, &held[1]), CLIENT_END_CLEAN);
                harness_await_death(h, held[1].pid);
                client_exchange(h, &held[0]);
                c = harness_await_counter(h, lost, i + 1);
                assert_int_equal(c.open, 1);
                harness_await_workers(h, 3 + i);
                client_open_served(h, &client, 0);
                if (client.worker == 1) { /* the other had not answered yet */
                        client_open_served(h, &held[1], 0);
                        client_finish(h, &client);
                } else {
                        held[1] = client;
                }
                assert_int_equal(held[1].worker, 3 + i);
                (void)harness_await_counter(h, open, 2);
        }
        client_finish(h, &held[0]);
        client_finish(h, &held[1]);
        harness_stop(h);
}

/* REVIEW 2.1: a limit of the unit was lowered, and then the dispatcher died: status 78, it was not
 * started again, and its workers were killed with all that they had. */
static void test_less_room_than_before_the_crash(void **state)
{
        struct harness *h = *state;
        struct client held[2], client;

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        harness_crash(h);
        harness_start(h, .options = WORDS("Workers=2"),
                .stub = WORDS("--serve=obey", "--capacity=4"), .store = 10);
        harness_await_ready(h);
        harness_await_line(h, "the pool goes on as it can", "FDSTORE is 10");
        harness_await_line(h, "Took over 2 workers with 2 open connections");
        for (size_t i = 0; i < 2; i++) {
                client_exchange(h, &held[i]);
                client_finish(h, &held[i]);
        }
        client_open_served(h, &client, 0);
        client_finish(h, &client);
        harness_stop(h);
}

/* --- Sets that are not whole --- */

/* Worker 1 is stopped, with one connection that it had received and one in its queue. */
static void lose(struct harness *h, const char *name, struct client held[2], struct client *queued)
{
        struct pollfd fds[2];
        struct client both[2]; /* one comes to each worker */
        size_t served;

        (void)listener_add(h, LISTENER_UNIX, "main");
        adoption_start(h, "Workers=2", "QueueTimeoutSec=1h");
        harness_await_ready(h);
        harness_await_workers(h, 2);
        client_open_at_each(h, held, 0);
        assert_int_equal(kill(held[0].pid, SIGSTOP), 0);
        for (size_t i = 0; i < 2; i++) {
                client_open(h, &both[i], 0);
                fds[i] = (struct pollfd){ .fd = both[i].fd, .events = POLLIN };
        }
        (void)harness_await_counter(h, open, 4);
        assert_true(poll(fds, 2, (int)(HARNESS_DEADLINE / USEC_PER_MSEC)) > 0);
        served = fds[0].revents ? 0 : 1;
        client_await_greeting(h, &both[served]);
        assert_int_equal(both[served].pid, held[1].pid);
        client_finish(h, &both[served]);
        *queued = both[1 - served];
        (void)harness_await_counter(h, open, 3);
        harness_crash(h);
        descriptor_store_drop(&h->store, name);
        adoption_next(h);
}

static void end_without(struct harness *h, struct client held[2], uint64_t lost)
{
        struct client client;

        harness_await_death(h, held[0].pid);
        (void)client_await_end(h, &held[0]);
        client_exchange(h, &held[1]);
        client_open_served(h, &client, 0);
        client_finish(h, &client);
        client_finish(h, &held[1]);
        assert_int_equal(harness_await_counter(h, open, 0).lost, lost);
        harness_await_workers(h, 3);
        (void)harness_counters(h);
        assert_int_equal(h->store.n, ADOPTION_OWN_STORE + 2 * ADOPTION_PER_STORE);
        harness_stop(h);
}

static void test_without_channel(void **state)
{
        struct harness *h = *state;
        struct client held[2], queued;

        lose(h, "%0", held, &queued);
        client_await_greeting(h, &queued); /* taken back */
        client_finish(h, &queued);
        end_without(h, held, 1);
}

static void test_without_queue(void **state)
{
        struct harness *h = *state;
        struct client held[2], queued;

        lose(h, "+0", held, &queued);
        (void)client_await_end(h, &queued);
        end_without(h, held, 2);
}

/* Its number alone could be somebody else's by now: it is not killed, but sees the end of its
 * channel when its queue was taken back. */
static void test_without_pidfd(void **state)
{
        struct harness *h = *state;
        struct client held[2], queued;

        lose(h, "=0", held, &queued);
        client_await_greeting(h, &queued);
        client_finish(h, &queued);
        (void)harness_await_counter(h, lost, 1);
        assert_int_equal(kill(held[0].pid, SIGCONT), 0);
        client_exchange(h, &held[0]);
        client_send(&held[0], "done\n");
        end_without(h, held, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_everything_goes_on),
                HARNESS_TEST(test_queue_goes_on),
                HARNESS_TEST(test_adopted_worker_dies),
                HARNESS_TEST(test_crash_after_crash),
                HARNESS_TEST(test_order_of_messages),
                HARNESS_TEST(test_queue_of_a_dead_worker_is_stored),
                HARNESS_TEST(test_store_is_full),
                HARNESS_TEST(test_less_room_than_before_the_crash),
                HARNESS_TEST(test_without_channel),
                HARNESS_TEST(test_without_queue),
                HARNESS_TEST(test_without_pidfd),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
