/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Pools with Accept=no: servers that accept by themselves behind acceptd-listen and a real
 * dispatcher.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"
#include "procfs.h"
#include "sanitized.h"

/* A worker has proved itself after this time; elsewhere it takes 2 s. */
#define PROOF "RestartMaxDelaySec=150ms"

/* Settings for a pool of stub servers with these deeds. */
static void write_settings(
        const struct ctl *ctl, const char *pool, const char *worker, const char *deeds)
{
        char adapter[PATH_MAX], text[PATH_MAX * 3];

        (void)snprintf(adapter, sizeof(adapter), "%s", harness_path("../../acceptd-listen"));
        (void)snprintf(text, sizeof(text),
                "[Pool]\nAccept=no\n%s\n[Worker]\n%s\nCommand=%s --watchdog=20s %s %s\n", pool,
                worker, adapter, harness_path("stub-server"), deeds);
        ctl_write_settings(ctl, text);
}

static void start_again(struct harness *h, struct ctl *ctl)
{
        harness_start(h, .arguments = WORDS("-c", ctl->settings), .store = 64, .command = WORDS());
}

static void begin(struct harness *h, struct ctl *ctl, enum listener_kind kind, const char *pool,
        const char *worker, const char *deeds)
{
        ctl_init(h, ctl);
        (void)listener_add(h, kind, "web");
        write_settings(ctl, pool, worker, deeds);
        ctl_start(h, ctl, .store = 64, .command = WORDS());
        harness_await_ready(h);
}

static void expect_answer(struct harness *h, const char *text)
{
        struct client client;

        client_open(h, &client, 0);
        client_send(&client, "ask\n");
        assert_string_equal(client_await_line(h, &client), text);
        client_close(&client);
}

/* --- Load --- */

/* A process that asks one question after the other, until it is told to end. */
struct load {
        pid_t pid;
        int to, from;
};

struct load_result {
        uint64_t answered, failed;
        usec_t slowest;
};

static bool ask(int port)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t length = sizeof(address);
        char answer[64];

        return getsockname(port, (struct sockaddr *)&address, &length) == 0 &&
               connect(fd, (struct sockaddr *)&address, length) == 0 &&
               send(fd, "ask\n", 4, MSG_NOSIGNAL) == 4 && read(fd, answer, sizeof(answer)) > 0;
}

static _Noreturn void run_load(int listener, int to, int from)
{
        struct load_result result = {};
        struct pollfd pollfd = { .fd = to, .events = POLLIN };

        while (poll(&pollfd, 1, 0) == 0) {
                usec_t begin = usec_now();

                if (ask(listener))
                        result.answered++;
                else
                        result.failed++;
                result.slowest = MAX(result.slowest, usec_now() - begin);
        }
        _exit(write(from, &result, sizeof(result)) != sizeof(result));
}

static void load_begin(const struct harness *h, struct load *load)
{
        int to[2], from[2];

        assert_int_equal(pipe2(to, O_CLOEXEC), 0);
        assert_int_equal(pipe2(from, O_CLOEXEC), 0);
        load->pid = fork();
        assert_true(load->pid >= 0);
        if (load->pid == 0) {
                close(to[1]);
                run_load(h->sockets[0], to[0], from[1]);
        }
        close(to[0]);
        close(from[1]);
        load->to = to[1];
        load->from = from[0];
}

static struct load_result load_end(struct load *load)
{
        struct load_result result;

        load->to = fd_close(load->to);
        assert_int_equal(read(load->from, &result, sizeof(result)), sizeof(result));
        load->from = fd_close(load->from);
        assert_int_equal(waitpid(load->pid, NULL, 0), load->pid);
        return result;
}

/* --- What it looks like --- */

static void test_serves(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;
        json_auto_t *status = NULL;

        begin(h, &ctl, LISTENER_UNIX, "Workers=2", "", "say=READY=1 serve=one");
        harness_await_line(h, "Worker ", "is ready.");
        harness_await_notify(h, "STATUS=2/2 workers ready");
        expect_answer(h, "one");

        status = ctl_status(h, &ctl);
        assert_true(json_is_null(json_object_get(status, "counters")));
        assert_true(json_is_null(json_object_get(status, "maxConnections")));
        assert_true(json_is_null(json_object_get(
                json_array_get(json_object_get(status, "workers"), 0), "handedOver")));
        assert_string_equal(ctl_text(status, "statusText"), "2/2 workers ready");
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_null(strstr(ctl_out, "accepted"));
        assert_int_equal(ctl_run(h, &ctl, "list"), 0);

        assert_int_equal(kill(h->pid, SIGUSR1), 0);
        harness_await_line(h, "accept by themselves");
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "counters: "), 0);
}

