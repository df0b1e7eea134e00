/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Priorities and turns: src/os/loop.c. Each source is a pipe that always has something to read. */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "leaks.h"
#include "os/loop.h"

#define SOURCES 3

static struct {
        struct loop loop;
        int fds[2];
        sd_event_source *sources[SOURCES];
        char served[8]; /* in which order */
        size_t n;
        int error; /* of the callback */
} test;

static int on_io(
        sd_event_source *source, int fd _unused_, uint32_t revents _unused_, void *userdata)
{
        test.served[test.n++] = *(const char *)userdata;
        if (test.error < 0)
                return test.error;

        return loop_go_to_the_end(&test.loop, source);
}

static void begin(bool take_turns)
{
        memset(&test, 0, sizeof(test));
        assert_int_equal(loop_init(&test.loop, take_turns), 0);
        assert_int_equal(pipe2(test.fds, O_CLOEXEC), 0);
        assert_int_equal(write(test.fds[1], "x", 1), 1);
}

/* The same file cannot be twice in an epoll set, its copies can. */
static void add(size_t i, const char *name, enum priority priority)
{
        int copy = fcntl(test.fds[0], F_DUPFD_CLOEXEC, 0);

        assert_true(copy >= 0);
        assert_int_equal(loop_add_io(&test.loop, &test.sources[i], copy, on_io,
                                 (void *)(uintptr_t)name, priority),
                0);
        assert_int_equal(sd_event_source_set_io_fd_own(test.sources[i], true), 0);
}

static void run(size_t n)
{
        for (size_t i = 0; i < n; i++)
                assert_true(sd_event_run(test.loop.event, 0) > 0);
}

static void end(void)
{
        for (size_t i = 0; i < SOURCES; i++)
                sd_event_source_disable_unref(test.sources[i]);
        fd_close(test.fds[0]);
        fd_close(test.fds[1]);
        loop_deinit(&test.loop);
}

static void test_turns(void **state _unused_)
{
        begin(true);
        add(0, "a", PRIORITY_LISTENER);
        add(1, "b", PRIORITY_LISTENER);
        add(2, "c", PRIORITY_LISTENER);
        run(6);
        assert_memory_equal(test.served, test.served + 3, 3); /* each once, in one order */
        assert_int_equal(test.loop.turn, 6);
        end();
}

/* A client of the control socket is new in a loop with one listener: with sd-event's own priority
 * it would come after everything. */
static void test_priority_without_turns(void **state _unused_)
{
        int64_t priority;

        begin(false);
        add(0, "a", PRIORITY_LISTENER);
        assert_int_equal(sd_event_source_set_priority(test.sources[0], 0), 0);
        assert_int_equal(loop_go_to_the_end(&test.loop, test.sources[0]), 0);
        assert_int_equal(sd_event_source_get_priority(test.sources[0], &priority), 0);
        assert_int_equal(priority, PRIORITY_LISTENER);
        end();
}

static void test_last_words_before_the_death(void **state _unused_)
{
        begin(true);
        add(0, "l", PRIORITY_LISTENER);
        add(1, "x", PRIORITY_EXIT);
        add(2, "c", PRIORITY_CHANNEL);
        run(3);
        assert_string_equal(test.served, "cxl");
        end();
}

static void test_failure_ends_the_loop(void **state _unused_)
{
        begin(false);
        test.error = -EBADF;
        add(0, "a", PRIORITY_CHANNEL);
        assert_int_equal(sd_event_loop(test.loop.event), -EBADF);
        assert_int_equal(test.n, 1);
        end();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_turns),
                WITHOUT_LEAKS(test_priority_without_turns),
                WITHOUT_LEAKS(test_last_words_before_the_death),
                WITHOUT_LEAKS(test_failure_ends_the_loop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
