/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a program behind acceptd-listen says with sd_notify(3), and what comes of it.
 */

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"
#include "listen-fixture.h"

/* --- Who may say it --- */

static void test_child_may_say_it(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("child-say=READY=1", "wait"));
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
}

static void say_from_outside(const char *name, const char *text)
{
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t n = strlen(name);

        memcpy(address.sun_path, name, n);
        address.sun_path[0] = '\0';
        assert_int_equal(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address,
                                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
                strlen(text));
}

static void test_stranger_is_not_heard(void **state)
{
        struct listen *l = *state;
        char name[32];
        pid_t pid;

        listen_start(l, WORDS(), WORDS("pid", "print", "stop", "say=READY=1", "wait"));
        pid = listen_await_number(l, "pid");
        (void)snprintf(name, sizeof(name), "%s",
                strchr(listen_await_line(l, "env NOTIFY_SOCKET="), '=') + 1);
        listen_await_stop(pid);
        for (int i = 0; i < 3; i++)
                say_from_outside(name, "READY=1\nMAINPID=1\nWATCHDOG=trigger");
        listen_await_line(l, "a notification of process", "is ignored");
        listen_hear_nothing(l, 100);
        assert_int_equal(kill(pid, SIGCONT), 0);
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
        assert_int_equal(listen_count(l, "is ignored"), 1);
}

static void test_main_pid_of_stranger(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("say=MAINPID=1", "say=MAINPID=2\nREADY=1", "wait"));
        listen_await_line(l, "names process 1 its main process", "ignored");
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
        assert_int_equal(listen_count(l, "main process"), 1);
}

static void test_main_pid(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("say=READY=1", "replace", "pid", "wait", "exit=4"));
        listen_await_ready(l);
        listen_await_line(l, "the main process of", "now");
        listen_await_number(l, "pid");
        listen_ask(l, RECORD_PING, 3);
        assert_int_equal(listen_hear(l).value, 3);
        listen_drain(l);
        listen_expect_exit(l, 4);
}

/* --- The watchdog --- */

static void test_watchdog_is_fed(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--watchdog=500ms"), WORDS("say=READY=1", "feed=50", "wait"));
        listen_await_ready(l);
        listen_hear_nothing(l, 1200);
        listen_ask(l, RECORD_PING, 9);
        assert_int_equal(listen_hear(l).value, 9);
        listen_drain(l);
        listen_expect_exit(l, 0);
}

static void expect_abort(struct listen *l)
{
        int end = listen_await_end(l);

        assert_true(WIFSIGNALED(end));
        assert_int_equal(WTERMSIG(end), SIGABRT);
}

static void test_watchdog_runs_out(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--watchdog=300ms"), WORDS("say=READY=1", "wait"));
        listen_await_ready(l);
        listen_await_line(l, "has not said WATCHDOG=1 in time", "SIGABRT");
        expect_abort(l);
}

/* Before it is ready it need not feed, nor while it ends. */
static void test_watchdog_starts_with_ready_and_ends_with_drain(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--watchdog=200ms"),
                WORDS("sleep=600", "say=READY=1", "wait", "sleep=600", "exit=0"));
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
        assert_int_equal(listen_count(l, "WATCHDOG"), 0);
}

/* What does not react to SIGABRT either is not asked again; questions stay unanswered. */
static void test_hung_program_answers_nothing(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--watchdog=200ms"), WORDS("ignore=6", "say=READY=1", "wait"));
        listen_await_ready(l);
        listen_await_line(l, "has not said WATCHDOG=1 in time");
        listen_ask(l, RECORD_PING, 1);
        listen_hear_nothing(l, 200);
        assert_int_equal(kill(l->pid, SIGTERM), 0);
        assert_int_equal(listen_await_number(l, "signal"), SIGTERM);
        listen_expect_exit(l, 0);
}

static void test_watchdog_is_triggered(void **state)
{
        struct listen *l = *state;
        pid_t pid;

        listen_start(
                l, WORDS(), WORDS("pid", "say=READY=1", "stop", "say=WATCHDOG=trigger", "wait"));
        pid = listen_await_number(l, "pid");
        listen_await_ready(l);
        listen_await_stop(pid);
        assert_int_equal(kill(pid, SIGCONT), 0);
        listen_await_line(l, "has triggered its watchdog");
        expect_abort(l);
}

