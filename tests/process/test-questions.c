/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * "AT THREE IN THE MORNING" of acceptd(8): each question, in the situation in which it is asked,
 * and the line that answers it. Why a worker died is asked of the journal: tests/system.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

/* Asks until the answer has these words, each in turn in one line of it. */
static void expect(struct harness *h, const struct ctl *ctl, const char *const *command,
        const char *const *words)
{
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);

        for (;;) {
                assert_int_equal(ctl_run_words(h, ctl, command), 0);
                for (char *line = strtok(ctl_out, "\n"); line; line = strtok(NULL, "\n")) {
                        const char *p = line;

                        for (size_t i = 0; p && words[i]; i++)
                                p = strstr(p, words[i]);
                        if (p)
                                return;
                }
                if (usec_now() > deadline)
                        fail_msg("no line with \"%s\"", words[0]);
                (void)usleep(50 * 1000);
        }
}

#define STATUS WORDS("status", "test")

static void test_who_is_refused_and_why(void **state)
{
        struct harness *h = *state;
        struct client clients[3];
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_TCP4, "main");
        ctl_write_pool(&ctl, "Workers=1\nMaxConnectionsPerSource=1", "--serve=hold --capacity=9");
        ctl_start(h, &ctl, .command = WORDS());
        harness_await_ready(h);
        client_open_served(h, &clients[0], 0);
        client_open(h, &clients[1], 0);
        client_open(h, &clients[2], 0);
        expect(h, &ctl, STATUS, WORDS("Refused: 2 source"));
        expect(h, &ctl, WORDS("connections", "test"), WORDS("main", "assigned", "127.0.0.1"));
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_close(&clients[i]);
        harness_stop(h);
}

/* Fills the only worker and a backlog of TCP, as tests/process/test-control.c does. */
static void saturate(struct harness *h, struct client *clients, size_t n)
{
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);

        client_open_served(h, &clients[0], 0);
        assert_int_equal(getsockname(h->sockets[0], (struct sockaddr *)&address, &length), 0);
        for (size_t i = 1; i < n; i++) {
                clients[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                (void)connect(clients[i].fd, (struct sockaddr *)&address, length);
        }
}

static void test_does_the_backlog_overflow_and_how_long_do_clients_wait(void **state)
{
        struct harness *h = *state;
        struct client clients[160] = {};
        json_auto_t *status = NULL;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_TCP4, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        harness_await_ready(h);
        expect(h, &ctl, STATUS, WORDS("main", "stream", " 0 ", "128", " 0"));
        saturate(h, clients, ELEMENTSOF(clients));
        expect(h, &ctl, STATUS, WORDS("Full: clients waited for ", "s in all, last ", "ago"));
        status = ctl_status(h, &ctl);
        assert_true(
                ctl_number(json_array_get(json_object_get(status, "listeners"), 0), "drops") > 0);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                (void)fd_close(clients[i].fd);
        harness_stop(h);
}

static void test_is_a_reload_still_draining_and_on_what(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=10");
        client_open_served(h, &client, 0);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        expect(h, &ctl, STATUS, WORDS(" 1  ", "draining"));
        expect(h, &ctl, WORDS("connections", "test", "--worker=1"), WORDS("main", "1", "assigned"));
        client_finish(h, &client);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--no-old", "--timeout=60"), 0);
        harness_stop(h);
}

/* An edit that nobody reloaded is none of the settings in force. */
static void test_which_settings_are_in_force_and_where_from(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=line");
        ctl_write_pool(&ctl, "Workers=2", "--serve=line");
        assert_int_equal(ctl_run(h, &ctl, "settings", "test"), 0);
        assert_non_null(strstr(ctl_out, "/test.conf:2\nWorkers=1\n"));
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_int_equal(ctl_run(h, &ctl, "settings", "test"), 0);
        if (!strstr(ctl_out, "/test.conf:2\nWorkers=2\n"))
                fail_msg("%.300s", ctl_out);
        harness_stop(h);
}

static void test_since_when_is_it_degraded(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1", "RestartSec=30s"),
                .command = WORDS("/nonexistent"));
        harness_await_ready(h);
        expect(h, &ctl, STATUS, WORDS("Degraded: ", "s ago: ", "/nonexistent: No such file"));
        harness_stop(h);
}

static void test_which_worker_leaks_or_hangs(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL;
        const json_t *worker;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--capacity=10\nWatchdogSec=200ms\nTimeoutStopSec=1s");
        expect(h, &ctl, WORDS("top", "test", "--sort=memory", "--interval=100ms"),
                WORDS("WORKER", "MEMORY"));
        status = ctl_status(h, &ctl);
        worker = json_array_get(json_object_get(status, "workers"), 0);
        assert_int_equal(kill((pid_t)ctl_number(worker, "pid"), SIGSTOP), 0);
        expect(h, &ctl, STATUS, WORDS("Last hang: ", "ago: Worker 1 ", "hangs: no answer for"));
        expect(h, &ctl, STATUS, WORDS("Last end: ", "ago: Worker 1 "));
        harness_stop(h);
}

static void test_did_the_last_upgrade_lose_anything(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=10");
        client_open_served(h, &client, 0);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        client_exchange(h, &client);
        expect(h, &ctl, STATUS, WORDS("Last reload: ", "ago: Generation 2 "));
        expect(h, &ctl, STATUS, WORDS("Total: 1 accepted", " 0 lost, 0 refused"));
        assert_int_equal(kill(client.pid, SIGKILL), 0);
        expect(h, &ctl, STATUS, WORDS("Total: 1 accepted", " 1 lost"));
        client_close(&client);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_who_is_refused_and_why),
                HARNESS_TEST(test_does_the_backlog_overflow_and_how_long_do_clients_wait),
                HARNESS_TEST(test_is_a_reload_still_draining_and_on_what),
                HARNESS_TEST(test_which_settings_are_in_force_and_where_from),
                HARNESS_TEST(test_since_when_is_it_degraded),
                HARNESS_TEST(test_which_worker_leaks_or_hangs),
                HARNESS_TEST(test_did_the_last_upgrade_lose_anything),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
