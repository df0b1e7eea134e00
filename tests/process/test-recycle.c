/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workers that are replaced for their age and their size. For their connections: test-size.c; with
 * Accept=no: test-listen-pool.c.
 */

#include <unistd.h>

#include "adoption.h"
#include "ctl.h"

static void test_worker_that_grew_is_replaced(void **state)
{
        struct harness *h = *state;
        struct client held, next;
        struct ctl ctl;
        json_auto_t *status = NULL;
        const json_t *worker;

        ctl_start_pool(h, &ctl, "Workers=1",
                "--serve=obey --capacity=4\nRecycleMemory=250M\nRestartMaxDelaySec=100ms");
        client_open_served(h, &held, 0);
        client_send(&held, "grow 300\n");
        harness_await_line(h, "orker 1 ", "is recycled after it grew to ", "M (RecycleMemory=)");
        client_open_served(h, &next, 0);
        assert_int_equal(next.worker, 2);
        assert_true(client_waits(h, &held));

        status = ctl_status(h, &ctl);
        worker = json_array_get(json_object_get(status, "workers"), 0);
        assert_string_equal(ctl_text(worker, "state"), "draining");
        assert_string_equal(ctl_text(worker, "recycling"), "memory");
        assert_true(
                ctl_number(worker, "memory") > 250 << 20); /* it may be weighed while it grows */
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_non_null(strstr(ctl_out, " draining (memory) "));

        client_finish(h, &held);
        harness_await_line(h, "orker 1 ", "exited with status 0");
        client_finish(h, &next);
        assert_int_equal(harness_await_counter(h, done, 2).lost, 0);
        harness_stop(h);
}

/* Each is replaced in its turn, clients come all the time, and nobody notices. */
static void test_old_workers_are_replaced(void **state)
{
        struct harness *h = *state;
        unsigned last = 0, n = 0;
        struct counters c;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=2", "RecycleSec=1s"), .stub = WORDS());
        harness_await_workers(h, 2);
        while (last < 8) {
                struct client client;

                client_open_served(h, &client, 0);
                last = client.worker > last ? client.worker : last;
                assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
                n++;
                (void)usleep(2000); /* the machine is for others, too */
        }
        c = harness_await_counter(h, done, n);
        assert_int_equal(c.lost + c.refused + c.failed, 0);
        assert_true(harness_count_lines(h, "orker ", "is recycled after ", "(RecycleSec=)") > 5);
        assert_int_equal(harness_count_lines(h, "Workers fail"), 0);
        harness_stop(h);
}

/* Its start stands in its row. Counted anew, it would not be due within the test. */
static void test_crash_does_not_make_it_younger(void **state)
{
        struct harness *h = *state;
        struct client held;

        (void)listener_add(h, LISTENER_UNIX, "main");
        adoption_start(h, "Workers=1", "RecycleSec=8s");
        client_open_served(h, &held, 0);
        for (unsigned i = 0; i < 4; i++) {
                (void)usleep(1500000);
                harness_crash(h);
                adoption_start(h, "Workers=1", "RecycleSec=8s");
                harness_await_line(h, "Took over ", " worker"); /* two, where this took long */
                client_exchange(h, &held);
        }
        h->log.cursor = 0;
        harness_await_line(h, "orker 1 ", "is recycled after ", "(RecycleSec=)");
        client_finish(h, &held);
        harness_await_line(h, "orker 1 ", "ended");
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_worker_that_grew_is_replaced),
                HARNESS_TEST(test_old_workers_are_replaced),
                HARNESS_TEST(test_crash_does_not_make_it_younger),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
