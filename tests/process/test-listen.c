/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptd-listen by itself: what the program finds, how the adapter's life follows the program's,
 * and the command line. What the program says is in test-listen-notify.c.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "listen-fixture.h"

/* --- What the program finds --- */

static void test_surroundings(void **state)
{
        struct listen *l = *state;
        char pid[64];

        listen_start(l, WORDS(), WORDS("pid", "print", "say=READY=1", "wait"));
        (void)snprintf(pid, sizeof(pid), "env LISTEN_PID=%d\n", listen_await_number(l, "pid"));
        listen_await_line(l, "printed");
        listen_await_ready(l);

        assert_non_null(strstr(l->text, pid));
        assert_non_null(strstr(l->text, "env LISTEN_FDS=2\n"));
        assert_non_null(strstr(l->text, "env LISTEN_FDNAMES=web:admin\n"));
        assert_non_null(strstr(l->text, "env OWN=variable\n"));
        assert_non_null(strstr(l->text, "env NOTIFY_SOCKET=@"));
        assert_null(strstr(l->text, "ACCEPTD_"));
        assert_null(strstr(l->text, "WATCHDOG_"));
        assert_non_null(strstr(l->text, "fd 0\nfd 1\nfd 2\nfd 3 listens\nfd 4 listens\nprinted"));

        listen_drain(l);
        listen_expect_exit(l, 0);
}

/* Several images share the sockets: how they are to be used is the first one's choice. */
static void test_flags_of_listeners_stay(void **state)
{
        struct listen *l = *state;

        assert_int_equal(fd_set_nonblock(l->listeners[1]), 0);
        listen_start(l, WORDS(), WORDS("print", "exit=0"));
        listen_await_line(l, "printed");
        assert_non_null(strstr(l->text, "fd 3 listens\nfd 4 listens nonblock\n"));
        listen_expect_exit(l, 0);
}

static void test_stdin(void **state)
{
        struct listen *l = *state;
        char path[512];

        assert_int_equal(fd_set_nonblock(l->listeners[0]), 0);
        (void)snprintf(path, sizeof(path), "%s", harness_path("stub-server"));
        listen_start_command(l, WORDS("--stdin", path, "print", "exit=0"), 1);
        listen_await_line(l, "printed");
        assert_non_null(strstr(l->text, "fd 0 listens\nfd 1\nfd 2\nprinted"));
        assert_null(strstr(l->text, "LISTEN_"));
        listen_expect_exit(l, 0);
}

static void test_stdin_takes_one_socket(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--stdin"), WORDS("exit=0"));
        listen_await_line(l, "--stdin", "2 listening sockets");
        listen_expect_exit(l, 78);
}

static void test_watchdog_of_program(void **state)
{
        struct listen *l = *state;
        char pid[64];

        listen_start(l, WORDS("--watchdog=90s"), WORDS("pid", "print", "exit=0"));
        (void)snprintf(pid, sizeof(pid), "env WATCHDOG_PID=%d\n", listen_await_number(l, "pid"));
        listen_await_line(l, "printed");
        assert_non_null(strstr(l->text, pid));
        assert_non_null(strstr(l->text, "env WATCHDOG_USEC=90000000\n"));
        listen_expect_exit(l, 0);
}

/* --- Ready --- */

static void test_ready_when_it_says_so(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("pid", "stop", "say=READY=1", "wait"));
        pid_t pid = listen_await_number(l, "pid");

        listen_await_stop(pid);
        listen_hear_nothing(l, 200);
        assert_int_equal(kill(pid, SIGCONT), 0);
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
}

static void test_ready_after_time(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--ready=3s"), WORDS("pid", "wait"));
        listen_await_number(l, "pid");
        listen_hear_nothing(l, 50);
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
}

static void test_exits_before_ready(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--ready=100s"),
                WORDS("say=STATUS=Cannot open database", "barrier", "exit=3"));
        listen_await_line(
                l, "stub-server exited with status 3 before it was ready", "Cannot open database");
        listen_expect_exit(l, 3);
}

