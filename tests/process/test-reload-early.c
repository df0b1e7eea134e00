/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A reload before the first worker was ever ready.
 */

#include <signal.h>

#include "client.h"
#include "ctl.h"

static void write_settings(const struct ctl *ctl, const char *worker)
{
        char text[2048];

        (void)snprintf(text, sizeof(text), "[Pool]\nWorkers=1\n[Worker]\nCommand=%s %s\n",
                harness_path("stub-worker"), worker);
        ctl_write_settings(ctl, text);
}

static void begin(struct harness *h, struct ctl *ctl)
{
        char worker[256];

        ctl_init(h, ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        (void)snprintf(worker, sizeof(worker), "--wait %s --at=start", h->fifo);
        write_settings(ctl, worker);
        ctl_start(h, ctl, .command = WORDS());
        harness_await_line(h, "stub", "does wait");
}

static void expect_state(struct harness *h, const struct ctl *ctl, const char *state)
{
        json_auto_t *status = ctl_status(h, ctl);

        assert_string_equal(ctl_text(status, "state"), state);
}

/* REVIEW 1.14: READY=1 to the service manager, and state "ready" with 0 workers. */
static void test_reload_that_fails_before_the_first_ready(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl);
        expect_state(h, &ctl, "starting");
        write_settings(&ctl, "--exit=3 --at=start");
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_line(h, "reload failed", "exited with status 3");
        (void)harness_counters(h);
        assert_int_equal(harness_count(&h->notify, WORDS("READY=1")), 0);
        expect_state(h, &ctl, "starting");

        harness_release(h);
        harness_await_ready(h);
        expect_state(h, &ctl, "ready");
        harness_stop(h);
}

/* It is the new one that is ready first. */
static void test_reload_before_the_first_ready(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl);
        write_settings(&ctl, "--serve=hold");
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_ready(h);
        harness_await_line(h, "Generation 2 ", "is starting");
        expect_state(h, &ctl, "ready");
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_reload_that_fails_before_the_first_ready),
                HARNESS_TEST(test_reload_before_the_first_ready),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
