/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How large processes are: src/os/memory.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/memory.h"

#define SIZE ((size_t)64 << 20)

/* Of this process' own, and not to be shared with a child that is forked later. */
static void take(void)
{
        void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        assert_ptr_not_equal(memory, MAP_FAILED);
        memset(memory, 1, SIZE);
}

/* Returns in the parent when the child is done with it. */
static pid_t start(void (*run)(int ready), int *ret_reader)
{
        int both[2];
        char byte;
        pid_t pid;

        assert_int_equal(pipe2(both, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                run(both[1]);
                for (;;)
                        (void)pause();
        }

        close(both[1]);
        assert_int_equal(read(both[0], &byte, 1), 1);
        *ret_reader = both[0];
        return pid;
}

static void end(pid_t pid, int reader)
{
        assert_int_equal(kill(-pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close(reader);
}

static void take_and_say(int ready)
{
        (void)setpgid(0, 0);
        take();
        (void)!write(ready, "", 1);
}

static void *run_thread(void *ready)
{
        if (fork() == 0) {
                take();
                (void)!write(*(int *)ready, "", 1);
        }
        for (;;)
                (void)pause();
        return NULL;
}

/* The large one is the child of a child, which a thread has started. */
static void start_thread(int ready)
{
        pthread_t thread;

        (void)setpgid(0, 0);
        if (fork() == 0)
                (void)pthread_create(&thread, NULL, run_thread, &ready);
        for (;;)
                (void)pause();
}

static void test_own_memory_counts(void **state)
{
        uint64_t size, plain;
        int reader;
        pid_t pid;

        (void)state;
        plain = memory_measure(getpid());
        assert_in_range(plain, 100000, UINT64_MAX);
        pid = start(take_and_say, &reader);
        size = memory_measure(pid);
        assert_in_range(size, SIZE, SIZE + plain + (8 << 20));
        end(pid, reader);
}

static void test_memory_of_descendants_counts(void **state)
{
        int reader;
        pid_t pid;

        (void)state;
        pid = start(start_thread, &reader);
        assert_in_range(memory_measure(pid), SIZE, UINT64_MAX);
        end(pid, reader);
}

static void test_nobody_has_none(void **state)
{
        int reader;
        pid_t pid;

        (void)state;
        pid = start(take_and_say, &reader);
        end(pid, reader);
        assert_int_equal(memory_measure(pid), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_own_memory_counts),
                cmocka_unit_test(test_memory_of_descendants_counts),
                cmocka_unit_test(test_nobody_has_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
