/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The tables of a worker's life: src/policy/worker-state.c. The possible steps are written down
 * here once more, by event; everything else has to assert.
 */

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "leaks.h"
#include "policy/worker-state.h"

static bool is_alive(enum worker_state state)
{
        return state != WORKER_NONE && state != WORKER_DEAD;
}

/* What it does while alive moves it on and never back. */
static bool is_possible(enum worker_state state, enum worker_event event)
{
        switch (event) {
        case WORKER_SPAWNED:
                return state == WORKER_NONE;
        case WORKER_EMPTIED:
                return state == WORKER_DEAD;
        case WORKER_SAYS_READY:
        case WORKER_EXITED:
        case WORKER_DRAINED:
        case WORKER_TERMINATED:
        case WORKER_GOT_ABORTED:
        case WORKER_GOT_KILLED:
        case WORKER_EVENTS:
        default:
                return is_alive(state);
        }
}

static enum worker_state expected(enum worker_state state, enum worker_event event)
{
        static const enum worker_state least[WORKER_EVENTS] = {
                [WORKER_SAYS_READY] = WORKER_READY,
                [WORKER_EXITED] = WORKER_DEAD,
                [WORKER_SPAWNED] = WORKER_STARTING,
                [WORKER_DRAINED] = WORKER_DRAINING,
                [WORKER_TERMINATED] = WORKER_TERMINATING,
                [WORKER_GOT_ABORTED] = WORKER_ABORTED,
                [WORKER_GOT_KILLED] = WORKER_KILLED,
        };

        return event == WORKER_EMPTIED ? WORKER_NONE : MAX(state, least[event]);
}

static void test_steps(void **state)
{
        (void)state;
        for (enum worker_state s = 0; s < WORKER_STATES; s++)
                for (enum worker_event e = 0; e < WORKER_EVENTS; e++)
                        if (is_possible(s, e))
                                assert_int_equal(worker_state_next(s, e), expected(s, e));
}

static void ignore_abort(int signo _unused_)
{
        _exit(42);
}

/* Dies of an assertion, quietly: the exit status is 42 then. */
static enum worker_state from;
static enum worker_event by;

static int take_impossible_step(void)
{
        const struct rlimit no_core = {};

        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, ignore_abort);
        (void)!freopen("/dev/null", "w", stderr);
        (void)worker_state_next(from, by);
        return 0;
}

static void test_impossible_steps_assert(void **state)
{
        (void)state;
        for (from = 0; from < WORKER_STATES; from++)
                for (by = 0; by < WORKER_EVENTS; by++)
                        if (!is_possible(from, by))
                                assert_int_equal(run_in_child(take_impossible_step), 42);
}

static void test_each_state_is_described(void **state)
{
        (void)state;
        for (enum worker_state s = 0; s < WORKER_STATES; s++) {
                const struct worker_state_info *info = worker_state_info(s);

                assert_true(info->name && info->name[0]);
                assert_int_equal(info->alive, is_alive(s));
                /* A timeout has a step that ends it, and leads on. */
                assert_int_equal(info->timeout == TIMEOUT_NONE, info->overdue == STEP_NONE);
                if (info->overdue == STEP_TERMINATE)
                        assert_true(worker_state_next(s, WORKER_TERMINATED) > s);
                if (info->overdue == STEP_KILL)
                        assert_true(worker_state_next(s, WORKER_GOT_KILLED) > s);
        }
        assert_string_equal(worker_state_info(WORKER_READY)->name, "ready");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_steps),
                WITHOUT_LEAKS(test_impossible_steps_assert),
                cmocka_unit_test(test_each_state_is_described),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
