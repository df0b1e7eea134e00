/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptd-confine: what a program that it executes can still do, on this kernel, on older ones (a
 * filter of system calls answers for them), and where it cannot be confined.
 */

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "harness.h"
#include "wire/wire.h"

#define ABI_WITH_REFER  2
#define ABI_WITH_SCOPES 6
#define ARGUMENTS_MAX   16

/* Says what it can do to its parent, to process $1, and to a child; and whether a file may be in
 * two folders. */
static const char script[] =
        "try() {\n"
        "        (: <>\"/proc/$2/mem\") 2>/dev/null && echo \"memory of $1\"\n"
        "        kill -0 \"$2\" 2>/dev/null && echo \"signal to $1\"\n"
        "}\n"
        "try parent $PPID\n"
        "try sibling \"$1\"\n"
        "sleep 60 &\n"
        "try child $!\n"
        "kill $!\n"
        "cd \"$2\" && mkdir a b && : >a/file && ln a/file b/file && echo file in two folders\n"
        "rm -r a b\n";

#define OWN     "memory of child\nsignal to child\nfile in two folders\n"
#define SIGNALS "signal to parent\nsignal to sibling\n"

static int landlock_abi(void)
{
        return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* Confining wants no_new_privs, or root. */
static void no_new_privs(void)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                _exit(126);
}

/* --- Kernels --- */

/* Installs a filter: `verdict` on the question which Landlock there is. Returns its listener. */
static int filter(unsigned verdict, unsigned flags)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LANDLOCK_CREATE_RULESET_VERSION, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, verdict),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        no_new_privs();
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void forbid(void)
{
        if (filter(SECCOMP_RET_ERRNO | EPERM, 0) < 0)
                _exit(126);
}

/* From now on the kernel has this version of Landlock: a child of this process says so, once. */
static void pretend(int abi)
{
        struct seccomp_notif question = {};
        struct seccomp_notif_resp answer = { .val = abi };
        int fd = filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);

        if (fd < 0)
                _exit(126);
        if (fork() != 0) {
                (void)close(fd);
                return;
        }

        (void)close(STDOUT_FILENO);
        (void)close(STDERR_FILENO);
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &question) == 0) {
                answer.id = question.id;
                (void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
        }
        _exit(0);
}

static void pretend_linux_6_1(void)
{
        pretend(ABI_WITH_REFER);
}

static void pretend_linux_5_13(void)
{
        pretend(1);
}

/* In place of a kernel: without acceptd-confine */
static void unconfined(void)
{
}

/* --- Programs --- */

static pid_t start(void (*prepare)(void), const char *const *argv, int out, int err)
{
        const char *confined[ARGUMENTS_MAX] = { harness_path("../../acceptd-confine") };
        const char **first = prepare == unconfined ? confined + 1 : confined;
        pid_t pid;

        for (size_t i = 0; argv[i]; i++) {
                assert_true(i + 2 < ARGUMENTS_MAX);
                confined[i + 1] = argv[i];
        }
        pid = fork();
        assert_true(pid >= 0);
        if (pid > 0)
                return pid;

        (void)dup2(out, STDOUT_FILENO);
        (void)dup2(err, STDERR_FILENO);
        if (prepare)
                prepare();
        execv(first[0], (char *const *)(uintptr_t)first);
        _exit(127);
}

