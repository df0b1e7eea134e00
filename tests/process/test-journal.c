/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Messages that only come about in situations that are rare: connections that are refused, more to
 * say than is written, an error that ends the dispatcher. The ordinary ones are found by the tests
 * of what they are about, and their fields by tests/system/test-journal.sh.
 */

#include <signal.h>
#include <sys/resource.h>

#include "client.h"
#include "ctl.h"

#define BURST 1000 /* of one kind, in 10 s: src/os/journal.c */

/* More of them than are written, and the interval is not over: what is missing is told before the
 * last message. */
static void test_suppressed_before_a_stop(void **state)
{
        struct harness *h = *state;
        usec_t begin;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=4"),
                .stub = WORDS("--serve=line", "--exit=3", "--at=1"));
        harness_await_ready(h);
        begin = usec_now();
        for (unsigned i = 0; i < BURST + 100; i++) {
                struct client client;

                client_open_served(h, &client, 0);
                (void)client_await_end(h, &client);
        }
        if (usec_now() - begin > 9 * USEC_PER_SEC)
                harness_skip(h, "this machine is too busy to say so much in 10 s");
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_line(h, "Stopping");
        harness_await_line(h, "more messages of the kind", "were not logged");
        harness_await_line(h, "Stopped");
        harness_expect_exit(h, 0);
}

static void test_refused_at_a_stop(void **state)
{
        struct harness *h = *state;
        struct client clients[3];
        struct stub_id dead;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "RestartSec=1h", "RestartMaxDelaySec=1h"),
                .stub = WORDS("--never-receive", "--capacity=4"));
        dead = harness_await_stub(h, "ready");
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_open(h, &clients[i], 0);
        (void)harness_await_counter(h, open, ELEMENTSOF(clients));
        (void)kill(dead.pid, SIGKILL);
        harness_await_line(h, "orker 1 ", "SIGKILL");
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_line(h, "<4>", "3 connections were closed unserved: no worker was left");
        harness_await_line(h, "Stopped", "refused=3");
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                (void)client_await_end(h, &clients[i]);
        harness_expect_exit(h, 0);
}

/* So that their sum is that of all. */
static void test_each_reason_to_refuse_has_a_counter(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        status = ctl_status(h, &ctl);
        assert_int_equal(ctl_number(status, "counters.refusedBy.stopping"), 0);
        assert_int_equal(ctl_number(status, "counters.refusedBy.stranded"), 0);
        harness_stop(h);
}

/* The ledger is larger than any file may be: settings that cannot work, and no signal. */
static void test_failed(void **state)
{
        struct harness *h = *state;
        struct rlimit before, limit;

        (void)listener_add(h, LISTENER_UNIX, "main");
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = (struct rlimit){ .rlim_cur = 1U << 20, .rlim_max = before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        harness_start(h, .options = WORDS("Workers=1"));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        harness_await_line(h, "<3>", "ledger", "RLIMIT_FSIZE is 1048576", "raise LimitFSIZE=");
        harness_expect_exit(h, 78);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_suppressed_before_a_stop),
                HARNESS_TEST(test_refused_at_a_stop),
                HARNESS_TEST(test_each_reason_to_refuse_has_a_counter),
                HARNESS_TEST(test_failed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
