/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workers that break the protocol: each is killed and said so once, with the reason; what it had
 * not received goes to another, what it had is lost, and nobody else notices.
 */

#include <signal.h>

#include "client.h"
#include "procfs.h"

enum expect {
        EXPECT_LOST, /* the connection of the deed dies with the worker */
        EXPECT_DONE, /* the deed finished it */
};

/*
 * Two workers with room; the first client's worker waits at the FIFO while a connection is put into
 * its queue, and then breaks the protocol without having looked at it.
 */
static void check(struct harness *h, const char *deed, const char *why, enum expect expect)
{
        struct client guilty, innocent, queued, later;
        struct counters c;
        char deeds[256], name[32];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h,
                .options = WORDS("Workers=2", "Distribute=round-robin", "QueueTimeoutSec=infinity"),
                .stub = WORDS("--serve=obey", "--capacity=4"));
        harness_await_workers(h, 2);
        client_open_served(h, &guilty, 0);
        client_open_served(h, &innocent, 0);
        assert_int_not_equal(guilty.worker, innocent.worker);

        (void)snprintf(deeds, sizeof(deeds), "wait %s;%s;hang\n", h->fifo, deed);
        client_send(&guilty, deeds);
        (void)harness_await_stub(h, "does wait");
        client_open(h, &queued, 0);
        (void)harness_await_counter(h, accepted, 3);
        assert_true(client_waits(h, &queued));

        harness_release(h);
        (void)client_await_end(h, &guilty);
        harness_await_death(h, guilty.pid);
        client_await_greeting(h, &queued);
        assert_int_not_equal(queued.worker, guilty.worker);

        /* its queue went to others before its end was seen */
        c = harness_await_counter(h, open, 2);
        assert_int_equal(c.accepted, 3);
        assert_int_equal(c.taken_back, 1);
        assert_int_equal(c.lost, expect == EXPECT_LOST);
        assert_int_equal(c.done, expect == EXPECT_DONE);
        assert_int_equal(c.open, 2);

        (void)snprintf(name, sizeof(name), "orker %u ", guilty.worker);
        assert_int_equal(harness_count_lines(h, name, "protocol", why), 1);
        assert_int_equal(harness_count_lines(h, "protocol"), 1);
        harness_await_line(h, name, "SIGKILL");
        assert_int_equal(harness_count_lines(h, name, "SIGKILL"), 1);

        /* The innocent goes on, and there is a third worker. */
        harness_await_workers(h, 3);
        client_send(&innocent, "done\n");
        assert_int_equal(client_await_end(h, &innocent), CLIENT_END_CLEAN);
        client_open_served(h, &later, 0);
        client_close(&later);
        client_close(&queued);
        harness_stop(h);
}

static void test_short_record(void **state)
{
        check(*state, "size 15", "length", EXPECT_LOST);
}

static void test_one_byte(void **state)
{
        check(*state, "size 1", "length", EXPECT_LOST);
}

static void test_record_and_a_bit(void **state)
{
        check(*state, "size 17", "length", EXPECT_LOST);
}

static void test_too_many_records(void **state)
{
        check(*state, "too-many", "length", EXPECT_LOST);
}

static void test_empty_datagram(void **state)
{
        check(*state, "empty", "empty", EXPECT_LOST);
}

static void test_wrong_version(void **state)
{
        check(*state, "version 2", "version", EXPECT_LOST);
}

static void test_version_0(void **state)
{
        check(*state, "version 0", "version", EXPECT_LOST);
}

static void test_unknown_type(void **state)
{
        check(*state, "type 99", "type", EXPECT_LOST);
}

static void test_wrong_way_type(void **state)
{
        check(*state, "wrong-way", "type", EXPECT_LOST);
}

static void test_not_started_after_ready(void **state)
{
        check(*state, "type 22", "NOT_STARTED", EXPECT_LOST);
}

static void test_ready_without_capacity(void **state)
{
        check(*state, "ready 0", "capacity", EXPECT_LOST);
}

static void test_flood_of_ready(void **state)
{
        check(*state, "flood-ready 11", "READY", EXPECT_LOST);
}

static void test_flood_of_done(void **state)
{
        check(*state, "flood-done", "DONE", EXPECT_LOST);
}

static void test_foreign_id(void **state)
{
        check(*state, "foreign", "DONE", EXPECT_LOST);
}

static void test_id_twice(void **state)
{
        check(*state, "twice", "DONE", EXPECT_DONE);
}

static void test_pong_unasked(void **state)
{
        check(*state, "pong", "not asked", EXPECT_LOST);
}

static void test_held_unasked(void **state)
{
        check(*state, "held", "not asked", EXPECT_LOST);
}

