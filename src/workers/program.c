/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Starting a program for an adapter. It must not know what the program is for.
 *
 * posix_spawn() cannot do it: the program wants to know its own number before it runs
 * (LISTEN_PID=), and has to die with the adapter (PR_SET_PDEATHSIG). vfork() can, and costs as
 * little: parent and child share the memory until the child executes the program, so the child
 * only makes system calls and writes numbers into buffers that stand ready.
 */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/program.h"

/* Writes `pid` behind the '=' of "NAME=...". */
static void write_own_pid(char *assignment, pid_t pid)
{
        char digits[16];
        size_t n = 0;
        char *to = strchr(assignment, '=') + 1;

        do
                digits[n++] = (char)('0' + pid % 10);
        while ((pid /= 10) > 0);
        while (n > 0)
                *to++ = digits[--n];
        *to = '\0';
}

static void reset_signals(void)
{
        const struct sigaction standard = { .sa_handler = SIG_DFL };
        sigset_t none;

        /* Fails for the numbers that have no handler, which is as well. */
        for (int signal = 1; signal < NSIG; signal++)
                (void)sigaction(signal, &standard, NULL);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns 0 or -errno. */
static int set_descriptors(const struct program *program)
{
        if (program->input_fd >= 0 && dup2(program->input_fd, STDIN_FILENO) < 0)
                return -errno;
        for (size_t i = 0; i < program->n_fds; i++)
                if (dup2(program->fds[i], STDERR_FILENO + 1 + (int)i) < 0)
                        return -errno;
        if (syscall(SYS_close_range, STDERR_FILENO + 1U + (unsigned)program->n_fds, ~0U, 0) < 0)
                return -errno;

        return 0;
}

/* In the child, and only there. Returns -errno where the program cannot be executed. */
static int execute(const struct program *program, pid_t parent)
{
        int r;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        if (getppid() != parent) /* it died before it could have been noticed */
                return -ESRCH;

        reset_signals();
        r = set_descriptors(program);
        if (r < 0)
                return r;
        for (char *const *own = program->own_pid; own && *own; own++)
                write_own_pid(*own, getpid());

        (void)execvpe(program->argv[0], program->argv, program->environment);
        return -errno;
}

int program_start(const struct program *program, pid_t *ret_pid)
{
        volatile int failed = 0; /* the child writes it */
        sigset_t all, before;
        pid_t parent = getpid(), pid;

        /* No handler of this process may run in the child. */
        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, &before);
        pid = vfork();
        if (pid == 0) {
                failed = execute(program, parent);
                _exit(127);
        }
        if (pid < 0)
                failed = -errno;
        (void)sigprocmask(SIG_SETMASK, &before, NULL);

        if (pid > 0 && failed < 0)
                (void)waitpid(pid, NULL, 0);
        if (failed < 0)
                return failed;

        *ret_pid = pid;
        return 0;
}