/* It is the program that is large, and not its adapter. One that was so from the start is no mill
 * of starts: the next has to be older. */
static void test_large_server_is_replaced(void **state)
{
        struct harness *h = *state;
        struct load load;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=1", PROOF "\nRecycleMemory=250M",
                "grow=300 say=READY=1 serve=one");
        load_begin(h, &load);
        harness_await_line(h, "orker 1 ", "is recycled after it grew to ", "RecycleMemory=");
        harness_await_line(h, "orker 1 ", "exited with status 0");
        assert_int_equal(load_end(&load).failed, 0);
        expect_answer(h, "one");
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "Workers fail"), 0);
}

static void test_old_servers_are_replaced_under_load(void **state)
{
        struct harness *h = *state;
        struct load load;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=2", PROOF "\nRecycleSec=1s",
                "say=READY=1 serve=one");
        load_begin(h, &load);
        for (unsigned i = 0; i < 4; i++)
                harness_await_line(h, "orker ", "is recycled after ", "RecycleSec=");
        assert_int_equal(load_end(&load).failed, 0);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "Workers fail"), 0);
}

/* What waits in the backlog is the first worker's, whenever it is ready. */
static void test_client_before_worker(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "web");
        client_open(h, &client, 0);
        client_send(&client, "ask\n");
        write_settings(&ctl, "Workers=1", "", "sleep=200 say=READY=1 serve=one");
        ctl_start(h, &ctl, .command = WORDS());
        assert_string_equal(client_await_line(h, &client), "one");
        client_close(&client);
        harness_stop(h);
}

/* Several sockets, with names, in any order; their flags are not touched. */
static void test_sockets_are_passed(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "web");
        (void)listener_add(h, LISTENER_UNIX, "admin");
        (void)listener_add(h, LISTENER_UNIX, "web");
        assert_int_equal(fcntl(h->sockets[0], F_SETFL, 0), 0);
        write_settings(&ctl, "Workers=1", "", "print say=READY=1 wait");
        ctl_start(h, &ctl, .command = WORDS());
        harness_await_line(h, "env LISTEN_FDNAMES=web:admin:web");
        harness_await_line(h, "fd 3 listens");
        harness_await_line(h, "fd 5 listens");
        harness_await_line(h, "printed");
        assert_int_equal(harness_count_lines(h, "ACCEPTD_"), 0);
        assert_int_equal(fcntl(h->sockets[0], F_GETFL) & O_NONBLOCK, 0);
        harness_stop(h);
}

/* --- Reload --- */

static void test_reloads_under_load(void **state)
{
        struct harness *h = *state;
        struct load_result result;
        struct load load;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=2", PROOF, "say=READY=1 serve=v0");
        load_begin(h, &load);
        for (int i = 1; i <= 15; i++) {
                char deeds[64];

                (void)snprintf(deeds, sizeof(deeds), "say=READY=1 serve=v%d", i);
                write_settings(&ctl, "Workers=2", PROOF, deeds);
                assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        }
        result = load_end(&load);
        assert_int_equal(result.failed, 0);
        assert_true(result.answered > 100);

        /* Old ones are drained when new ones are ready; both, in any order. */
        h->log.cursor = 0;
        harness_await_line(h, "Worker 29 ", "exited with status 0");
        h->log.cursor = 0;
        harness_await_line(h, "Worker 30 ", "exited with status 0");
        expect_answer(h, "v15");
        harness_stop(h);
}

/* `deeds` are those of a program that cannot serve. */
static void expect_reload_fails(struct harness *h, const struct ctl *ctl, const char *timeout,
        const char *deeds, const char *why)
{
        char worker[64];

        (void)snprintf(
                worker, sizeof(worker), "RestartMaxDelaySec=10s\nTimeoutStartSec=%s", timeout);
        write_settings(ctl, "Workers=1", worker, deeds);
        assert_int_equal(ctl_run(h, ctl, "reload", "test"), 1);
        if (!strstr(ctl_err, why))
                fail_msg("%s", ctl_err);
}

