/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a worker of src/libacceptd says and hears beyond the first version, where the dispatcher
 * offers it in $ACCEPTD_FEATURES; and that it does neither where it does not.
 */

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "dispatcher/channel.h"
#include "wire/wire.h"
#include "worker-fixture.h"

/* --- What is taken --- */

static void test_takes_what_it_knows(void **state)
{
        static const struct {
                const char *offered;
                uint64_t taken;
        } offers[] = {
                { "0", 0 },
                { "7", 7 },
                { "4", RECORD_FEATURE_DRAIN },
                { "24", 0 }, /* reserved: this version has neither */
                { "18446744073709551615", RECORD_FEATURES },
                { "18446744073709551616", 0 },
                { "", 0 },
                { " 7", 0 },
                { "+7", 0 },
                { "-1", 0 },
                { "0x7", 0 },
                { "7,", 0 },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(offers); i++) {
                set_variable("ACCEPTD_CHANNEL", "%d", f->channel);
                set_variable("ACCEPTD_FEATURES", "%s", offers[i].offered);
                assert_int_equal(acceptd_worker_open(&f->worker, 0), 0);
                assert_int_equal(acceptd_worker_ready(f->worker, 2), 2);
                expect_ready(f, 2, offers[i].taken);

                /* one channel for all of them */
                f->channel = fcntl(f->channel, F_DUPFD_CLOEXEC, 0);
                assert_true(f->channel >= 0);
                acceptd_worker_free(TAKE_PTR(f->worker));
        }
}

static void test_every_ready_names_them(void **state)
{
        struct fixture *f = *state;

        for (unsigned capacity = 1; capacity <= 3; capacity++) {
                assert_int_equal(acceptd_worker_ready(f->worker, capacity), (int)capacity);
                expect_ready(f, capacity, RECORD_FEATURES);
        }
}

/* --- FAILED --- */

static void hold(struct fixture *f, uint64_t n)
{
        assert_int_equal(acceptd_worker_ready(f->worker, (unsigned)n), (int)n);
        expect_ready(f, (uint32_t)n, RECORD_FEATURES);
        hold_range(f, 1, n);
}

static void test_failed(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        hold(f, 4);
        assert_int_equal(acceptd_worker_failed(f->worker, 5, ACCEPTD_FAILURE_OTHER), -ENOENT);
        assert_int_equal(acceptd_worker_failed(f->worker, 3, ACCEPTD_FAILURE_SIGNAL), 0);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_FAILED, 3);
        assert_int_equal(records[0].value, RECORD_FAILURE_SIGNAL);
        finish_range(f, 1, 1);
        expect_end(f, RECORD_DONE, 1);
        assert_int_equal(acceptd_worker_failed(f->worker, 2, ACCEPTD_FAILURE_OTHER), 0);
        assert_int_equal(acceptd_worker_failed(f->worker, 2, ACCEPTD_FAILURE_OTHER), -ENOENT);
        assert_int_equal(acceptd_worker_done(f->worker, 2), -ENOENT);
        assert_int_equal(acceptd_worker_get_n_held(f->worker), 1);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_FAILED, 2);
        assert_int_equal(records[0].value, RECORD_FAILURE_OTHER);

        /* it is not held any more */
        ask(f, RECORD_LIST, 1);
        receive_nothing(f);
        assert_int_equal(hear(f, records), 2);
        assert_record(&records[0], RECORD_HELD, 4);
        assert_record(&records[1], RECORD_PONG, 0);
}

/* A slot says how the connection ended that it had, not the one before. */
static void test_done_after_failed_in_one_slot(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        hold(f, 1);
        assert_int_equal(acceptd_worker_failed(f->worker, 1, ACCEPTD_FAILURE_START), 0);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_FAILED, 1);

        hold_range(f, 2, 2);
        finish_range(f, 2, 2);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 2);
        assert_int_not_equal(records[0].value, RECORD_FAILURE_START);
}

/* Who does not count failures is told DONE. */
static void test_failed_where_it_is_not_offered(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];

        be_ready(f, 1);
        hold_range(f, 1, 1);
        assert_int_equal(acceptd_worker_failed(f->worker, 1, ACCEPTD_FAILURE_START), 0);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_DONE, 1);
}

