/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting and reaping: src/os/process.c. Workers are small programs that every system has;
 * what they were given is read from /proc. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "started.h"

/* Reads /proc/PID/NAME, with a 0 after it. Returns its size. */
static size_t read_proc(pid_t pid, const char *name, char *text, size_t size)
{
        char path[64];
        size_t n = 0;
        ssize_t r;
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        while ((r = read(fd, text + n, size - 1 - n)) > 0)
                n += (size_t)r;
        text[n] = '\0';
        fd_close(fd);
        return n;
}

/* --- What it is given --- */

static void test_descriptors(void **state)
{
        int pair[2], inherited[2];
        struct started s;
        char path[64];
        struct stat st;

        (void)state;
        /* One that would be inherited, and one at a high number */
        open_pair(SOCK_STREAM, pair);
        assert_int_equal(pipe(inherited), 0);
        assert_int_equal(dup2(pair[0], 300), 300);
        s = start(stay_argv);
        for (int fd = 0; fd < 512; fd++) {
                (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", s.pid, fd);
                assert_int_equal(lstat(path, &st) == 0, fd <= PROCESS_CHANNEL_FD);
        }
        fd_close(300);
        for (int i = 0; i < 2; i++) {
                fd_close(pair[i]);
                fd_close(inherited[i]);
        }
        (void)end_it(&s);
}

static void test_standard_descriptors(void **state)
{
        struct started s = start(stay_argv);
        char path[64], target[64] = {};
        struct stat mine, its;

        (void)state;
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/0", s.pid);
        assert_int_equal(readlink(path, target, sizeof(target) - 1), 9);
        assert_string_equal(target, "/dev/null");
        for (int fd = 1; fd <= 2; fd++) {
                (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", s.pid, fd);
                assert_int_equal(fstat(fd, &mine), 0);
                assert_int_equal(stat(path, &its), 0);
                assert_true(mine.st_dev == its.st_dev && mine.st_ino == its.st_ino);
        }
        (void)end_it(&s);
}

/* The channel had the number that it gets, where dup2() alone would leave it close-on-exec. */
static void test_channel_that_has_its_number_already(void **state)
{
        struct process_template template = make_template(stay_argv);
        int saved = dup(PROCESS_CHANNEL_FD); /* where the test has something else there */
        int pair[2];
        struct started s;
        char byte;

        (void)state;
        open_pair(SOCK_SEQPACKET, pair);
        s.here = pair[0];
        if (s.here == PROCESS_CHANNEL_FD) /* which is used otherwise now */
                s.here = dup(pair[0]);
        assert_int_equal(dup3(pair[1], PROCESS_CHANNEL_FD, O_CLOEXEC), PROCESS_CHANNEL_FD);
        if (pair[1] != PROCESS_CHANNEL_FD)
                fd_close(pair[1]);
        assert_int_equal(process_spawn(&template, 1, PROCESS_CHANNEL_FD, &s.pid, &s.pidfd), 0);
        process_template_done(&template);
        if (saved >= 0) {
                assert_int_equal(dup2(saved, PROCESS_CHANNEL_FD), PROCESS_CHANNEL_FD);
                fd_close(saved);
        } else {
                fd_close(PROCESS_CHANNEL_FD);
        }

        wait_until_stopped(s.pidfd);
        assert_int_equal(recv(s.here, &byte, 1, MSG_DONTWAIT), -1); /* no end of file */
        assert_int_equal(errno, EAGAIN);
        (void)end_it(&s);
}

static void test_channel(void **state)
{
        static char script[] = "[ \"$(cat <&3)\" = hello ]";
        struct started s = start_shell(script);
        struct process_end end;

        (void)state;
        assert_int_equal(raw_send(s.here, "hello", 5, -1, 0), 0);
        assert_int_equal(shutdown(s.here, SHUT_WR), 0);
        end = reap(&s);
        assert_int_equal(end.code, CLD_EXITED);
        assert_int_equal(end.status, 0);
}

/* It gets the worker's command line, and all else that is the worker's. */
static void test_start_behind_another_program(void **state)
{
        static char env[] = "/usr/bin/env", shell[] = "/bin/sh", option[] = "-c",
                    script[] = "[ \"$0\" = /bin/sh ] && [ \"$ACCEPTD_WORKER\" = 7 ] && "
                               "kill -STOP $$";
        char *argv[] = { shell, option, script, NULL };
        struct process_template template = make_template(argv);
        struct started s;
        int pair[2];

        (void)state;
        open_pair(SOCK_SEQPACKET, pair);
        template.confine = env;
        assert_int_equal(process_spawn(&template, 7, pair[1], &s.pid, &s.pidfd), 0);
        process_template_done(&template);
        fd_close(pair[1]);
        s.here = pair[0];
        wait_until_stopped(s.pidfd);
        assert_int_equal(getpgid(s.pid), s.pid);
        (void)end_it(&s);
}

static void test_group(void **state)
{
        struct started s = start(stay_argv);

        (void)state;
        assert_int_equal(getpgid(s.pid), s.pid);
        assert_int_equal(getsid(s.pid), getsid(0)); /* and why: set_attributes() */
        assert_true(fcntl(s.pidfd, F_GETFD) & FD_CLOEXEC);
        (void)end_it(&s);
}

/* Returns the hexadecimal number that follows `name`. */
static unsigned long long find_mask(const char *status, const char *name)
{
        const char *line = strstr(status, name);

        assert_non_null(line);
        return strtoull(line + strlen(name), NULL, 16);
}

static void test_signals(void **state)
{
        /* not the shell itself: it blocks signals for a moment now and then */
        static char script[] = "exec cat /proc/self/status >&3";
        sigset_t all, before;
        char status[8192] = {};
        struct started s;

        (void)state;
        assert_true(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
        assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
        sigfillset(&all);
        assert_int_equal(sigprocmask(SIG_BLOCK, &all, &before), 0);
        s = start_shell(script);
        assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
        (void)signal(SIGUSR1, SIG_DFL);
        (void)signal(SIGPIPE, SIG_DFL);

        wait_until_readable(s.here);
        assert_true(recv(s.here, status, sizeof(status) - 1, 0) > 0);
        assert_int_equal(find_mask(status, "SigBlk:"), 0);
        /* posix_spawn() itself ignores the two that glibc keeps for threads: nptl(7) */
        assert_int_equal(find_mask(status, "SigIgn:") & ~(3ULL << 31), 0);
        (void)reap(&s);
}

static void test_limit_is_below_ours(void **state)
{
        struct started s = start(stay_argv);
        struct rlimit mine, its;

        (void)state;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &mine), 0);
        assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, NULL, &its), 0);
        assert_true(its.rlim_cur < mine.rlim_cur);
        assert_true(its.rlim_max == its.rlim_cur);
        (void)end_it(&s);
}