static void test_reloads_that_fail_under_load(void **state)
{
        struct harness *h = *state;
        struct load_result result;
        struct load load;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=1", PROOF, "say=READY=1 serve=old");
        load_begin(h, &load);
        expect_reload_fails(h, &ctl, "1min", "exit=3", "exited with status 3");
        expect_reload_fails(h, &ctl, "1min", "exit=0", "exited with status 0");
        expect_reload_fails(h, &ctl, "500ms", "wait", "not ready within TimeoutStartSec=");
        /* It has to be gone before it has proved itself, in 2 s. A sanitizer's look for leaks when
         * the adapter ends can take longer. */
        if (!SANITIZED) {
                expect_reload_fails(
                        h, &ctl, "1min", "say=READY=1 sleep=50 exit=3", "exited with status 3");
                expect_reload_fails(
                        h, &ctl, "1min", "say=READY=1 sleep=50 abort", "was ended by SIGABRT");
        }
        result = load_end(&load);
        assert_int_equal(result.failed, 0);
        expect_answer(h, "old");
        assert_int_equal(harness_count_lines(h, "Worker 1 ", "exited"), 0);
        harness_stop(h);
}

static void test_accept_cannot_be_reloaded(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=1", PROOF, "say=READY=1 serve=old");
        ctl_write_pool(&ctl, "Workers=1", "--serve=hold");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);
        assert_non_null(strstr(ctl_err, "Accept= cannot be changed by a reload"));
        expect_answer(h, "old");
        write_settings(&ctl, "Workers=1", PROOF, "say=READY=1 serve=new");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        harness_await_line(h, "Worker 1 ", "exited with status 0");
        expect_answer(h, "new");
        harness_stop(h);
}

/* --- Crashes --- */

static void test_crashes_under_load(void **state)
{
        struct harness *h = *state;
        struct load_result result;
        struct load load;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=2", PROOF, "say=READY=1 serve=one");
        harness_await_workers(h, 2);
        load_begin(h, &load);
        write_settings(&ctl, "Workers=3", PROOF, "exit=1"); /* nobody has reloaded that */
        for (int i = 0; i < 10; i++) {
                harness_crash(h);
                start_again(h, &ctl);
                harness_await_line(h, "Took over 2 workers");
        }
        result = load_end(&load);
        assert_int_equal(result.failed, 0);
        assert_true(result.answered > 100);
        assert_true(result.slowest < 5 * USEC_PER_SEC);
        assert_int_equal(harness_count_lines(h, "Worker ", "is ready"), 2);
        assert_int_equal(harness_count_lines(h, "cannot be read"), 0);
        harness_stop(h);
}

/* The service manager sets it at each start, or clears it, under the feet of programs that rely on
 * what it was. */
static void test_blocking_sockets_stay_so(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "web");
        assert_int_equal(fcntl(h->sockets[0], F_SETFL, 0), 0);
        write_settings(&ctl, "Workers=1", PROOF, "say=READY=1 wait");
        ctl_start(h, &ctl, .store = 64, .command = WORDS());
        harness_await_line(h, "Worker 1 ", "is ready");
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0); /* so it was noted */
        harness_crash(h);
        assert_int_equal(fcntl(h->sockets[0], F_SETFL, O_NONBLOCK), 0);
        start_again(h, &ctl);
        harness_await_line(h, "Took over");
        assert_int_equal(fcntl(h->sockets[0], F_GETFL) & O_NONBLOCK, 0);
        harness_stop(h);
}