static void test_lost_descriptor_is_failed(void **state)
{
        struct fixture *f = *state;
        struct record records[RECORD_BATCH_MAX];
        struct rlimit limit;

        assert_int_equal(acceptd_worker_ready(f->worker, 2), 2);
        expect_ready(f, 2, RECORD_FEATURES);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        hand_over(f, 8);
        leave_descriptors(0);
        receive_nothing(f);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

        assert_int_equal(acceptd_worker_get_n_fd_lost(f->worker), 1);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(hear(f, records), 1);
        assert_record(&records[0], RECORD_FAILED, 8);
        assert_int_equal(records[0].value, RECORD_FAILURE_DESCRIPTOR);
}

/* --- Pause --- */

static void test_pause(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(acceptd_worker_ready(f->worker, 0), -EINVAL); /* not as the first */
        assert_silent(f);
        hold(f, 2);
        assert_int_equal(acceptd_worker_ready(f->worker, 0), 0);
        expect_ready(f, 0, RECORD_FEATURES);

        /* what was on its way comes, and what is held can end */
        finish_range(f, 1, 2);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        hold_range(f, 3, 4);
        finish_range(f, 3, 4);
}

static void test_pause_where_it_is_not_offered(void **state)
{
        struct fixture *f = *state;

        be_ready(f, 1);
        assert_int_equal(acceptd_worker_ready(f->worker, 0), -EOPNOTSUPP);
        assert_silent(f);
}

/* --- FINISHED --- */

/* A worker that died with many ends to tell at once had them all counted as lost. */
static void test_ends_are_noted_before_they_are_told(void **state)
{
        struct fixture *f = *state;
        struct channel channel = { .fd = f->peer, .queue_fd = -1 };
        const struct finished *first;

        hold(f, 4);
        assert_int_equal(channel_share_finished(&channel), 0);
        first = TAKE(channel.finished, NULL);
        receive_nothing(f);
        assert_int_equal(acceptd_worker_done(f->worker, 3), 0);
        assert_int_equal(acceptd_worker_done(f->worker, 1), 0);
        expect_end(f, RECORD_DONE, 3);
        expect_end(f, RECORD_DONE, 1);
        assert_int_equal(first->ids[0], 3);
        assert_int_equal(first->ids[1], 1);
        assert_int_equal(first->ids[2], 0);

        /* another dispatcher */
        assert_int_equal(channel_share_finished(&channel), 0);
        receive_nothing(f);
        assert_int_equal(acceptd_worker_failed(f->worker, 2, ACCEPTD_FAILURE_OTHER), 0);
        assert_int_equal(acceptd_worker_done(f->worker, 4), 0);
        assert_int_equal(channel.finished->ids[2], 4);
        assert_int_equal(first->ids[2], 0);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        assert_int_equal(munmap((void *)(uintptr_t)first, sizeof(*first)), 0);
        assert_int_equal(munmap((void *)(uintptr_t)channel.finished, sizeof(*first)), 0);
}

static void test_idle_ones_are_counted(void **state)
{
        struct fixture *f = *state;
        struct channel channel = { .fd = f->peer, .queue_fd = -1 };
        const struct finished *first;

        hold(f, 4);
        assert_int_equal(acceptd_worker_idle(f->worker, 1, 1), 0); /* no memory yet */
        assert_int_equal(channel_share_finished(&channel), 0);
        receive_nothing(f);
        first = TAKE(channel.finished, NULL);
        assert_int_equal(first->idle, 1);
        assert_int_equal(acceptd_worker_idle(f->worker, 2, 1), 0);
        assert_int_equal(acceptd_worker_idle(f->worker, 2, 2), 0); /* as before */
        assert_int_equal(acceptd_worker_idle(f->worker, 3, 0), 0);
        assert_int_equal(acceptd_worker_idle(f->worker, 5, 1), -ENOENT);
        assert_int_equal(first->idle, 2);
        assert_silent(f);

        /* another dispatcher */
        assert_int_equal(channel_share_finished(&channel), 0);
        receive_nothing(f);
        assert_int_equal(channel.finished->idle, 2);
        assert_int_equal(acceptd_worker_idle(f->worker, 1, 0), 0);
        assert_int_equal(channel.finished->idle, 1);
        assert_int_equal(acceptd_worker_done(f->worker, 2), 0);
        assert_int_equal(channel.finished->idle, 0);
        assert_int_equal(acceptd_worker_idle(f->worker, 2, 1), -ENOENT);
        assert_int_equal(acceptd_worker_idle(f->worker, 3, 1), 0);
        assert_int_equal(acceptd_worker_failed(f->worker, 3, ACCEPTD_FAILURE_OTHER), 0);
        assert_int_equal(acceptd_worker_done(f->worker, 4), 0);
        assert_int_equal(channel.finished->idle, 0);
        assert_int_equal(acceptd_worker_flush(f->worker), 0);
        hold_range(f, 6, 6); /* where an idle one was */
        assert_int_equal(channel.finished->idle, 0);
        assert_int_equal(first->idle, 2);
        assert_int_equal(munmap((void *)(uintptr_t)first, sizeof(*first)), 0);
        assert_int_equal(munmap((void *)(uintptr_t)channel.finished, sizeof(*first)), 0);
}