/* --- The environment --- */

/* Returns the value of `name` in a block of NAME=VALUE strings, or NULL. */
static const char *find(const char *block, size_t size, const char *name)
{
        for (const char *p = block; p < block + size; p += strlen(p) + 1) {
                const char *value = startswith(p, name);

                if (value && *value == '=')
                        return value + 1;
        }

        return NULL;
}

static void test_environment(void **state)
{
        static const char *const private[] = { "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID",
                "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "FDSTORE", "SYSTEMD_EXEC_PID",
                "JOURNAL_STREAM" };
        static const char *const ours[][2] = {
                { "ACCEPTD_CHANNEL", "3" },
                { "ACCEPTD_FEATURES", "5" },
                { "ACCEPTD_LISTENERS", "http:https" },
                { "ACCEPTD_INSTANCE", "web" },
                { "ACCEPTD_WORKER", "7" },
        };
        char block[32768];
        struct started s;
        size_t n;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(private); i++)
                assert_int_equal(setenv(private[i], "for the dispatcher", 1), 0);
        for (size_t i = 0; i < ELEMENTSOF(ours); i++)
                assert_int_equal(setenv(ours[i][0], "from outside", 1), 0);
        assert_int_equal(setenv("LISTEN_FDS_OF_MINE", "kept", 1), 0);
        s = start(stay_argv);

        n = read_proc(s.pid, "environ", block, sizeof(block));
        for (size_t i = 0; i < ELEMENTSOF(private); i++) {
                assert_null(find(block, n, private[i]));
                assert_int_equal(unsetenv(private[i]), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(ours); i++) {
                assert_string_equal(find(block, n, ours[i][0]), ours[i][1]);
                assert_int_equal(unsetenv(ours[i][0]), 0);
        }
        assert_string_equal(find(block, n, "LISTEN_FDS_OF_MINE"), "kept");
        assert_int_equal(unsetenv("LISTEN_FDS_OF_MINE"), 0);
        (void)end_it(&s);
}

static void test_numbers(void **state)
{
        struct started small, large;
        char block[32768];
        size_t n;

        (void)state;
        assert_int_equal(try_start(stay_argv, 1, &small), 0);
        assert_int_equal(try_start(stay_argv, UINT64_MAX, &large), 0);
        n = read_proc(small.pid, "environ", block, sizeof(block));
        assert_string_equal(find(block, n, "ACCEPTD_WORKER"), "1");
        n = read_proc(large.pid, "environ", block, sizeof(block));
        assert_string_equal(find(block, n, "ACCEPTD_WORKER"), "18446744073709551615");
        (void)end_it(&small);
        (void)end_it(&large);
}

