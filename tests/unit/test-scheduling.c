/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which scheduling policy the dispatcher and its workers have: src/os/process.c. Each test runs in
 * a child, since not every policy can be left again.
 */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "started.h"

static bool set_policy(int policy)
{
        const struct sched_param parameters = {};

        return sched_setscheduler(0, policy, &parameters) == 0;
}

/* As a system call filter without @resources */
static bool forbid_policies(void)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setscheduler, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
               prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Returns the policy of a process that is started so, or -errno. */
static int policy_of_started(bool leave_batch, bool is_check)
{
        struct process_template template = make_template(stay_argv);
        int fd = memfd_create("anything", MFD_CLOEXEC), pidfd, policy, r;
        pid_t pid;

        template.leave_batch = leave_batch;
        r = is_check ? process_spawn_check(&template, template.argv,
                               &(struct process_check_fds){ fd, fd, fd }, &pid, &pidfd)
                     : process_spawn(&template, 1, fd, &pid, &pidfd);
        process_template_done(&template);
        fd_close(fd);
        if (r < 0)
                return r;

        wait_until_stopped(pidfd);
        policy = sched_getscheduler(pid);
        process_signal(pidfd, SIGKILL);
        wait_until_readable(pidfd);
        (void)process_reap(pid, pidfd);
        fd_close(pidfd);
        return policy;
}

/* Starts as the unit chose, and looks at this process, a worker, one that is to leave batch, and a
 * check. */
static int expect(int of_the_unit, bool forbidden, int here, int worker, int leaving)
{
        if (!set_policy(of_the_unit) || (forbidden && !forbid_policies()))
                return 1;

        process_set_batch();
        if (sched_getscheduler(0) != here)
                return 2;
        if (policy_of_started(false, false) != worker)
                return 3;
        if (policy_of_started(true, false) != leaving)
                return 4;
        if (policy_of_started(false, true) != worker)
                return 5;

        return sched_getscheduler(0) == here ? 0 : 6; /* and nothing has changed it */
}

static void check(int of_the_unit, bool forbidden, int here, int worker, int leaving)
{
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(expect(of_the_unit, forbidden, here, worker, leaving));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_in_a_terminal_all_get_batch(void **state)
{
        (void)state;
        check(SCHED_OTHER, false, SCHED_BATCH, SCHED_BATCH, SCHED_OTHER);
}

static void test_unit_with_batch(void **state)
{
        (void)state;
        check(SCHED_BATCH, false, SCHED_BATCH, SCHED_BATCH, SCHED_OTHER);
}

static void test_another_policy_of_the_unit_stays(void **state)
{
        (void)state;
        check(SCHED_IDLE, false, SCHED_IDLE, SCHED_IDLE, SCHED_IDLE);
}

/* posix_spawn() with a policy fails then, and no worker would start. */
static void test_filter_that_forbids_policies(void **state)
{
        (void)state;
        check(SCHED_OTHER, true, SCHED_OTHER, SCHED_OTHER, SCHED_OTHER);
        check(SCHED_BATCH, true, SCHED_BATCH, SCHED_BATCH, SCHED_BATCH);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_in_a_terminal_all_get_batch),
                WITHOUT_LEAKS(test_unit_with_batch),
                WITHOUT_LEAKS(test_another_policy_of_the_unit_stays),
                WITHOUT_LEAKS(test_filter_that_forbids_policies),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