static void test_nonblocking_sockets_stay_so(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "web");
        assert_int_equal(fcntl(h->sockets[0], F_SETFL, 0), 0);
        write_settings(&ctl, "Workers=1", PROOF, "say=READY=1 sleep=50 serve=one");
        ctl_start(h, &ctl, .store = 64, .command = WORDS());
        expect_answer(h, "one");
        assert_int_not_equal(fcntl(h->sockets[0], F_GETFL) & O_NONBLOCK, 0);
        write_settings(&ctl, "Workers=1", PROOF, "say=READY=1 serve=two");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0); /* does not change it */
        assert_int_not_equal(fcntl(h->sockets[0], F_GETFL) & O_NONBLOCK, 0);
        harness_await_line(h, "Worker 1 ", "exited with status 0");
        harness_crash(h);
        assert_int_equal(fcntl(h->sockets[0], F_SETFL, 0), 0);
        start_again(h, &ctl);
        harness_await_line(h, "Took over");
        assert_int_not_equal(fcntl(h->sockets[0], F_GETFL) & O_NONBLOCK, 0);
        harness_stop(h);
}

static void test_killed_adapter(void **state)
{
        struct harness *h = *state;
        struct procfs_stat st;
        struct ctl ctl;
        pid_t program, children[2];

        begin(h, &ctl, LISTENER_UNIX, "Workers=1", PROOF, "pid say=READY=1 serve=one");
        program = atoi(strstr(h->log.text, "pid ") + 4);
        assert_int_equal(procfs_stat(program, &st), 0);
        assert_int_equal(procfs_children(st.parent, children, 2), 2); /* and its guard */
        assert_int_equal(kill(st.parent, SIGKILL), 0);
        for (size_t i = 0; i < 2; i++) {
                harness_await_death(h, children[i]);
                assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
        }
        harness_await_line(h, "Worker 1 ", "was ended by SIGKILL");
        harness_await_line(h, "Worker 2 ", "is ready");
        expect_answer(h, "one");
        harness_stop(h);
}

/* --- Programs that fail --- */

static void test_degraded_until_one_has_proved_itself(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=1", "RestartSec=10ms\nRestartMaxDelaySec=300ms",
                "say=READY=1 sleep=30 exit=3");
        harness_await_line(h, "Workers fail: ", "exited with status 3");
        write_settings(&ctl, "Workers=1", "RestartSec=10ms\nRestartMaxDelaySec=300ms",
                "say=READY=1 serve=one");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        expect_answer(h, "one");
        harness_stop(h);
}

static void test_hung_program_is_replaced(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=1", PROOF,
                "say=READY=1 sleep=300 say=WATCHDOG=trigger wait");
        harness_await_line(h, "has triggered its watchdog");
        harness_await_line(h, "Worker 1 ", "was ended by SIGABRT");
        harness_await_line(h, "Worker 2 ", "is ready");
        harness_stop(h);
}

static void test_shutdown_of_tcp_listener(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        if (!listener_available(LISTENER_TCP4))
                harness_skip(h, "no TCP");
        begin(h, &ctl, LISTENER_TCP4, "Workers=1", PROOF,
                "say=READY=1 sleep=100 shutdown serve=one");
        harness_await_line(h, "Somebody called shutdown(2)", "(web)", "can have been 1 (PID ",
                "It listens again.");
        expect_answer(h, "one");
        harness_stop(h);
}

static void test_shutdown_of_unix_listener(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        begin(h, &ctl, LISTENER_UNIX, "Workers=1", PROOF, "say=READY=1 sleep=100 shutdown wait");
        harness_await_line(h, "Somebody called shutdown(2)", "has to be restarted.");
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "Somebody called"), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_serves),
                HARNESS_TEST(test_client_before_worker),
                HARNESS_TEST(test_sockets_are_passed),
                HARNESS_TEST(test_large_server_is_replaced),
                HARNESS_TEST(test_old_servers_are_replaced_under_load),
                HARNESS_TEST(test_reloads_under_load),
                HARNESS_TEST(test_reloads_that_fail_under_load),
                HARNESS_TEST(test_accept_cannot_be_reloaded),
                HARNESS_TEST(test_crashes_under_load),
                HARNESS_TEST(test_blocking_sockets_stay_so),
                HARNESS_TEST(test_nonblocking_sockets_stay_so),
                HARNESS_TEST(test_killed_adapter),
                HARNESS_TEST(test_degraded_until_one_has_proved_itself),
                HARNESS_TEST(test_hung_program_is_replaced),
                HARNESS_TEST(test_shutdown_of_tcp_listener),
                HARNESS_TEST(test_shutdown_of_unix_listener),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