static void test_program_is_not_there(void **state)
{
        struct listen *l = *state;

        listen_start_command(l, WORDS("/nonexistent/program"), 2);
        listen_await_line(l, "cannot start /nonexistent/program: No such file");
        listen_expect_exit(l, 127);
}

static void test_program_cannot_be_executed(void **state)
{
        struct listen *l = *state;

        listen_start_command(l, WORDS("/etc/passwd"), 2);
        listen_await_line(l, "cannot start /etc/passwd: Permission denied");
        listen_expect_exit(l, 126);
}

static void test_pool_accepts(void **state)
{
        struct listen *l = *state;

        listen_start_command(l, WORDS("/bin/true"), -1);
        listen_await_line(l, "Accept=no");
        listen_expect_exit(l, 78);
}

/* --- The end --- */

static void test_drain_becomes_signal(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--drain-signal=SIGQUIT"), WORDS("say=READY=1", "wait"));
        listen_await_ready(l);
        listen_drain(l);
        assert_int_equal(listen_await_number(l, "signal"), SIGQUIT);
        listen_expect_exit(l, 0);
}

/* Nobody reads any more: the same as a drain. */
static void test_instance_is_gone(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("say=READY=1", "wait"));
        listen_await_ready(l);
        l->channel = fd_close(l->channel);
        assert_int_equal(listen_await_number(l, "signal"), SIGTERM);
        listen_expect_exit(l, 0);
}

/* A program without a handler ends by the signal that asked it to: that is a clean end. */
static void test_drain_of_program_without_handler(void **state)
{
        struct listen *l = *state;

        listen_start_command(l, WORDS("--ready=10ms", "sleep", "1000"), 2);
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
        assert_int_equal(l->size, 0);
}

/* One that takes its time is waited for; SIGTERM to the adapter is SIGTERM to it. */
static void test_sigterm_is_passed_on(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--drain-signal=USR1"), WORDS("ignore=10", "say=READY=1", "wait"));
        listen_await_ready(l);
        listen_drain(l);
        assert_int_equal(waitpid(l->pid, NULL, WNOHANG), 0);
        assert_int_equal(kill(l->pid, SIGTERM), 0);
        assert_int_equal(listen_await_number(l, "signal"), SIGTERM);
        listen_expect_exit(l, 0);
}

/* What is meant for the program, by systemctl kill, ends the adapter not. */
static void test_other_signals(void **state)
{
        static const int signals[] = { SIGHUP, SIGINT, SIGUSR1, SIGUSR2 };
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("say=READY=1", "wait"));
        listen_await_ready(l);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                assert_int_equal(kill(l->pid, signals[i]), 0);
        listen_ask(l, RECORD_PING, 4);
        assert_int_equal(listen_hear(l).value, 4);
        listen_drain(l);
        listen_expect_exit(l, 0);
}

static void test_stopped_program_is_drained(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("pid", "say=READY=1", "stop", "wait"));
        listen_await_ready(l);
        listen_await_stop(listen_await_number(l, "pid"));
        listen_drain(l);
        listen_expect_exit(l, 0);
}

/* One that says READY=1 and is gone before that is heard, is never ready. */
static void go_on_when_ready(struct listen *l)
{
        pid_t pid = listen_await_number(l, "pid");

        listen_await_ready(l);
        listen_await_stop(pid);
        assert_int_equal(kill(pid, SIGCONT), 0);
}

static void test_exit_status_is_the_same(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("pid", "say=READY=1", "stop", "exit=5"));
        go_on_when_ready(l);
        listen_await_line(l, "stub-server exited with status 5");
        listen_expect_exit(l, 5);
}

static void test_signal_is_the_same(void **state)
{
        struct listen *l = *state;
        int end;

        listen_start(l, WORDS(), WORDS("pid", "say=READY=1", "stop", "abort"));
        go_on_when_ready(l);
        listen_await_line(l, "stub-server was ended by SIGABRT");
        end = listen_await_end(l);
        assert_true(WIFSIGNALED(end));
        assert_int_equal(WTERMSIG(end), SIGABRT);
}

