/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A dispatcher that is number 1 of a container gets what workers leave behind: REPORTS R13.
 */

#include <signal.h>

#include "client.h"
#include "procfs.h"

#define CHILDREN_MAX 64

static size_t count_children(const struct harness *h)
{
        pid_t children[CHILDREN_MAX];

        return procfs_children(h->pid, children, CHILDREN_MAX);
}

/* Each worker leaves one that has left its process group, and ends soon after it. */
static void test_zombies_outside_systemd(void **state)
{
        struct harness *h = *state;
        usec_t deadline = usec_now() + HARNESS_DEADLINE;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=4", "RestartSec=10ms"),
                .stub = WORDS(h->marks, "--leak", "--at=start"), .subreaper = true);
        harness_await_line(h, "grandchild sees the end of the channel");
        harness_await_ready(h);
        while (count_children(h) != 4) {
                (void)harness_counters(h);
                assert_true(usec_now() < deadline);
        }
        harness_stop(h);
}

/* Workers are waited for by whoever starts them: how one ended is known as ever. */
static void test_ends_of_workers_are_known(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h,
                .options = WORDS("Workers=2", "RestartSec=10ms", "RestartMaxDelaySec=20ms"),
                .stub = WORDS("--serve=obey"), .subreaper = true);
        harness_await_workers(h, 2);
        for (unsigned i = 0; i < 20; i++) {
                client_open_served(h, &client, 0);
                client_send(&client, "exit 7\n");
                (void)client_await_end(h, &client);
                harness_await_line(h, "orker ", "exited with status 7");
                harness_await_workers(h, 3 + i);
        }
        assert_int_equal(harness_count_lines(h, "unknown way"), 0);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_zombies_outside_systemd),
                HARNESS_TEST(test_ends_of_workers_are_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
