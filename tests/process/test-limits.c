/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The dispatcher at its descriptor limit, and its descriptors over many connections.
 */

#include <poll.h>
#include <signal.h>

#include "client.h"
#include "procfs.h"

/* The dispatcher's own descriptors are above this: whatever it closes, no new one can be had. */
#define NO_DESCRIPTORS 3

/* How long the dispatcher is watched for being idle, and what it may do in that time. */
#define WATCHED_MSEC  1000
#define SWITCHES_MAX  60
#define CPU_TICKS_MAX 10
#define LOG_LINES_MAX 5
#define CONNECTIONS   5000

/* Sets its soft limit, and returns what it was. */
static rlim_t set_limit(const struct harness *h, rlim_t soft)
{
        struct rlimit before, after;

        assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, NULL, &before), 0);
        after = (struct rlimit){ .rlim_cur = soft, .rlim_max = before.rlim_max };
        assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, &after, NULL), 0);

        return before.rlim_cur;
}

/* Sets the limit so that its table is full: what it closes, it can open again. The descriptors of a
 * process that made itself undumpable are for root to see; then the test is skipped. */
static rlim_t fill_table(struct harness *h)
{
        _cleanup_(freep) char *descriptors = NULL;
        int free_number = 0, number;

        (void)harness_counters(h);
        descriptors = procfs_descriptors(h->pid);
        if (!descriptors)
                harness_skip(h, "the dispatcher's descriptors are for root to see");

        for (const char *p = descriptors; sscanf(p, "%d", &number) == 1 && number == free_number;
                p = strchr(p, '\n') + 1)
                free_number++;

        return set_limit(h, (rlim_t)free_number);
}

/* There is no event to wait for when nothing is to happen: watch it for a while. */
static void check_idle(struct harness *h)
{
        struct procfs_stat before, after;
        uint64_t switches = procfs_switches(h->pid);
        size_t lines;

        (void)harness_wait(h, -1, 0);
        lines = procfs_lines(h->log.text);
        assert_int_equal(procfs_stat(h->pid, &before), 0);
        (void)poll(NULL, 0, WATCHED_MSEC);
        assert_int_equal(procfs_stat(h->pid, &after), 0);

        assert_in_range(procfs_switches(h->pid) - switches, 0, SWITCHES_MAX);
        assert_in_range(after.cpu_ticks - before.cpu_ticks, 0, CPU_TICKS_MAX);
        (void)harness_wait(h, -1, 0);
        assert_in_range(procfs_lines(h->log.text) - lines, 0, LOG_LINES_MAX);
}

static void start_pool(struct harness *h, const char *const *stub)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = stub);
        harness_await_ready(h);
}

/* A client that cannot be accepted waits; the loop does not spin; later it is served. */
static void test_accept_without_descriptors(void **state)
{
        struct harness *h = *state;
        struct client first, client;
        rlim_t before;

        start_pool(h, WORDS("--serve=hold", "--capacity=8"));
        client_open_served(h, &first, 0);
        before = fill_table(h);
        client_open(h, &client, 0);
        harness_await_line(h, "Too many open files");
        check_idle(h);
        assert_int_equal(harness_counters(h).accepted, 1);
        assert_true(client_waits(h, &client));
        harness_await_notify(h, "STATUS=", "escriptors");

        (void)set_limit(h, before);
        client_await_greeting(h, &client);
        assert_int_equal(harness_count_lines(h, "Too many open files"), 1);
        client_close(&client);
        client_close(&first);
        (void)harness_await_counter(h, done, 2);
        harness_stop(h);
}

/* It stays at the limit while connections end and others come. */
static void test_end_of_connections_without_descriptors(void **state)
{
        struct harness *h = *state;
        struct client clients[4];
        rlim_t before;

        start_pool(h, WORDS("--serve=hold", "--capacity=8"));
        client_open_served(h, &clients[0], 0);
        client_open_served(h, &clients[1], 0);
        before = set_limit(h, NO_DESCRIPTORS);
        client_open(h, &clients[2], 0);
        client_open(h, &clients[3], 0);
        client_close(&clients[0]);
        (void)harness_await_counter(h, done, 1);
        client_close(&clients[1]);
        (void)harness_await_counter(h, done, 2);

        (void)set_limit(h, before);
        client_await_greeting(h, &clients[2]);
        client_await_greeting(h, &clients[3]);
        client_close(&clients[2]);
        client_close(&clients[3]);
        harness_stop(h);
}

static unsigned count_waiting(struct harness *h, const struct client *clients, size_t n)
{
        unsigned waiting = 0;

        for (size_t i = 0; i < n; i++)
                waiting += client_waits(h, &clients[i]);

        return waiting;
}