/* --- DRAIN --- */

static void tell_drain(const struct fixture *f, uint32_t reason, uint64_t deadline)
{
        struct record record = raw_record(RECORD_DRAIN, reason, deadline);

        assert_int_equal(wire_send(f->peer, &record, -1), 0);
        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
}

static void test_drain_with_reason_and_deadline(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        uint64_t deadline = 1;

        hold(f, 1);
        assert_int_equal(acceptd_worker_get_drain(f->worker, &deadline), ACCEPTD_DRAIN_UNKNOWN);
        assert_int_equal(deadline, 0);

        tell_drain(f, RECORD_DRAIN_RELOAD, UINT64_MAX - 1);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_DRAIN);
        assert_int_equal(acceptd_worker_get_drain(f->worker, &deadline), ACCEPTD_DRAIN_RELOAD);
        assert_true(deadline == UINT64_MAX - 1);
        finish_range(f, 1, 1);
}

static void test_wait_ends_with_drain(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        uint64_t deadline;

        assert_int_equal(acceptd_worker_ready(f->worker, 1), 1);
        tell_drain(f, RECORD_DRAIN_STOP, 0);
        assert_int_equal(
                acceptd_worker_wait(f->worker, &c, sizeof(c), ACCEPTD_FOREVER), ACCEPTD_DRAIN);
        assert_int_equal(acceptd_worker_get_drain(f->worker, &deadline), ACCEPTD_DRAIN_STOP);
        assert_int_equal(deadline, 0);
}

/* The instance is gone, or had no room to say why. */
static void test_drain_without_reason(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;
        uint64_t deadline;

        assert_int_equal(acceptd_worker_ready(f->worker, 1), 1);
        assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), ACCEPTD_DRAIN);
        assert_int_equal(acceptd_worker_get_drain(f->worker, &deadline), ACCEPTD_DRAIN_UNKNOWN);
        assert_int_equal(deadline, 0);
}

static void test_drain_where_it_is_not_offered(void **state)
{
        struct fixture *f = *state;
        struct acceptd_connection c;

        be_ready(f, 1);
        tell_drain(f, RECORD_DRAIN_STOP, 0);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), -EPROTO);
        assert_non_null(strstr(acceptd_worker_explain(f->worker, -EPROTO), "DRAIN"));
}

static void test_finished_that_was_not_taken(void **state)
{
        struct fixture *f = *state;
        struct channel channel = { .fd = f->peer, .queue_fd = -1 };
        struct acceptd_connection c;

        be_ready(f, 1);
        assert_int_equal(channel_share_finished(&channel), 0);
        assert_int_equal(acceptd_worker_receive(f->worker, &c, sizeof(c)), -EPROTO);
        assert_int_equal(munmap((void *)(uintptr_t)channel.finished, sizeof(*channel.finished)), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_CHANNEL(test_takes_what_it_knows),
                WITH_MODERN_WORKER(test_every_ready_names_them),
                WITH_MODERN_WORKER(test_failed),
                WITH_MODERN_WORKER(test_done_after_failed_in_one_slot),
                WITH_WORKER(test_failed_where_it_is_not_offered),
                WITH_MODERN_WORKER(test_lost_descriptor_is_failed),
                WITH_MODERN_WORKER(test_pause),
                WITH_WORKER(test_pause_where_it_is_not_offered),
                WITH_MODERN_WORKER(test_ends_are_noted_before_they_are_told),
                WITH_MODERN_WORKER(test_idle_ones_are_counted),
                WITH_WORKER(test_finished_that_was_not_taken),
                WITH_MODERN_WORKER(test_drain_with_reason_and_deadline),
                WITH_MODERN_WORKER(test_wait_ends_with_drain),
                WITH_MODERN_WORKER(test_drain_without_reason),
                WITH_WORKER(test_drain_where_it_is_not_offered),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
