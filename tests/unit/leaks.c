/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a test left behind, and helpers. Called by the tests in this folder.
 */

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "leaks.h"

#define DEADLINE_SEC 60 /* only a test that hangs meets it */

static int n_fds;
static struct rlimit limit;

static bool has_children(void)
{
        siginfo_t info;

        return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

int leaks_begin(void **state)
{
        (void)state;
        alarm(DEADLINE_SEC);
        n_fds = fd_count();
        assert_true(n_fds > 0);
        assert_false(has_children());
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);

        return 0;
}

/* Ends what a failed test started: children that go on hold up whoever reads this program's output,
 * and fail the tests that follow. As far as /proc tells them. */
static void end_children(void)
{
        _cleanup_(fclosep) FILE *f = fopen("/proc/thread-self/children", "re");
        int pid;

        while (f && fscanf(f, "%d", &pid) == 1) {
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0);
        }
}

int leaks_end(void **state)
{
        bool children = has_children();

        (void)state;
        alarm(0);
        end_children();
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(fd_count(), n_fds);
        assert_false(children);

        return 0;
}

uint64_t inode_of(int fd)
{
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return st.st_ino;
}

void open_pair(int type, int pair[static 2])
{
        assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
}

/* Returns what the next descriptor would be. */
static int next_fd(void)
{
        int fd = dup(STDIN_FILENO);

        assert_true(fd >= 0);
        return fd_close(fd), fd;
}

void leave_descriptors(int n)
{
        struct rlimit low = limit;

        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0); /* it may be low already */
        /* Numbers below the next one are all in use, but numbers above it may be, too. */
        low.rlim_cur = (rlim_t)(next_fd() + n);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
}

int run_in_child(int (*body)(void))
{
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(body());

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}
