/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service manager is told of the pool: src/dispatcher/health.c. */

#include "dispatcher/health.h"
#include "small-pool.h"

static struct small_pool small;
static struct health health;

static int begin(void **state)
{
        leaks_begin(state);
        small_pool_init(&small);
        health = (struct health){ .pool = &small.pool };
        assert_int_equal(health_set_up(&health, &small.loop), 0);
        return 0;
}

static int end(void **state)
{
        health_deinit(&health);
        small_pool_done(&small);
        return leaks_end(state);
}

static void expect(const char *expected)
{
        char text[STATUS_MAX];

        health_format(&health, text);
        assert_string_equal(text, expected);
}

static bool is_degraded(void)
{
        struct pool_figures figures;

        pool_get_figures(&small.pool, &figures);
        return health_is_degraded(&health, &figures);
}

static void test_line(void **state _unused_)
{
        expect("0/1 workers ready; connections: 0 open, 0 done, 0 failed, 0 lost");
        (void)small_pool_add_worker(&small, 0, 1);
        expect("1/1 workers ready; connections: 0 open, 0 done, 0 failed, 0 lost");
        pool_assign(&small.pool, pool_accepted(&small.pool, 0, usec_now()), 0);
        expect("1/1 workers ready; connections: 1 open, 0 done, 0 failed, 0 lost; all workers are full, new "
               "connections wait");
        health.is_exhausted = true;
        expect("1/1 workers ready; connections: 1 open, 0 done, 0 failed, 0 lost; out of descriptors or "
               "memory, new connections wait");
        pool_stop(&small.pool, usec_now());
        expect("Stopping: 1/1 workers ready; connections: 1 open, 0 done, 0 failed, 0 lost");
}

/* REPORTS R11: "2/62 workers ready" looked like an outage. */
static void test_draining_workers_are_not_missing(void **state _unused_)
{
        (void)small_pool_add_worker(&small, 0, 1);
        (void)small_pool_add_worker(&small, 1, 1);
        pool_drained(&small.pool, 1, false, usec_now());
        expect("1/1 workers ready, 1 draining; connections: 0 open, 0 done, 0 failed, 0 lost");
}

static void test_trouble_with_the_sockets(void **state _unused_)
{
        (void)small_pool_add_worker(&small, 0, 1);
        (void)snprintf(health.sockets, sizeof(health.sockets), "nobody listens");
        expect("1/1 workers ready; connections: 0 open, 0 done, 0 failed, 0 lost; nobody listens");
}

/* git-daemon, cat, a script: it starts and ends, and nothing says why that is no worker. */
static void test_a_program_that_is_no_worker(void **state _unused_)
{
        char text[STATUS_MAX];

        health_failing(&health, "the last one exited with status 0 before it had served", true);
        health_format(&health, text);
        assert_non_null(strstr(text, "Command=acceptd-inetd PROGRAM, or acceptd-listen"));
}

static void test_failing_and_recovered(void **state _unused_)
{
        pool_spawned(&small.pool, 0, 4711, false, usec_now());
        assert_false(is_degraded());
        health_recovered(&health); /* it always was */
        health_failing(&health, "no program", false);
        health_failing(&health, "no program", false);
        assert_int_equal(health.n_failed, 2);
        assert_true(is_degraded());
        expect("0/1 workers ready; connections: 0 open, 0 done, 0 failed, 0 lost; workers fail: no program");

        health_recovered(&health);
        assert_int_equal(health.n_failed, 0);
        assert_false(is_degraded());
}

/* REVIEW 2.7: an escape in Command= is a line more for the service manager. */
static void test_trouble_stays_one_line(void **state _unused_)
{
        health_failing(&health, "cannot start /x\nMAINPID=1\n: No such file", false);
        assert_string_equal(health.trouble, "cannot start /x MAINPID=1 : No such file");
}

/* It called itself ready, although nobody served and nobody would. */
static void test_degraded_without_any_worker(void **state _unused_)
{
        health.is_ready = true;
        assert_true(is_degraded());
        expect("0/1 workers ready; connections: 0 open, 0 done, 0 failed, 0 lost; workers fail: none "
               "runs");
        pool_spawned(&small.pool, 0, 4711, false, usec_now());
        assert_false(is_degraded());
}

/* Workers that all run are no trouble, even if another start failed. */
static void test_not_degraded_with_all_workers(void **state _unused_)
{
        (void)small_pool_add_worker(&small, 0, 1);
        health_failing(&health, "no program", false);
        assert_false(is_degraded());
}

static void test_long_trouble_is_cut(void **state _unused_)
{
        char trouble[2 * HEALTH_TROUBLE_MAX];

        memset(trouble, 'x', sizeof(trouble) - 1);
        trouble[sizeof(trouble) - 1] = '\0';
        health_failing(&health, trouble, false);
        assert_int_equal(strlen(health.trouble), HEALTH_TROUBLE_MAX - 1);
}

/* With the first worker, or the first failed start: whoever waits for systemctl start goes on. */
static void test_ready_once(void **state _unused_)
{
        assert_false(health.is_ready);
        health_failing(&health, "no program", false);
        assert_true(health.is_ready);
}

static void test_not_ready_while_stopping(void **state _unused_)
{
        pool_stop(&small.pool, usec_now());
        health_ready(&health);
        assert_false(health.is_ready);
}

static void test_line_is_sent_later(void **state _unused_)
{
        health_ready(&health);
        health.status_sent_at = 0; /* long ago: it is due at once */
        health_touch(&health);
        health_touch(&health);
        assert_true(health.status_is_due);
        assert_string_equal(health.status, "");
        assert_int_equal(small_pool_run(&small), 0);
        assert_false(health.status_is_due);
        expect(health.status);
}

#define HEALTH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                HEALTH(test_line),
                HEALTH(test_draining_workers_are_not_missing),
                HEALTH(test_trouble_with_the_sockets),
                HEALTH(test_a_program_that_is_no_worker),
                HEALTH(test_trouble_stays_one_line),
                HEALTH(test_failing_and_recovered),
                HEALTH(test_degraded_without_any_worker),
                HEALTH(test_not_degraded_with_all_workers),
                HEALTH(test_long_trouble_is_cut),
                HEALTH(test_ready_once),
                HEALTH(test_not_ready_while_stopping),
                HEALTH(test_line_is_sent_later),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