static int await_status(pid_t pid)
{
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

/* Runs a program behind acceptd-confine, and returns what it wrote; static. */
static const char *run(void (*prepare)(void), const char *const *argv, int *ret_status)
{
        static char text[4096];
        size_t size = 0;
        int ends[2];
        ssize_t n;
        pid_t pid;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid = start(prepare, argv, ends[1], ends[1]);
        fd_close(ends[1]);
        while ((n = read(ends[0], text + size, sizeof(text) - 1 - size)) > 0)
                size += (size_t)n;
        text[size] = '\0';
        fd_close(ends[0]);
        *ret_status = await_status(pid);
        return text;
}

/* Runs the script beside a sibling that was started in the same way. */
static const char *try_all(const struct harness *h, void (*prepare)(void))
{
        const char *text;
        char number[16];
        pid_t sibling;
        int status;

        sibling = start(prepare, WORDS("/bin/sleep", "60"), STDOUT_FILENO, STDERR_FILENO);
        (void)snprintf(number, sizeof(number), "%d", (int)sibling);
        text = run(prepare, WORDS("/bin/sh", "-c", script, "sh", number, h->dir), &status);
        assert_int_equal(kill(sibling, SIGKILL), 0);
        assert_int_equal(waitpid(sibling, NULL, 0), sibling);
        return text;
}

static void test_worker_reaches_only_its_own(void **state)
{
        struct harness *h = *state;

        if (landlock_abi() < ABI_WITH_SCOPES)
                harness_skip(h, "Linux before 6.12, or a sandbox without Landlock");
        assert_string_equal(try_all(h, no_new_privs), OWN);
        h->finished = true;
}

/* Landlock of Linux 5.19 to 6.11 knows no signals, and denies links between folders by itself. */
static void test_older_kernel_keeps_memory_apart_and_files_usable(void **state)
{
        struct harness *h = *state;

        if (landlock_abi() < ABI_WITH_REFER)
                harness_skip(h, "Linux before 5.19, or a sandbox without Landlock");
        assert_string_equal(try_all(h, pretend_linux_6_1), SIGNALS OWN);
        h->finished = true;
}

/* All is as it is without. */
static void expect_nothing_taken(struct harness *h, void (*prepare)(void))
{
        char without[512];

        (void)snprintf(without, sizeof(without), "%s", try_all(h, unconfined));
        assert_non_null(strstr(without, "signal to sibling\n"));
        assert_string_equal(try_all(h, prepare), without);
        h->finished = true;
}

/* The first version could only deny them. */
static void test_first_landlock_is_left_alone(void **state)
{
        expect_nothing_taken(*state, pretend_linux_5_13);
}

static void test_sandbox_without_landlock(void **state)
{
        expect_nothing_taken(*state, forbid);
}

/* Set-user-ID programs would not work any more. */
static void test_privileges_are_left_as_they_are(void **state)
{
        char expected[32];
        int status;

        (void)snprintf(expected, sizeof(expected), "NoNewPrivs:\t%d\n",
                prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
        assert_string_equal(
                run(NULL, WORDS("/bin/grep", "NoNewPrivs:", "/proc/self/status"), &status),
                expected);
        ((struct harness *)*state)->finished = true;
}

/* --- A program that cannot be executed --- */

static void test_program_that_cannot_be_executed(void **state)
{
        const char *const *argv = WORDS("/nonexistent/worker");
        struct wire_batch batch;
        char number[16];
        int pair[2], status;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        (void)snprintf(number, sizeof(number), "%d", pair[1]);
        assert_int_equal(setenv("ACCEPTD_CHANNEL", number, 1), 0);
        assert_string_equal(run(no_new_privs, argv, &status), "");
        assert_int_equal(unsetenv("ACCEPTD_CHANNEL"), 0);
        assert_int_equal(status, EX_UNAVAILABLE);
        assert_int_equal(wire_receive_batch(pair[0], &batch), 0);
        assert_int_equal(batch.n_records, 1);
        assert_int_equal(batch.records[0].type, RECORD_NOT_STARTED);
        assert_int_equal(batch.records[0].value, ENOENT);
        fd_close(pair[0]);
        fd_close(pair[1]);

        assert_string_equal(run(no_new_privs, argv, &status),
                "Cannot execute /nonexistent/worker: No such file or directory\n");
        assert_int_equal(status, EX_UNAVAILABLE);
        ((struct harness *)*state)->finished = true;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_worker_reaches_only_its_own),
                HARNESS_TEST(test_older_kernel_keeps_memory_apart_and_files_usable),
                HARNESS_TEST(test_first_landlock_is_left_alone),
                HARNESS_TEST(test_sandbox_without_landlock),
                HARNESS_TEST(test_privileges_are_left_as_they_are),
                HARNESS_TEST(test_program_that_cannot_be_executed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