static void test_program_dies_with_adapter(void **state)
{
        struct listen *l = *state;
        pid_t pid, child;

        listen_start(l, WORDS(), WORDS("pid", "child", "say=READY=1", "wait"));
        pid = listen_await_number(l, "pid");
        child = listen_await_number(l, "child");
        listen_await_ready(l);
        assert_int_equal(kill(l->pid, SIGKILL), 0);
        listen_await_death(pid);
        listen_await_death(child);
        (void)listen_await_end(l);
}

/* Also those that it has given up, in sessions of their own. */
static void test_what_it_started_dies_with_program(void **state)
{
        struct listen *l = *state;
        pid_t child, orphan;

        listen_start(l, WORDS(), WORDS("child", "orphan", "say=READY=1", "wait"));
        child = listen_await_number(l, "child");
        orphan = listen_await_number(l, "child");
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
        assert_int_equal(kill(child, 0), -1);
        assert_int_equal(kill(orphan, 0), -1);
}

/* --- The channel --- */

static void test_questions(void **state)
{
        struct listen *l = *state;
        struct record record;

        listen_start(l, WORDS(), WORDS("say=READY=1", "wait"));
        listen_await_ready(l);
        for (uint32_t i = 0; i < 3; i++) {
                listen_ask(l, i % 2 ? RECORD_LIST : RECORD_PING, i);
                record = listen_hear(l);
                assert_int_equal(record.type, RECORD_PONG);
                assert_int_equal(record.value, i);
        }
        listen_drain(l);
        listen_expect_exit(l, 0);
}

static void test_garbage_on_channel(void **state)
{
        struct listen *l = *state;
        pid_t pid;

        listen_start(l, WORDS(), WORDS("pid", "say=READY=1", "wait"));
        pid = listen_await_number(l, "pid");
        listen_await_ready(l);
        assert_int_equal(send(l->channel, "garbage", 7, 0), 7);
        listen_expect_exit(l, 76);
        assert_int_equal(kill(pid, 0), -1);
}

/* --- The command line --- */

static void expect_complaint(struct listen *l, const char *const *command, const char *word)
{
        listen_start_command(l, command, 0);
        listen_await_line(l, word);
        listen_expect_exit(l, 64);
        l->channel = fd_close(l->channel);
        l->output = fd_close(l->output);
}

static void test_command_line(void **state)
{
        struct listen *l = *state;

        expect_complaint(l, WORDS("--ready=never", "/bin/true"), "--ready=notify or never");
        expect_complaint(l, WORDS("--ready=0", "/bin/true"), "a time above 0");
        expect_complaint(l, WORDS("--watchdog=infinity", "/bin/true"), "a time above 0");
        expect_complaint(l, WORDS("--drain-signal=SIGNONE", "/bin/true"), "a signal");
        expect_complaint(l, WORDS("--nonsense", "/bin/true"), "allowed: --drain-signal=");
        expect_complaint(l, WORDS("--stdin"), "no program");
        listen_start_command(l, WORDS("--version"), 0);
        listen_await_line(l, "acceptd-listen ");
        listen_expect_exit(l, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                LISTEN(test_surroundings),
                LISTEN(test_flags_of_listeners_stay),
                LISTEN(test_stdin),
                LISTEN(test_stdin_takes_one_socket),
                LISTEN(test_watchdog_of_program),
                LISTEN(test_ready_when_it_says_so),
                LISTEN(test_ready_after_time),
                LISTEN(test_exits_before_ready),
                LISTEN(test_program_is_not_there),
                LISTEN(test_program_cannot_be_executed),
                LISTEN(test_pool_accepts),
                LISTEN(test_drain_becomes_signal),
                LISTEN(test_instance_is_gone),
                LISTEN(test_drain_of_program_without_handler),
                LISTEN(test_sigterm_is_passed_on),
                LISTEN(test_other_signals),
                LISTEN(test_stopped_program_is_drained),
                LISTEN(test_exit_status_is_the_same),
                LISTEN(test_signal_is_the_same),
                LISTEN(test_program_dies_with_adapter),
                LISTEN(test_what_it_started_dies_with_program),
                LISTEN(test_questions),
                LISTEN(test_garbage_on_channel),
                LISTEN(test_command_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
