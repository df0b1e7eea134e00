/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One worker, without a dispatcher: src/dispatcher/worker.c. The process is a real one; what it
 * says is said by the test, on the worker's own end of the channel.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "small-pool.h"
#include "started.h"

static struct {
        struct small_pool pool;
        struct worker *worker;
        int n_ready; /* how often worker_hear() said so */
        int n_ended;
        bool failed;
        const char *told;
        char trouble[WORKER_TROUBLE_MAX];
} life;

static char sleeper[] = "/bin/sleep", a_minute[] = "60";
static char *sleeper_argv[] = { sleeper, a_minute, NULL };
static char shell[] = "/bin/sh", option[] = "-c", exit_3[] = "exit 3";
static char *exit_3_argv[] = { shell, option, exit_3, NULL };

static int on_channel(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_,
        void *userdata)
{
        int r = worker_hear(userdata);

        life.n_ready += r > 0;
        return r;
}

static int on_end(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_,
        void *userdata)
{
        life.n_ended++;
        life.failed = worker_end(userdata, life.told, life.trouble);
        return 0;
}

static void start_one(char **argv)
{
        life.pool.context.process = make_template(argv);
        assert_int_equal(worker_start(life.worker, false), 0);
        assert_int_equal(small_pool_state(life.worker), WORKER_STARTING);
}

static void run(void)
{
        assert_int_equal(small_pool_run(&life.pool), 0);
}

static void say(uint8_t type, uint32_t value, uint64_t id)
{
        small_pool_say(life.worker, type, value, id);
        run();
}

static void start_ready(uint32_t capacity)
{
        start_one(sleeper_argv);
        say(RECORD_READY, capacity, 0);
        assert_int_equal(small_pool_state(life.worker), WORKER_READY);
}

/* Returns the id of a connection that the worker has received. */
static uint64_t give_connection(void)
{
        struct pool *pool = &life.pool.pool;
        struct slot *slot = pool_accepted(pool, 0, usec_now());
        int pair[2];
        uint64_t id;

        assert_int_equal(pool_choose(pool), life.worker->row);
        pool_assign(pool, slot, life.worker->row);
        open_pair(SOCK_STREAM, pair);
        assert_int_equal(
                channel_send_connection(&life.worker->channel, slot->id, 0, 0, pair[0]), 0);
        pool_sent(pool, slot);
        assert_int_equal(small_pool_receive(life.worker, &id), inode_of(pair[0]));
        assert_int_equal(id, slot->id);
        fd_close(pair[0]);
        fd_close(pair[1]);
        return id;
}

static void wait_for_end(void)
{
        wait_until_readable(life.worker->pidfd);
        run();
        assert_int_equal(life.n_ended, 1);
        assert_int_equal(small_pool_state(life.worker), WORKER_NONE);
        assert_int_equal(life.worker->channel.fd, -1);
}

/* On a busy machine its end is seen in the same turn of the loop. */
static void expect_killed(void)
{
        if (life.n_ended == 0) {
                assert_int_equal(small_pool_state(life.worker), WORKER_KILLED);
                wait_for_end();
        }
        assert_int_equal(life.n_ended, 1);
        assert_non_null(strstr(life.trouble, "ended by SIGKILL"));
}

static int begin(void **state)
{
        leaks_begin(state);
        memset(&life, 0, sizeof(life));
        small_pool_init(&life.pool);
        life.pool.context.on_channel = on_channel;
        life.pool.context.on_exit = on_end;
        life.worker = &life.pool.workers[2];
        life.told = "";
        return 0;
}

static int end(void **state)
{
        if (life.n_ended == 0 && life.worker->pidfd >= 0) {
                process_signal(life.worker->pidfd, SIGKILL);
                wait_until_readable(life.worker->pidfd);
                (void)process_reap(life.worker->pid, life.worker->pidfd);
        }
        process_template_done(&life.pool.context.process);
        small_pool_done(&life.pool);
        return leaks_end(state);
}

static void test_becomes_ready_once(void **state _unused_)
{
        start_ready(3);
        assert_int_equal(life.n_ready, 1);
        say(RECORD_READY, 5, 0);
        assert_int_equal(life.n_ready, 1);
        assert_int_equal(life.pool.rows[2].capacity, 5);
}

static void test_done(void **state _unused_)
{
        uint64_t id;

        start_ready(1);
        id = give_connection();
        assert_int_equal(pool_choose(&life.pool.pool), -1);
        say(RECORD_DONE, 0, id);
        assert_int_equal(life.pool.state.counters.done, 1);
        assert_int_equal(pool_choose(&life.pool.pool), life.worker->row);
}

static void test_violation_kills(void **state _unused_)
{
        start_ready(1);
        say(RECORD_DONE, 0, 12345);
        expect_killed();
}

