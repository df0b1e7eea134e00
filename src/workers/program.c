/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Starting programs for an adapter, and ending them with it. It must not know what they are for.
 *
 * posix_spawn() cannot do it: the program wants to know its own number before it runs
 * (LISTEN_PID=), and has to die with the adapter (PR_SET_PDEATHSIG). vfork() can, and costs as
 * little: parent and child share the memory until the child executes the program. So the child only
 * makes system calls, and writes numbers into buffers that stand ready.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/program.h"

/* --- The start --- */

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

        /* It fails for the numbers that have no handler, which is as well. */
        for (int signal = 1; signal < NSIG; signal++)
                (void)sigaction(signal, &standard, NULL);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns 0 or -errno. */
static int set_descriptors(const struct program *program)
{
        for (int i = 0; i < (int)program->n_fds; i++) {
                int fd = program->fds[i];

                if (fd >= 0 && (fd == i ? fcntl(fd, F_SETFD, 0) : dup2(fd, i)) < 0)
                        return -errno;
        }

        return syscall(SYS_close_range, (unsigned)program->n_fds, ~0U, 0) < 0 ? -errno : 0;
}

/* In the child, and only there. Returns -errno where the program cannot be executed. */
static int execute(const struct program *program, pid_t parent)
{
        pid_t self = getpid();
        int r;

        if (program->own_group && setpgid(0, 0) < 0)
                return -errno;
        if (program->note)
                *program->note = self;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        if (getppid() != parent) /* it died before that could have been noticed */
                return -ESRCH;

        reset_signals();
        r = set_descriptors(program);
        if (r < 0)
                return r;
        for (char *const *own = program->own_pid; own && *own; own++)
                write_own_pid(*own, self);

        (void)execve(program->path, program->argv, program->environment);
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
        pid = vfork(); /* NOLINT: the child does what is said above and no more */
        if (pid == 0) {
                failed = execute(program, parent); /* NOLINT: the same */
                _exit(127);
        }
        if (pid < 0)
                failed = -errno;
        (void)sigprocmask(SIG_SETMASK, &before, NULL);

        if (pid > 0 && failed < 0) {
                (void)waitpid(pid, NULL, 0);
                if (program->note)
                        *program->note = 0;
        }
        if (failed < 0)
                return failed;

        *ret_pid = pid;
        return 0;
}

/* --- The guard --- */

/* Waits for the end of the adapter, which is told by a signal that others may send, too. */
static _Noreturn void stand_guard(const struct guard *guard, pid_t parent)
{
        sigset_t all;
        int signal;

        (void)setpgid(0, 0); /* it must not be ended with the adapter */
        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, NULL);
        (void)prctl(PR_SET_PDEATHSIG, SIGUSR1);
        (void)syscall(SYS_close_range, 0U, ~0U, 0);

        while (getppid() == parent)
                (void)sigwait(&all, &signal);
        for (size_t i = 0; i < guard->n; i++)
                if (guard->groups[i] > 1)
                        (void)kill(-guard->groups[i], SIGKILL);
        _exit(0);
}

int guard_restart(struct guard *guard)
{
        pid_t parent = getpid(), pid = fork();

        if (pid == 0)
                stand_guard(guard, parent);

        guard->pid = MAX(pid, 0);
        return pid < 0 ? -errno : 0;
}

int guard_init(struct guard *guard, size_t n)
{
        *guard = (struct guard){ .n = n };
        guard->groups = mmap(
                NULL, n * sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (guard->groups == MAP_FAILED) {
                guard->groups = NULL;
                return -errno;
        }

        return guard_restart(guard);
}

void guard_done(struct guard *guard)
{
        if (guard->pid > 0) {
                (void)kill(guard->pid, SIGKILL);
                (void)waitpid(guard->pid, NULL, 0);
                guard->pid = 0;
        }
        if (guard->groups)
                (void)munmap(guard->groups, guard->n * sizeof(pid_t));
        guard->groups = NULL;
}
