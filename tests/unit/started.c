/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starts, waits and reaps. Called by test-process.c. */

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "started.h"

static char shell[] = "/bin/sh", option[] = "-c", stay[] = "kill -STOP $$";
char *const stay_argv[] = { shell, option, stay, NULL };

struct process_template make_template(char *const *argv)
{
        struct process_template template;

        assert_int_equal(
                process_template_init(&template, (char **)(uintptr_t)argv, "web", "http:https", 5),
                0);
        return template;
}

void wait_until_readable(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&p, 1, -1), 1);
}

void wait_until_stopped(int pidfd)
{
        siginfo_t info;

        assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WSTOPPED), 0);
        assert_int_equal(info.si_code, CLD_STOPPED);
}

int try_start(char *const *argv, uint64_t number, struct started *ret)
{
        struct process_template template = make_template(argv);
        int pair[2], r;

        open_pair(SOCK_SEQPACKET, pair);
        ret->here = pair[0];
        r = process_spawn(&template, number, pair[1], &ret->pid, &ret->pidfd);
        process_template_done(&template);
        fd_close(pair[1]);
        if (r < 0)
                fd_close(pair[0]);
        else if (argv == stay_argv)
                wait_until_stopped(ret->pidfd);

        return r;
}

struct started start(char *const *argv)
{
        struct started s;

        assert_int_equal(try_start(argv, 7, &s), 0);
        return s;
}

struct started start_shell(char *script)
{
        char *argv[] = { shell, option, script, NULL };

        return start(argv);
}

struct process_end reap(struct started *s)
{
        struct process_end end;

        wait_until_readable(s->pidfd);
        end = process_reap(s->pid, s->pidfd);
        fd_close(s->pidfd);
        fd_close(s->here);
        return end;
}

struct process_end end_it(struct started *s)
{
        process_signal(s->pidfd, SIGKILL);
        return reap(s);
}