/* What a dead worker left in its queue is not received while it would be lost by that. */
static void test_take_back_without_descriptors(void **state)
{
        struct harness *h = *state;
        struct client clients[6];
        struct stub_id dead;
        struct counters c;
        rlim_t before;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h,
                .options = WORDS("Workers=2", "Distribute=round-robin", "QueueTimeoutSec=infinity"),
                .stub = WORDS("--serve=hold", "--capacity=8", h->marks, "--never-receive"));
        dead = harness_await_stub(h, "misbehaves");
        harness_await_workers(h, 2);
        for (size_t i = 0; i < 6; i++)
                client_open(h, &clients[i], 0);
        (void)harness_await_counter(h, accepted, 6);
        while (count_waiting(h, clients, 6) > 3)
                (void)harness_counters(h);

        before = set_limit(h, NO_DESCRIPTORS);
        assert_int_equal(kill(dead.pid, SIGKILL), 0);
        harness_await_line(h, "Too many open files");
        check_idle(h);
        assert_int_equal(count_waiting(h, clients, 6), 3);
        c = harness_counters(h);
        assert_int_equal(c.lost, 0);
        assert_int_equal(c.open, 6);

        (void)set_limit(h, before);
        for (size_t i = 0; i < 6; i++)
                client_await_greeting(h, &clients[i]);
        for (size_t i = 0; i < 6; i++)
                client_close(&clients[i]);
        c = harness_await_counter(h, done, 6);
        assert_int_equal(c.lost, 0);
        assert_int_equal(c.taken_back, 3);
        harness_stop(h);
}

/* A worker that cannot be replaced now is replaced later. */
static void test_start_without_descriptors(void **state)
{
        struct harness *h = *state;
        struct client client, next;
        rlim_t before;

        start_pool(h, WORDS("--serve=hold"));
        client_open_served(h, &client, 0);
        before = set_limit(h, NO_DESCRIPTORS);
        assert_int_equal(kill(client.pid, SIGKILL), 0);
        (void)client_await_end(h, &client);
        harness_await_line(h, "Too many open files");
        client_open(h, &next, 0);
        check_idle(h);
        assert_true(client_waits(h, &next));

        (void)set_limit(h, before);
        client_await_greeting(h, &next);
        client_close(&next);
        harness_stop(h);
}

/* A dispatcher that only cannot open anything is alive, and the service manager hears it. */
static void test_watchdog_without_descriptors(void **state)
{
        struct harness *h = *state;
        struct client client;
        rlim_t before;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .watchdog = 500 * USEC_PER_MSEC);
        harness_await_ready(h);
        before = fill_table(h);
        client_open(h, &client, 0);
        harness_await_line(h, "Too many open files");
        (void)harness_wait(h, -1, 0);
        h->notify.cursor = h->notify.size;
        for (int i = 0; i < 3; i++)
                harness_await_notify(h, "WATCHDOG=1");

        (void)set_limit(h, before);
        client_await_greeting(h, &client);
        client_close(&client);
        harness_stop(h);
}

static void test_stop_without_descriptors(void **state)
{
        struct harness *h = *state;
        struct client client;

        start_pool(h, WORDS("--serve=line"));
        client_open_served(h, &client, 0);
        (void)client_await_end(h, &client);
        (void)fill_table(h);
        harness_stop(h);
}

/* Settings whose workers' descriptors do not fit the limit cannot work. */
static void test_more_workers_than_descriptors(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=100"), .nofile = 128);
        harness_expect_exit(h, 78);
        assert_int_equal(harness_count_lines(h, "Workers=100", "128", "LimitNOFILE="), 1);
}

/* Want of descriptors is no fault of the settings, and another start may find some: no 78. The last
 * one goes to notify_open(), and the settings cannot be opened. */
static void test_settings_without_descriptors(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .arguments = WORDS("-c", "/nonexistent"), .nofile = 5);
        harness_await_line(h, "Cannot start: ", "Too many open files");
        harness_expect_exit(h, 1);
}

static void test_descriptors_stay_the_same(void **state)
{
        struct harness *h = *state;
        _cleanup_(freep) char *before = NULL, *after = NULL;

        start_pool(h, WORDS("--serve=line", "--capacity=16"));
        (void)harness_counters(h); /* READY=1 is told, and done with */
        before = procfs_descriptors(h->pid);
        if (!before)
                harness_skip(h, "the dispatcher's descriptors are for root to see");

        for (unsigned i = 0; i < CONNECTIONS; i++) {
                struct client client;

                client_open_served(h, &client, 0);
                assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        }
        (void)harness_await_counter(h, done, CONNECTIONS);
        after = procfs_descriptors(h->pid);
        assert_string_equal(after, before);
        harness_stop(h);
}

/* Nor do workers that come and go leave any. */
static void test_descriptors_after_many_workers(void **state)
{
        struct harness *h = *state;
        _cleanup_(freep) char *before = NULL, *after = NULL;

        start_pool(h, WORDS("--exit=0", "--at=1"));
        (void)harness_counters(h);
        before = procfs_descriptors(h->pid);
        if (!before)
                harness_skip(h, "the dispatcher's descriptors are for root to see");

        for (unsigned i = 0; i < 100; i++) {
                struct client client;

                client_open_served(h, &client, 0);
                (void)client_await_end(h, &client);
        }
        harness_await_workers(h, 101);
        (void)harness_await_counter(h, done, 100);
        after = procfs_descriptors(h->pid);
        assert_int_equal(procfs_lines(after), procfs_lines(before));
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_accept_without_descriptors),
                HARNESS_TEST(test_end_of_connections_without_descriptors),
                HARNESS_TEST(test_take_back_without_descriptors),
                HARNESS_TEST(test_start_without_descriptors),
                HARNESS_TEST(test_watchdog_without_descriptors),
                HARNESS_TEST(test_stop_without_descriptors),
                HARNESS_TEST(test_more_workers_than_descriptors),
                HARNESS_TEST(test_settings_without_descriptors),
                HARNESS_TEST(test_descriptors_stay_the_same),
                HARNESS_TEST(test_descriptors_after_many_workers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
