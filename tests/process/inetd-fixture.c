/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* acceptd-inetd under a dispatcher under test. */

#include <sys/wait.h>

#include "inetd-fixture.h"
#include "procfs.h"

#define ARGUMENTS_MAX 16

const char *const *inetd_command(const char *const *arguments)
{
        static char program[PATH_MAX];
        static const char *command[ARGUMENTS_MAX];
        size_t n = 0;

        (void)snprintf(program, sizeof(program), "%s", harness_path("../../acceptd-inetd"));
        command[n++] = program;
        for (; *arguments; arguments++) {
                assert_true(n + 1 < ARGUMENTS_MAX);
                command[n++] = *arguments;
        }
        command[n] = NULL;

        return command;
}

char *inetd_ask(struct harness *h, size_t listener)
{
        struct client client;

        client_open(h, &client, listener);
        return client_await_all(h, &client);
}

pid_t inetd_open(struct harness *h, struct client *ret_client)
{
        client_open(h, ret_client, 0);
        return (pid_t)strtol(client_await_line(h, ret_client), NULL, 10);
}

pid_t inetd_worker(const struct harness *h)
{
        pid_t worker;

        assert_int_equal(procfs_children(h->pid, &worker, 1), 1);
        return worker;
}

void inetd_await_orphan(struct harness *h, pid_t pid)
{
        harness_await_death(h, pid);
        (void)waitpid(pid, NULL, 0);
}
