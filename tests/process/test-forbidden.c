/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A system call filter that forbids accept4(): nothing is taken out of the backlog, so the listener
 * stays readable. The filter is this process' own, and its children's for good.
 */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "client.h"

static void forbid_accept(void)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_accept4, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* REVIEW 1.14: 50,000 calls a second, and not a word. */
static void test_accept_that_always_fails(void **state)
{
        struct harness *h = *state;
        struct client client;

        forbid_accept();
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=echo"));
        harness_await_workers(h, 1);
        client_open(h, &client, 0);
        harness_await_line(h, "New connections wait: Operation not permitted", "SystemCallFilter=");
        harness_await_notify(h, "STATUS=", "accepting a connection is not permitted");
        (void)harness_counters(h);
        assert_int_equal(harness_count_lines(h, "New connections wait"), 1);
        assert_true(client_waits(h, &client));
        client_close(&client);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_accept_that_always_fails),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