static void test_descriptor(void **state)
{
        check(*state, "descriptor", "descriptor", EXPECT_LOST);
}

static void test_shutdown_of_writing(void **state)
{
        check(*state, "shutdown write", "shut down", EXPECT_LOST);
}

static void test_shutdown_of_both(void **state)
{
        check(*state, "shutdown both", "shut down", EXPECT_LOST);
}

/* Another worker's id is not its own either: that connection goes on. */
static void test_id_of_another_worker(void **state)
{
        struct harness *h = *state;
        struct client guilty, victim;
        char deed[64];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h,
                .options = WORDS("Workers=2", "Distribute=round-robin", "QueueTimeoutSec=infinity"),
                .stub = WORDS("--serve=obey", "--capacity=4"));
        harness_await_workers(h, 2);
        client_open_served(h, &guilty, 0);
        client_open_served(h, &victim, 0);
        assert_int_not_equal(guilty.worker, victim.worker);

        (void)snprintf(deed, sizeof(deed), "foreign %llu\n", (unsigned long long)victim.id);
        client_send(&guilty, deed);
        (void)client_await_end(h, &guilty);
        (void)harness_await_counter(h, lost, 1);
        assert_int_equal(harness_counters(h).open, 1);

        client_send(&victim, "done\n");
        assert_int_equal(client_await_end(h, &victim), CLIENT_END_CLEAN);
        assert_int_equal(harness_await_counter(h, done, 1).open, 0);
        harness_stop(h);
}

/* Its end of the channel shut for reading: the next connection cannot be sent, and goes to another
 * worker instead. */
static void test_shutdown_of_reading(void **state)
{
        struct harness *h = *state;
        struct client guilty, clients[2];
        struct counters c;
        char deeds[256];

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h,
                .options = WORDS("Workers=2", "Distribute=round-robin", "QueueTimeoutSec=infinity"),
                .stub = WORDS("--serve=obey", "--capacity=4"));
        harness_await_workers(h, 2);
        client_open_served(h, &guilty, 0);
        (void)snprintf(deeds, sizeof(deeds), "shutdown read;wait %s\n", h->fifo);
        client_send(&guilty, deeds);
        (void)harness_await_stub(h, "does wait");

        client_open_served(h, &clients[0], 0);
        client_open_served(h, &clients[1], 0);
        assert_int_not_equal(clients[0].worker, guilty.worker);
        assert_int_not_equal(clients[1].worker, guilty.worker);
        (void)client_await_end(h, &guilty);
        c = harness_await_counter(h, lost, 1);
        assert_int_equal(c.open, 2);
        assert_int_equal(harness_count_lines(h, "protocol", "end of the channel"), 1);

        client_close(&clients[0]);
        client_close(&clients[1]);
        harness_stop(h);
}

/* A closed channel is not seen while the process lives, as a hung worker is not; its connections
 * wait in the queue for its end. */
static void test_channel_closed(void **state)
{
        struct harness *h = *state;
        struct client guilty, queued;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(
                h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=obey", "--capacity=4"));
        harness_await_workers(h, 1);
        client_open_served(h, &guilty, 0);
        client_send(&guilty, "close\n");
        (void)harness_await_stub(h, "does close");
        client_open(h, &queued, 0);
        (void)harness_await_counter(h, accepted, 2);

        assert_int_equal(kill(guilty.pid, SIGKILL), 0);
        client_await_greeting(h, &queued);
        assert_int_equal(harness_counters(h).lost, 1);
        (void)client_await_end(h, &guilty);
        client_close(&queued);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_short_record),
                HARNESS_TEST(test_one_byte),
                HARNESS_TEST(test_record_and_a_bit),
                HARNESS_TEST(test_too_many_records),
                HARNESS_TEST(test_empty_datagram),
                HARNESS_TEST(test_wrong_version),
                HARNESS_TEST(test_version_0),
                HARNESS_TEST(test_unknown_type),
                HARNESS_TEST(test_wrong_way_type),
                HARNESS_TEST(test_not_started_after_ready),
                HARNESS_TEST(test_ready_without_capacity),
                HARNESS_TEST(test_flood_of_ready),
                HARNESS_TEST(test_flood_of_done),
                HARNESS_TEST(test_foreign_id),
                HARNESS_TEST(test_id_of_another_worker),
                HARNESS_TEST(test_id_twice),
                HARNESS_TEST(test_pong_unasked),
                HARNESS_TEST(test_held_unasked),
                HARNESS_TEST(test_descriptor),
                HARNESS_TEST(test_shutdown_of_writing),
                HARNESS_TEST(test_shutdown_of_both),
                HARNESS_TEST(test_shutdown_of_reading),
                HARNESS_TEST(test_channel_closed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
