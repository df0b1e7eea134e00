/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker that does not receive, while the kernel's limits of its channel are reached: the length
 * of the queue, and the descriptors in flight that an unprivileged user may have. Both mean "no
 * credit": no spinning, nothing lost, and all that waits is served when there is another worker.
 */

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "client.h"
#include "procfs.h"

#define WATCHED_MSEC  1000
#define SWITCHES_MAX  100 /* a blocked channel is tried again 20 times a second */
#define CPU_TICKS_MAX 10

/* A default channel takes 278 messages: tests/unit/test-kernel.c. */
#define CLIENTS_MAX 400

static void check_idle(const struct harness *h)
{
        struct procfs_stat before, after;
        uint64_t switches = procfs_switches(h->pid);

        assert_int_equal(procfs_stat(h->pid, &before), 0);
        (void)poll(NULL, 0, WATCHED_MSEC);
        assert_int_equal(procfs_stat(h->pid, &after), 0);
        assert_in_range(procfs_switches(h->pid) - switches, 0, SWITCHES_MAX);
        assert_in_range(after.cpu_ticks - before.cpu_ticks, 0, CPU_TICKS_MAX);
}

/* Opens connections until no more of them are accepted, and some, but fewer than CLIENTS_MAX.
 * Returns how many those are. */
static size_t fill(struct harness *h, struct client *clients, uint64_t least)
{
        size_t n = 0;
        uint64_t accepted;

        do {
                accepted = harness_counters(h).accepted;
                for (int i = 0; i < 20; i++) {
                        assert_true(n < CLIENTS_MAX - 1);
                        client_open(h, &clients[n++], 0);
                }
        } while (harness_counters(h).accepted > accepted || accepted < least);

        return n;
}

static void check_served_by_the_successor(
        struct harness *h, struct client *clients, size_t n, pid_t pid)
{
        struct counters c;
        uint64_t accepted = harness_counters(h).accepted;

        assert_int_equal(kill(pid, SIGKILL), 0);
        for (size_t i = 0; i < n; i++)
                client_await_greeting(h, &clients[i]);
        c = harness_counters(h);
        assert_int_equal(c.accepted, n);
        assert_int_equal(c.open, n);
        assert_int_equal(c.lost, 0);
        assert_int_equal(c.refused, 0);
        assert_in_range(c.taken_back, accepted - 1, accepted);

        for (size_t i = 0; i < n; i++)
                client_close(&clients[i]);
        (void)harness_await_counter(h, done, n);
        harness_stop(h);
}

static void test_full_channel(void **state)
{
        static struct client clients[CLIENTS_MAX];
        struct harness *h = *state;
        struct stub_id deaf;
        size_t n;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "QueueTimeoutSec=infinity"),
                .stub = WORDS("--serve=hold", "--capacity=1000", h->marks, "--never-receive"));
        deaf = harness_await_stub(h, "misbehaves");
        harness_await_ready(h);
        n = fill(h, clients, 100);
        check_idle(h);
        check_served_by_the_successor(h, clients, n, deaf.pid);
}

/* A worker that receives some makes room for as many. */
static void test_full_channel_drains(void **state)
{
        static struct client clients[CLIENTS_MAX];
        struct harness *h = *state;
        char deeds[256];
        size_t n;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "QueueTimeoutSec=infinity"),
                .stub = WORDS("--serve=obey", "--capacity=1000"));
        harness_await_ready(h);
        client_open_served(h, &clients[0], 0);
        (void)snprintf(deeds, sizeof(deeds), "wait %s\n", h->fifo);
        client_send(&clients[0], deeds);
        (void)harness_await_stub(h, "does wait");
        n = 1 + fill(h, clients + 1, 100);

        harness_release(h);
        for (size_t i = 1; i < n; i++)
                client_await_greeting(h, &clients[i]);
        assert_int_equal(harness_counters(h).accepted, n);
        assert_int_equal(harness_counters(h).taken_back, 0);
        for (size_t i = 0; i < n; i++)
                client_close(&clients[i]);
        (void)harness_await_counter(h, done, n);
        harness_stop(h);
}

/* ETOOMANYREFS: RLIMIT_NOFILE bounds the descriptors in flight of a user without privileges. */
static void test_too_many_descriptors_in_flight(void **state)
{
        static struct client clients[CLIENTS_MAX];
        struct harness *h = *state;
        struct stub_id deaf;
        struct counters c;
        size_t n;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "QueueTimeoutSec=infinity"), .nofile = 64,
                .unprivileged = true,
                .stub = WORDS("--capacity=1000", h->marks, "--never-receive"));
        deaf = harness_await_stub(h, "misbehaves");
        harness_await_ready(h);
        n = fill(h, clients, 50);
        assert_in_range(harness_counters(h).accepted, 60, 70);
        check_idle(h);

        assert_int_equal(kill(deaf.pid, SIGKILL), 0);
        for (size_t i = 0; i < n; i++) {
                client_await_greeting(h, &clients[i]);
                assert_int_equal(client_await_end(h, &clients[i]), CLIENT_END_CLEAN);
        }
        c = harness_await_counter(h, done, n);
        assert_int_equal(c.lost, 0);
        assert_int_equal(c.refused, 0);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_full_channel),
                HARNESS_TEST(test_full_channel_drains),
                HARNESS_TEST(test_too_many_descriptors_in_flight),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