/* Nothing more is heard of it: it may say a lot. */
static void test_violator_is_not_heard(void **state _unused_)
{
        start_ready(1);
        (void)give_connection();
        say(RECORD_PONG, 7, 0);
        assert_int_equal(small_pool_state(life.worker), WORKER_KILLED);
        small_pool_say(life.worker, RECORD_PONG, 8, 0);
        run();
        wait_for_end();
        assert_int_equal(life.pool.state.counters.lost, 1);
}

/* The gate of a reload is not for such a worker. */
static void test_ready_and_violation_in_one_datagram(void **state _unused_)
{
        struct record records[] = {
                raw_record(RECORD_READY, 1, 0),
                raw_record(RECORD_DONE, 0, 12345),
        };

        start_one(sleeper_argv);
        assert_int_equal(
                raw_send(life.worker->channel.queue_fd, records, sizeof(records), -1, 0), 0);
        run();
        assert_int_equal(life.n_ready, 0);
        expect_killed();
}

static void expect_own_fault(int fd, int error)
{
        int channel_fd = TAKE(life.worker->channel.fd, fd);

        assert_int_equal(worker_hear(life.worker), error);
        assert_int_equal(worker_ask(life.worker, QUESTION_PING), error);
        life.worker->channel.fd = channel_fd;
        assert_int_equal(small_pool_state(life.worker), WORKER_READY);
}

/* It was "broke the protocol: Bad file descriptor. It is killed", one worker after the other. */
static void test_own_fault_is_not_the_workers(void **state _unused_)
{
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        start_ready(1);
        expect_own_fault(-1, -EBADF);
        expect_own_fault(fd, -ENOTSOCK);
        fd_close(fd);
}

/* And it ends the loop. */
static void test_own_fault_ends_the_loop(void **state _unused_)
{
        int channel_fd;

        start_ready(1);
        small_pool_say(life.worker, RECORD_READY, 1, 0);
        channel_fd = TAKE(life.worker->channel.fd, -1);
        assert_int_equal(sd_event_loop(life.pool.loop.event), -EBADF);
        life.worker->channel.fd = channel_fd;
}

static void test_other_error_ends_the_worker(void **state _unused_)
{
        start_ready(1);
        assert_int_equal(worker_cannot_talk(life.worker, -EACCES), 0);
        assert_int_equal(small_pool_state(life.worker), WORKER_KILLED);
}

static void hang_up(void)
{
        assert_int_equal(shutdown(life.worker->channel.queue_fd, SHUT_WR), 0);
        run();
}

/* It was "broke the protocol", just before its exit with status 0. */
static void test_shutdown_after_drain(void **state _unused_)
{
        start_ready(1);
        worker_drain(life.worker, POOL_DRAIN_STOP);
        hang_up();
        assert_int_equal(small_pool_state(life.worker), WORKER_DRAINING);
        process_signal(life.worker->pidfd, SIGTERM);
        wait_for_end();
        assert_false(life.failed);
}

/* What it had not finished is lost at its end, and it is not killed for that. */
static void test_shutdown_with_a_connection(void **state _unused_)
{
        start_ready(1);
        (void)give_connection();
        worker_drain(life.worker, POOL_DRAIN_STOP);
        hang_up();
        assert_int_equal(small_pool_state(life.worker), WORKER_DRAINING);
        assert_int_equal(life.pool.pool.counters->lost, 0);
        assert_int_equal(life.pool.pool.slots.n_used, 1);
}

static void test_shutdown_while_it_serves(void **state _unused_)
{
        start_ready(1);
        hang_up();
        expect_killed();
}

static void test_failed_start(void **state _unused_)
{
        start_one(exit_3_argv);
        wait_for_end();
        assert_true(life.failed);
        assert_string_equal(life.trouble, "the last one exited with status 3 before it had served");
}

/* It "was ended by SIGKILL", which was the dispatcher's own, and said nothing of why. */
static void test_violation_is_why_a_start_failed(void **state _unused_)
{
        start_ready(1);
        say(RECORD_DONE, 0, 12345);
        wait_for_end();
        assert_true(life.failed);
        assert_string_equal(life.trouble,
                "the last one was ended by SIGKILL: DONE for a connection that it does not have");
}

/* What executes the program says so, and exits as any worker might. */
static void test_program_that_is_not_there(void **state _unused_)
{
        start_one(sleeper_argv);
        say(RECORD_NOT_STARTED, ENOENT, 0);
        assert_int_equal(small_pool_state(life.worker), WORKER_STARTING);
        process_signal(life.worker->pidfd, SIGKILL);
        wait_for_end();
        assert_true(life.failed);
        assert_string_equal(life.trouble, "cannot start /bin/sleep: No such file or directory");

        /* and the next one in this place has not that trouble */
        life.n_ended = 0;
        process_template_done(&life.pool.context.process);
        start_one(exit_3_argv);
        wait_for_end();
        assert_string_equal(life.trouble, "the last one exited with status 3 before it had served");
}

