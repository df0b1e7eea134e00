/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is ended after a crash, and what is not: src/takeover/leftovers.c. The list of the control
 * group is a file that the test writes.
 */

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leaks.h"
#include "os/store.h"
#include "takeover/leftovers.h"

static char folder[] = "/tmp/acceptd-leftovers-XXXXXX";
static char list_path[sizeof(folder) + 32];

/* A process that is no child of this one, and perhaps one of its own in another session. */
struct orphan {
        pid_t pid, child;
        int pidfd, child_pidfd;
};

static void __attribute__((noreturn)) be_orphan(int fd, pid_t group, bool with_child)
{
        struct orphan o = { .pid = getpid() };
        int ends[2];
        char byte = 0;

        alarm(60);
        if (setpgid(0, group) < 0 || pipe(ends) < 0)
                _exit(1);
        o.child = with_child ? fork() : 0;
        if (with_child && o.child == 0) {
                (void)setsid();
                (void)!write(ends[1], &byte, 1);
                for (;;)
                        (void)pause();
        }

        if (with_child && read(ends[0], &byte, 1) != 1)
                _exit(1);
        (void)!write(fd, &o, sizeof(o));
        for (;;)
                (void)pause();
}

/* `group`: the process group that it joins; 0: its own */
static struct orphan start_orphan(pid_t group, bool with_child)
{
        struct orphan o;
        int ends[2];
        pid_t between;

        assert_int_equal(pipe(ends), 0);
        between = fork();
        assert_true(between >= 0);
        if (between == 0) {
                if (fork() == 0)
                        be_orphan(ends[1], group, with_child);
                _exit(0);
        }

        assert_int_equal(waitpid(between, NULL, 0), between);
        assert_int_equal(read(ends[0], &o, sizeof(o)), sizeof(o));
        fd_close(ends[0]);
        fd_close(ends[1]);
        o.pidfd = pidfd_open(o.pid, 0);
        o.child_pidfd = with_child ? pidfd_open(o.child, 0) : -1;
        assert_true(o.pidfd >= 0);
        return o;
}

static bool has_ended(int pidfd, int timeout)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, timeout) == 1;
}

static void end_orphan(struct orphan *o)
{
        (void)pidfd_send_signal(o->pidfd, SIGKILL, NULL, 0);
        if (o->child_pidfd >= 0)
                (void)pidfd_send_signal(o->child_pidfd, SIGKILL, NULL, 0);
        fd_close(o->pidfd);
        fd_close(o->child_pidfd);
}

static void write_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static void write_list(const struct orphan *orphans, size_t n)
{
        char text[1024];
        int used = snprintf(text, sizeof(text), "0\n1\n%d\n", getpid());

        for (size_t i = 0; i < n; i++) {
                used += snprintf(text + used, sizeof(text) - (size_t)used, "%d\n", orphans[i].pid);
                if (orphans[i].child > 0)
                        used += snprintf(
                                text + used, sizeof(text) - (size_t)used, "%d\n", orphans[i].child);
        }
        write_file(list_path, text);
}

/* --- Ending --- */

static void test_ends_what_belongs_to_nobody(void **state)
{
        struct orphan orphans[] = { start_orphan(0, false), start_orphan(0, true) };
        struct pids kept = {};

        (void)state;
        write_list(orphans, 2);
        assert_int_equal(leftovers_end_others(list_path, &kept), 3);
        assert_true(has_ended(orphans[0].pidfd, 10000));
        assert_true(has_ended(orphans[1].pidfd, 10000));
        assert_true(has_ended(orphans[1].child_pidfd, 10000));
        for (size_t i = 0; i < 2; i++)
                end_orphan(&orphans[i]);
}

/* A worker, what is in its process group, and what it started that is not. */
static void test_keeps_workers_and_what_they_started(void **state)
{
        struct orphan orphans[3] = { start_orphan(0, true) };
        pid_t pids[] = { orphans[0].pid };
        struct pids kept = { .list = pids, .n = 1 };

        (void)state;
        orphans[1] = start_orphan(orphans[0].pid, true);
        orphans[2] = start_orphan(0, false);
        write_list(orphans, 3);
        assert_int_equal(leftovers_end_others(list_path, &kept), 1);
        assert_true(has_ended(orphans[2].pidfd, 10000));
        for (size_t i = 0; i < 2; i++) {
                assert_false(has_ended(orphans[i].pidfd, 0));
                assert_false(has_ended(orphans[i].child_pidfd, 0));
        }
        for (size_t i = 0; i < 3; i++)
                end_orphan(&orphans[i]);
}

/* A worker that has joined another process group, or made one, is still the worker. */
static void test_keeps_a_worker_in_another_group(void **state)
{
        struct orphan orphans[2] = { start_orphan(0, false) };
        struct pids kept = { .n = 1 };

        (void)state;
        orphans[1] = start_orphan(orphans[0].pid, true);
        kept.list = &orphans[1].pid;
        write_list(orphans, 2);
        assert_int_equal(leftovers_end_others(list_path, &kept), 1);
        assert_true(has_ended(orphans[0].pidfd, 10000));
        assert_false(has_ended(orphans[1].pidfd, 0));
        assert_false(has_ended(orphans[1].child_pidfd, 0));
        for (size_t i = 0; i < 2; i++)
                end_orphan(&orphans[i]);
}