static void test_template_of_an_empty_environment(void **state)
{
        static char *none[] = { NULL };
        char **saved = environ;
        struct process_template template;

        (void)state;
        environ = none;
        template = make_template(stay_argv);
        environ = saved;
        assert_string_equal(template.environment[0], "ACCEPTD_CHANNEL=3");
        assert_int_equal(template.worker_at, 4);
        assert_null(template.environment[4]);
        process_template_done(&template);
        process_template_done(&template);
}

/* --- Programs that do not start --- */

static void expect_no_start(char *path, int expected)
{
        char *argv[] = { path, NULL };
        struct started s;

        assert_int_equal(try_start(argv, 1, &s), expected);
}

static void test_no_start(void **state)
{
        static char missing[] = "/nonexistent/program", directory[] = "/", plain[] = "/etc/passwd",
                    relative[] = "sleep";

        (void)state;
        expect_no_start(missing, -ENOENT);
        expect_no_start(directory, -EACCES);
        expect_no_start(plain, -EACCES);
        expect_no_start(relative, -ENOENT); /* no search path */
}

/* Those that were killed end soon, and are reaped then. */
static void await_no_child(void)
{
        for (int i = 0; i < 2000; i++) {
                process_reap_left();
                if (waitid(P_ALL, 0, &(siginfo_t){}, WEXITED | WNOHANG | WNOWAIT) < 0)
                        return;
                (void)poll(NULL, 0, 10);
        }
        fail_msg("a child is left");
}

static void test_no_descriptor_for_the_start(void **state)
{
        struct process_template template = make_template(stay_argv);
        struct started s;
        int pair[2];

        (void)state;
        open_pair(SOCK_SEQPACKET, pair);
        leave_descriptors(0);
        assert_int_equal(process_spawn(&template, 1, pair[1], &s.pid, &s.pidfd), -EMFILE);
        process_template_done(&template);
        fd_close(pair[0]);
        fd_close(pair[1]);
        await_no_child();
}

/* As after a start that cannot be watched: each left a zombie for good. Most of these have not
 * ended yet when they are looked at. */
static void test_reaped_before_it_has_ended(void **state)
{
        (void)state;
        for (int i = 0; i < 20; i++) {
                struct started s = start(stay_argv);

                process_signal(s.pidfd, SIGKILL);
                (void)process_reap(s.pid, s.pidfd);
                fd_close(s.pidfd);
                fd_close(s.here);
        }
        await_no_child();
}

/* --- The end --- */

static void expect_words(struct process_end end, const char *expected)
{
        char text[PROCESS_END_MAX];

        process_end_format(&end, text);
        assert_string_equal(text, expected);
}

static void test_exit_statuses(void **state)
{
        static char zero[] = "exit 0", three[] = "exit 3", protocol[] = "exit 76";
        struct started s = start_shell(zero);

        (void)state;
        expect_words(reap(&s), "exited with status 0");
        s = start_shell(three);
        expect_words(reap(&s), "exited with status 3");
        s = start_shell(protocol);
        expect_words(reap(&s), "exited with status 76 (EX_PROTOCOL)");
}

static void test_signals_end_it(void **state)
{
        struct started s = start(stay_argv);

        (void)state;
        process_signal(s.pidfd, SIGTERM);
        process_signal(s.pidfd, SIGCONT);
        expect_words(reap(&s), "was ended by SIGTERM");
        s = start(stay_argv);
        expect_words(end_it(&s), "was ended by SIGKILL");
}