/* Its last words come before its death, and its queue outlives it. */
static void test_death_with_a_queue(void **state _unused_)
{
        struct pool *pool = &life.pool.pool;
        uint64_t first, second;
        struct slot *slot;

        start_ready(2);
        first = give_connection();
        slot = pool_accepted(pool, 0, usec_now());
        pool_assign(pool, slot, life.worker->row);
        assert_int_equal(
                channel_send_connection(&life.worker->channel, slot->id, 0, 0, life.worker->pidfd),
                0);
        pool_sent(pool, slot);
        second = slot->id;

        process_signal(life.worker->pidfd, SIGKILL);
        wait_until_readable(life.worker->pidfd);
        small_pool_say(life.worker, RECORD_DONE, 0, first);
        run();
        assert_int_equal(life.pool.state.counters.done, 1);
        assert_int_equal(small_pool_state(life.worker), WORKER_DEAD);

        assert_true(small_pool_receive(life.worker, &first) > 0);
        assert_int_equal(first, second);
        assert_non_null(pool_take_back(pool, life.worker->row, second));
        worker_queue_empty(life.worker);
        assert_int_equal(small_pool_state(life.worker), WORKER_NONE);
}

#define LIFE(test) cmocka_unit_test_setup_teardown(test, begin, end)

/* Begins with a worker that notes. Returns where. */
static struct finished *start_noting(void)
{
        struct record record;
        struct finished *noted;
        const char *why;
        int fd = -1;

        life.pool.pool.offers = RECORD_FEATURES;
        start_one(sleeper_argv);
        say(RECORD_READY, 4, RECORD_FEATURE_FINISHED);
        assert_int_equal(wire_receive(life.worker->channel.queue_fd, false, &record, &fd, &why), 0);
        assert_int_equal(record.type, RECORD_FINISHED);
        assert_int_equal(ftruncate(fd, 1), -1); /* reading it must not be a signal */
        noted = mmap(NULL, sizeof(*noted), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(noted != MAP_FAILED);
        fd_close(fd);
        return noted;
}

/* It had finished one of two, and had not come to say so: that one was counted as lost, too. */
static void test_end_that_was_not_told_is_not_lost(void **state _unused_)
{
        struct finished *noted = start_noting();
        uint64_t first;

        first = give_connection();
        (void)give_connection();
        noted->ids[7] = first;
        noted->ids[8] = first + 1; /* whatever else is there is of no consequence */
        process_signal(life.worker->pidfd, SIGKILL);
        wait_for_end();
        assert_int_equal(life.pool.pool.counters->done, 1);
        assert_int_equal(life.pool.pool.counters->lost, 1);
        assert_int_equal(munmap(noted, sizeof(*noted)), 0);
}

/* Connections whose clients had their answers were counted as all others. */
static void test_idle_ones_are_told_from_the_lost(void **state _unused_)
{
        struct finished *noted = start_noting();

        for (unsigned i = 0; i < 3; i++)
                (void)give_connection();
        noted->idle = 2;
        process_signal(life.worker->pidfd, SIGKILL);
        wait_for_end();
        assert_int_equal(life.pool.pool.counters->lost, 3);
        assert_int_equal(life.pool.pool.state->lost_idle, 2);
        assert_int_equal(munmap(noted, sizeof(*noted)), 0);
}

/* It may write what it likes. */
static void test_no_more_is_idle_than_is_lost(void **state _unused_)
{
        struct finished *noted = start_noting();

        (void)give_connection();
        noted->idle = UINT64_MAX;
        process_signal(life.worker->pidfd, SIGKILL);
        wait_for_end();
        assert_int_equal(life.pool.pool.counters->lost, 1);
        assert_int_equal(life.pool.pool.state->lost_idle, 1);
        assert_int_equal(munmap(noted, sizeof(*noted)), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                LIFE(test_becomes_ready_once),
                LIFE(test_done),
                LIFE(test_violation_kills),
                LIFE(test_violator_is_not_heard),
                LIFE(test_ready_and_violation_in_one_datagram),
                LIFE(test_own_fault_is_not_the_workers),
                LIFE(test_own_fault_ends_the_loop),
                LIFE(test_other_error_ends_the_worker),
                LIFE(test_shutdown_after_drain),
                LIFE(test_shutdown_with_a_connection),
                LIFE(test_shutdown_while_it_serves),
                LIFE(test_failed_start),
                LIFE(test_violation_is_why_a_start_failed),
                LIFE(test_program_that_is_not_there),
                LIFE(test_death_with_a_queue),
                LIFE(test_end_that_was_not_told_is_not_lost),
                LIFE(test_idle_ones_are_told_from_the_lost),
                LIFE(test_no_more_is_idle_than_is_lost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
