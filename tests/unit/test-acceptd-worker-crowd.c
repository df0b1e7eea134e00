/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * When a worker says what it has to say, src/libacceptd/said.c: ends in crowds, READYs in floods.
 * Time passes as the test says, but for the timer, which is the kernel's.
 */

#include <poll.h>

#include "base/fd.h"
#include "base/time.h"
#include "worker-fixture.h"

#define DEADLINE_MSEC 30000

static usec_t frozen; /* 0: the real time */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
        if (frozen == 0)
                return __real_clock_gettime(clock, ret);

        ret->tv_sec = (time_t)(frozen / USEC_PER_SEC);
        ret->tv_nsec = (long)(frozen % USEC_PER_SEC * 1000);
        return 0;
}

static int freeze(void **state)
{
        int r = fixture_open_modern_worker(state);

        frozen = usec_now();
        return r;
}

static int thaw(void **state)
{
        frozen = 0;
        return fixture_close(state);
}

#define IN_FROZEN_TIME(test) cmocka_unit_test_setup_teardown(test, freeze, thaw)

static void await_wake(const struct fixture *f)
{
        struct pollfd pollfd = { .fd = acceptd_worker_get_fd(f->worker), .events = POLLIN };

        assert_int_equal(poll(&pollfd, 1, DEADLINE_MSEC), 1);
}

static void hold(struct fixture *f, unsigned capacity, uint64_t n)
{
        assert_int_equal(acceptd_worker_ready(f->worker, capacity), (int)capacity);
        expect_ready(f, capacity, RECORD_FEATURES);
        hold_range(f, 1, n);
}

/* --- Ends --- */

/* One DONE after the other woke the dispatcher each time. */
static void test_ends_in_a_crowd_are_told_together(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        hold(f, 1000, 100);
        finish_range(f, 1, 63);
        assert_silent(f);
        finish_range(f, 64, 64); /* more do not fit into a datagram */
        assert_int_equal(hear(f, records), 64);
        for (uint64_t i = 0; i < 64; i++)
                assert_record(&records[i], RECORD_DONE, i + 1);
        finish_range(f, 65, 65);
        assert_int_equal(acceptd_worker_failed(f->worker, 66, 99), 0);
        assert_silent(f);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 2);
        assert_record(&records[0], RECORD_DONE, 65);
        assert_record(&records[1], RECORD_FAILED, 66);
        assert_int_equal(records[1].value, 99);
}

/* With nothing else to happen, they would never have been told. */
static void test_ends_are_told_when_nothing_comes(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        hold(f, 1000, 20);
        finish_range(f, 1, 3);
        assert_silent(f);
        await_wake(f);
        frozen += 4 * USEC_PER_MSEC;
        receive_nothing(f);
        assert_int_equal(hear(f, records), 3);
        assert_false(wakes(f));

        /* the crowd is over */
        finish_range(f, 4, 4);
        expect_end(f, RECORD_DONE, 4);
}

/* In a crowd that goes on, a receipt finds that time has passed without asking for it. */
static void test_ends_are_told_in_passing(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        hold(f, 1000, 20);
        finish_range(f, 1, 8);
        assert_silent(f);
        hold_range(f, 21, 21);
        assert_int_equal(hear(f, records), 8);

        finish_range(f, 9, 9);
        for (uint64_t id = 22; id <= 28; id++) {
                frozen += USEC_PER_MSEC - 1;
                hold_range(f, id, id);
        }
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 9);
}

static void test_lonely_end_is_told_at_once(void **state)
{
        struct fixture *f = *state;

        hold(f, 1000, 0);
        for (uint64_t id = 1; id <= 20; id++) {
                hold_range(f, id, id);
                frozen += USEC_PER_MSEC;
                finish_range(f, id, id);
                expect_end(f, RECORD_DONE, id);
        }
}

static void test_ends_are_told_at_once_while_credits_are_short(void **state)
{
        struct fixture *f = *state;

        hold(f, 100, 51);
        finish_range(f, 1, 1);
        expect_end(f, RECORD_DONE, 1);
}

static void test_ends_are_told_at_once_after_the_drain(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        hold(f, 1000, 20);
        finish_range(f, 1, 2);
        assert_silent(f);
        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_DRAIN);
        assert_int_equal(hear(f, (struct record[RECORD_BATCH_MAX]){}), 2);
        finish_range(f, 3, 3);
        expect_end(f, RECORD_DONE, 3);
}

/* Who waits cannot come by. */
static void test_wait_tells_first(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        hold(f, 1000, 20);
        finish_range(f, 1, 2);
        assert_silent(f);
        frozen = 0; /* the kernel's timer is not, and would end each wait for nothing */
        assert_int_equal(acceptd_worker_wait(f->worker, &c, sizeof(c), 0), ACCEPTD_NOTHING);
        assert_int_equal(hear(f, (struct record[RECORD_BATCH_MAX]){}), 2);
}

/* --- READY --- */

/* The dispatcher kills for more than 10 in a second. */
static void test_ready_as_often_as_one_likes(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        unsigned n = 0;

        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(acceptd_worker_ready(f->worker, 1 + i), (int)(1 + i));
        while (try_hear(f, records) > 0)
                n++;
        assert_in_range(n, 1, 5);

        /* the last one counts, when its time has come */
        await_wake(f);
        frozen += USEC_PER_SEC;
        receive_nothing(f);
        expect_ready(f, 1000, RECORD_FEATURES);
        assert_false(wakes(f));
}

/* What a dispatcher that was busy finds unread comes in one second of its own. */
static void test_few_readys_are_unread(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        unsigned n = 0;

        for (unsigned i = 0; i < 100; i++) {
                assert_true(acceptd_worker_ready(f->worker, 1 + i % 2) > 0);
                receive_nothing(f);
                frozen += USEC_PER_SEC / 4;
        }
        while (try_hear(f, records) > 0)
                n++;
        assert_in_range(n, 1, 4);
        receive_nothing(f);
        expect_ready(f, 2, RECORD_FEATURES);
}

/* An end is not kept back by a READY that is. */
static void test_ends_pass_a_ready_that_waits(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        hold(f, 2, 2);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(acceptd_worker_ready(f->worker, 2), 2);
        while (try_hear(f, records) > 0)
                ;
        finish_range(f, 1, 1);
        expect_end(f, RECORD_DONE, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_FROZEN_TIME(test_ends_in_a_crowd_are_told_together),
                IN_FROZEN_TIME(test_ends_are_told_when_nothing_comes),
                IN_FROZEN_TIME(test_ends_are_told_in_passing),
                IN_FROZEN_TIME(test_lonely_end_is_told_at_once),
                IN_FROZEN_TIME(test_ends_are_told_at_once_while_credits_are_short),
                IN_FROZEN_TIME(test_ends_are_told_at_once_after_the_drain),
                IN_FROZEN_TIME(test_wait_tells_first),
                IN_FROZEN_TIME(test_ready_as_often_as_one_likes),
                IN_FROZEN_TIME(test_few_readys_are_unread),
                IN_FROZEN_TIME(test_ends_pass_a_ready_that_waits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