static void test_words(void **state)
{
        static const struct {
                struct process_end end;
                const char *expected;
        } words[] = {
                { { CLD_EXITED, 63 }, "exited with status 63" },
                { { CLD_EXITED, 64 }, "exited with status 64 (EX_USAGE)" },
                { { CLD_EXITED, 78 }, "exited with status 78 (EX_CONFIG)" },
                { { CLD_EXITED, 79 }, "exited with status 79" },
                { { CLD_EXITED, 255 }, "exited with status 255" },
                { { CLD_KILLED, SIGSEGV }, "was ended by SIGSEGV" },
                { { CLD_DUMPED, SIGABRT }, "was ended by SIGABRT, and left a core" },
                { { CLD_KILLED, 63 }, "was ended by an unknown signal" },
                { { 0, 0 }, "ended in an unknown way" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                expect_words(words[i].end, words[i].expected);
}

/* What a worker started in its group ends with it, so that nothing holds on to the channel. */
static void test_group_ends(void **state)
{
        static char script[] = "sleep infinity & exit 5";
        struct started s = start_shell(script);
        int here = s.here;
        char byte;

        (void)state;
        s.here = -1;
        wait_until_readable(s.pidfd);
        assert_int_equal(recv(here, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
        expect_words(reap(&s), "exited with status 5");
        wait_until_readable(here);
        assert_int_equal(recv(here, &byte, 1, 0), 0);
        fd_close(here);
}

static void test_signal_of_one_that_is_gone(void **state)
{
        struct started s = start(stay_argv);
        int pidfd = dup(s.pidfd);

        (void)state;
        (void)end_it(&s);
        process_signal(pidfd, SIGTERM);
        fd_close(pidfd);
}

/* How a process ended that is no child of this one. */
static bool kernel_tells_ends(void)
{
        struct utsname name;
        int major, minor;

        assert_int_equal(uname(&name), 0);
        assert_int_equal(sscanf(name.release, "%d.%d", &major, &minor), 2);
        return major > 6 || (major == 6 && minor >= 15);
}

/* Not a child any more: nothing blocks, and the kernel may tell. */
static void test_reap_twice(void **state)
{
        struct started s = start(stay_argv);
        int pidfd = dup(s.pidfd);
        pid_t pid = s.pid;

        (void)state;
        (void)end_it(&s);
        expect_words(process_reap(pid, pidfd),
                kernel_tells_ends() ? "was ended by SIGKILL" : "ended in an unknown way");
        fd_close(pidfd);
}

/* Leads a process group with another member, tells its number, and exits with 5 when `go` says
 * so. */
static _Noreturn void lead_a_group(int told, int go)
{
        pid_t self = getpid();
        char byte;

        (void)setpgid(0, 0);
        if (fork() == 0)
                for (;;)
                        (void)pause();
        if (write(told, &self, sizeof(self)) != sizeof(self) || read(go, &byte, 1) != 1)
                _exit(1);
        _exit(5);
}

/* After a crash of the dispatcher, a worker that dies is reaped by the service manager. What it had
 * started in its group ended with it only where it was a child of this process, and how it had
 * ended was not known. */
static void test_group_of_somebody_elses_child_ends(void **state)
{
        int told[2], go[2], held[2], pidfd;
        struct process_end end;
        pid_t other, pid;
        char byte = 0;

        (void)state;
        assert_int_equal(pipe2(told, O_CLOEXEC) | pipe2(go, O_CLOEXEC) | pipe2(held, O_CLOEXEC), 0);
        other = fork();
        if (other == 0) {
                pid = fork();
                if (pid == 0)
                        lead_a_group(told[1], go[0]);
                (void)waitpid(pid, NULL, 0);
                _exit(0);
        }
        held[1] = fd_close(held[1]);
        assert_int_equal(read(told[0], &pid, sizeof(pid)), sizeof(pid));
        pidfd = pidfd_open(pid, 0);
        assert_true(pidfd >= 0);
        assert_int_equal(write(go[1], &byte, 1), 1);
        assert_int_equal(waitpid(other, NULL, 0), other);

        end = process_reap(pid, pidfd);
        expect_words(end, kernel_tells_ends() ? "exited with status 5" : "ended in an unknown way");
        if (kernel_tells_ends()) /* it ends groups by a pidfd since before that */
                assert_int_equal(read(held[0], &byte, 1), 0);
        else
                (void)kill(-pid, SIGKILL);
        for (size_t i = 0; i < 2; i++) {
                fd_close(told[i]);
                fd_close(go[i]);
        }
        fd_close(held[0]);
        fd_close(pidfd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_descriptors),
                WITHOUT_LEAKS(test_standard_descriptors),
                WITHOUT_LEAKS(test_channel_that_has_its_number_already),
                WITHOUT_LEAKS(test_channel),
                WITHOUT_LEAKS(test_start_behind_another_program),
                WITHOUT_LEAKS(test_group),
                WITHOUT_LEAKS(test_signals),
                WITHOUT_LEAKS(test_limit_is_below_ours),
                WITHOUT_LEAKS(test_environment),
                WITHOUT_LEAKS(test_numbers),
                WITHOUT_LEAKS(test_template_of_an_empty_environment),
                WITHOUT_LEAKS(test_no_start),
                WITHOUT_LEAKS(test_no_descriptor_for_the_start),
                WITHOUT_LEAKS(test_reaped_before_it_has_ended),
                WITHOUT_LEAKS(test_exit_statuses),
                WITHOUT_LEAKS(test_signals_end_it),
                WITHOUT_LEAKS(test_words),
                WITHOUT_LEAKS(test_group_ends),
                WITHOUT_LEAKS(test_signal_of_one_that_is_gone),
                WITHOUT_LEAKS(test_reap_twice),
                WITHOUT_LEAKS(test_group_of_somebody_elses_child_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