static void test_extended_watchdog(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--watchdog=200ms"),
                WORDS("say=READY=1\nEXTEND_TIMEOUT_USEC=60000000", "sleep=500", "pid", "feed=50",
                        "wait"));
        listen_await_ready(l);
        listen_await_number(l, "pid");
        listen_drain(l);
        listen_expect_exit(l, 0);
        assert_int_equal(listen_count(l, "WATCHDOG"), 0);
}

static void test_changed_watchdog(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("say=READY=1", "say=WATCHDOG_USEC=100000", "wait"));
        listen_await_ready(l);
        listen_await_line(l, "has not said WATCHDOG=1 in time");
        expect_abort(l);
}

/* --- The rest --- */

static void test_barrier(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(), WORDS("say=READY=1", "barrier", "wait"));
        listen_await_line(l, "barrier 0");
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
}

static void test_status(void **state)
{
        struct listen *l = *state;
        pid_t pid;

        listen_start(l, WORDS(),
                WORDS("pid", "say=STATUS=one", "stop", "say=STATUS=one", "say=STATUS=t\033wo",
                        "say=STATUS=three", "say=READY=1", "stop", "exit=1"));
        pid = listen_await_number(l, "pid");
        listen_await_line(l, "stub-server says: one");
        listen_await_stop(pid);
        assert_int_equal(kill(pid, SIGCONT), 0);
        listen_await_ready(l);
        listen_await_stop(pid);
        assert_int_equal(kill(pid, SIGCONT), 0);
        listen_await_line(l, "exited with status 1; its last status: three");
        listen_expect_exit(l, 1);
        assert_int_equal(listen_count(l, "says:"), 1);
}

static void test_ends_by_itself(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS("--watchdog=200ms"),
                WORDS("say=READY=1\nSTOPPING=1", "say=STOPPING=1", "sleep=500", "exit=0"));
        listen_await_line(l, "is ending, and nobody has asked it to");
        listen_expect_exit(l, 0);
        assert_int_equal(listen_count(l, "is ending"), 1);
        assert_int_equal(listen_count(l, "WATCHDOG"), 0);
}

static void test_refused(void **state)
{
        struct listen *l = *state;

        listen_start(l, WORDS(),
                WORDS("store=FDSTORE=1\nFDNAME=x", "store=FDSTORE=1", "say=RELOADING=1",
                        "say=X_OWN=1", "say=ERRNO=2", "say=EXTEND_TIMEOUT_USEC=5000000",
                        "say=nothing\n=\n", "say=READY=1", "wait"));
        listen_await_line(l, "FDSTORE=: ignored, descriptors cannot be stored");
        listen_await_line(l, "RELOADING=: ignored");
        listen_await_line(l, "X_OWN=: ignored");
        listen_await_line(l, "asks for more time", "TimeoutStartSec=");
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
        assert_int_equal(listen_count(l, ": ignored"), 3);
}

/* As many as may wait in the socket, faster than they are read. */
static void test_flood(void **state)
{
        const char *deeds[30];
        struct listen *l = *state;

        for (size_t i = 0; i < 27; i++)
                deeds[i] = i % 2 ? "say=STATUS=odd" : "say=STATUS=even";
        deeds[27] = "say=READY=1";
        deeds[28] = "wait";
        deeds[29] = NULL;
        listen_start(l, WORDS(), deeds);
        listen_await_ready(l);
        listen_drain(l);
        listen_expect_exit(l, 0);
        assert_true(listen_count(l, "says:") <= 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                LISTEN(test_child_may_say_it),
                LISTEN(test_stranger_is_not_heard),
                LISTEN(test_main_pid_of_stranger),
                LISTEN(test_main_pid),
                LISTEN(test_watchdog_is_fed),
                LISTEN(test_watchdog_runs_out),
                LISTEN(test_watchdog_starts_with_ready_and_ends_with_drain),
                LISTEN(test_hung_program_answers_nothing),
                LISTEN(test_watchdog_is_triggered),
                LISTEN(test_extended_watchdog),
                LISTEN(test_changed_watchdog),
                LISTEN(test_barrier),
                LISTEN(test_status),
                LISTEN(test_ends_by_itself),
                LISTEN(test_refused),
                LISTEN(test_flood),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