/* Its children are its own, whatever they are. */
static void test_keeps_children_of_this_process(void **state)
{
        struct orphan child = { .pid = fork() };
        struct pids kept = {};

        (void)state;
        assert_true(child.pid >= 0);
        if (child.pid == 0)
                for (;;)
                        (void)pause();
        write_list(&child, 1);
        assert_int_equal(leftovers_end_others(list_path, &kept), 0);
        assert_int_equal(waitpid(child.pid, NULL, WNOHANG), 0);
        assert_int_equal(kill(child.pid, SIGKILL), 0);
        assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
}

static void test_no_list(void **state)
{
        struct pids kept = {};

        (void)state;
        assert_int_equal(leftovers_end_others("/nonexistent/cgroup.procs", &kept), 0);
}

/* --- After a crash --- */

static bool is_after_crash(const char *name, bool from_reload)
{
        char text[STORE_NAME_MAX];
        struct inherited entry = { .fd = -1, .name = text }; /* taken already */
        const struct inheritance inheritance = { &entry, 1, from_reload };

        (void)snprintf(text, sizeof(text), "%s", name);
        return leftovers_is_after_crash(&inheritance);
}

static void set_service(pid_t pid)
{
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", pid);
        assert_int_equal(setenv("SYSTEMD_EXEC_PID", text, 1), 0);
}

static void test_knows_a_crash(void **state)
{
        (void)state;
        set_service(getpid());
        assert_true(is_after_crash("acceptd-ledger", false));
        assert_true(is_after_crash("acceptd-pidfd-7", false));
        assert_true(is_after_crash("!l1", false));
        assert_true(is_after_crash("=a", false));
        /* names of units, whole ones only */
        assert_false(is_after_crash("acceptd-web-admin.socket", false));
        assert_false(is_after_crash("acceptd-x", false));
        assert_false(is_after_crash("acceptd-ledger.socket", false));
        assert_false(is_after_crash("acceptd-pidfd-x", false));
        assert_false(is_after_crash("acceptd-ledger", true));
        /* sockets are passed at every start */
        assert_false(is_after_crash("main", false));
        assert_false(is_after_crash("acceptd-control", false));
        /* no service */
        set_service(getppid());
        assert_false(is_after_crash("acceptd-ledger", false));
        (void)unsetenv("SYSTEMD_EXEC_PID");
        assert_false(is_after_crash("acceptd-ledger", false));
}

/* --- The control group --- */

/* The path below the test's folder, or "". */
static const char *find(const char *self)
{
        static char path[LEFTOVERS_PATH_MAX];
        char file[sizeof(folder) + 8];

        (void)snprintf(file, sizeof(file), "%s/self", folder);
        write_file(file, self);
        return leftovers_find(file, folder, path) ? path + strlen(folder) : "";
}

static void test_finds_the_control_group(void **state)
{
        char path[sizeof(folder) + 64];

        (void)state;
        (void)snprintf(path, sizeof(path), "%s/system.slice/a.service", folder);
        assert_string_equal(find("0::/system.slice/a.service\n"), "");
        *strrchr(path, '/') = '\0';
        assert_int_equal(mkdir(path, 0700), 0);
        strcat(path, "/a.service");
        assert_int_equal(mkdir(path, 0700), 0);
        strcat(path, "/cgroup.procs");
        write_file(path, "");

        assert_string_equal(
                find("0::/system.slice/a.service\n"), "/system.slice/a.service/cgroup.procs");
        assert_string_equal(find("4:memory:/user.slice\n0::/system.slice/a.service\n"),
                "/system.slice/a.service/cgroup.procs");
        /* cgroups v1 are left alone */
        assert_string_equal(find("1:name=systemd:/system.slice/a.service\n"), "");
        assert_string_equal(find("4:memory:/system.slice/a.service\n"), "");
        /* a terminal's, a container's own */
        assert_string_equal(find("0::/user.slice/user-0.slice/session-1.scope\n"), "");
        assert_string_equal(find("0::/\n"), "");
        assert_string_equal(find("nonsense\n"), "");
        assert_string_equal(find(""), "");
}

static int make_folder(void **state)
{
        (void)state;
        if (!mkdtemp(folder))
                return -1;
        (void)snprintf(list_path, sizeof(list_path), "%s/cgroup.procs", folder);
        return 0;
}

static int remove_folder(void **state)
{
        static const char *const names[] = { "cgroup.procs", "self",
                "system.slice/a.service/cgroup.procs", "system.slice/a.service", "system.slice",
                "" };
        char path[sizeof(folder) + 64];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
                (void)remove(path);
        }
        return 0;
}

/* Before Linux 6.13 nothing is known of a parent, and nothing is ended. */
static bool knows_parents(void)
{
        uint64_t info[8] = { 1 };
        int pidfd = pidfd_open(getpid(), 0);
        int r = ioctl(pidfd, _IOWR(0xFF, 11, info), info);

        fd_close(pidfd);
        return r == 0;
}

static void skip_test(void **state)
{
        (void)state;
        print_message("skipped: before Linux 6.13 a pidfd does not tell the parent\n");
        skip();
}

#define NEEDS_PARENTS(f) cmocka_unit_test(knows ? f : skip_test)

int main(void)
{
        bool knows = knows_parents();
        const struct CMUnitTest tests[] = {
                NEEDS_PARENTS(test_ends_what_belongs_to_nobody),
                NEEDS_PARENTS(test_keeps_workers_and_what_they_started),
                NEEDS_PARENTS(test_keeps_a_worker_in_another_group),
                WITHOUT_LEAKS(test_keeps_children_of_this_process),
                WITHOUT_LEAKS(test_no_list),
                WITHOUT_LEAKS(test_knows_a_crash),
                WITHOUT_LEAKS(test_finds_the_control_group),
        };

        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
