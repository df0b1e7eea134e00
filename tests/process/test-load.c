/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The real pool with the echo worker under load: held connections beside short ones, each byte
 * verified by tests/bench/load, and the counters against what the clients counted.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "client.h"
#include "procfs.h"

/* The dispatcher says the same only so often in ten seconds. */
#define SAMPLE_MSEC 100

struct load {
        pid_t pid;
        int out_fd;
        char *result;
};

static void load_start(struct load *load, const struct harness *h, const char *const *options)
{
        char to[192];
        const char *argv[16] = { harness_path("../bench/load"), to };
        int ends[2];

        (void)snprintf(to, sizeof(to), "--to=%s", listener_destination(h, 0));
        for (size_t i = 0; options[i]; i++) {
                assert_true(i + 3 < ELEMENTSOF(argv));
                argv[i + 2] = options[i];
        }

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        load->pid = fork();
        assert_true(load->pid >= 0);
        if (load->pid == 0) {
                (void)dup2(ends[1], STDOUT_FILENO);
                execv(argv[0], (char *const *)(uintptr_t)argv);
                _exit(127);
        }
        (void)fd_close(ends[1]);
        load->out_fd = ends[0];
        load->result = NULL;
}

/* Samples the counters, and with them the law, until the load is over. Returns its exit status. */
static int load_finish(struct load *load, struct harness *h)
{
        char text[4096] = "";
        size_t size = 0;
        ssize_t n;
        int status;

        for (;;) {
                struct pollfd out = { .fd = load->out_fd, .events = POLLIN };

                (void)harness_counters(h);
                if (poll(&out, 1, SAMPLE_MSEC) == 0)
                        continue;
                n = read(load->out_fd, text + size, sizeof(text) - 1 - size);
                if (n <= 0)
                        break;
                size += (size_t)n;
        }
        load->out_fd = fd_close(load->out_fd);
        load->result = strdup(text);
        assert_int_equal(waitpid(load->pid, &status, 0), load->pid);
        assert_true(WIFEXITED(status));

        return WEXITSTATUS(status);
}

static uint64_t load_get(const struct load *load, const char *key)
{
        char pattern[64];
        const char *at;

        (void)snprintf(pattern, sizeof(pattern), " %s=", key);
        at = strstr(load->result, pattern);
        if (!at)
                fail_msg("no %s in \"%s\"", key, load->result);

        return strtoull(at + strlen(pattern), NULL, 10);
}

static void start_pool(struct harness *h, enum listener_kind kind, const char *const *options)
{
        if (!listener_available(kind))
                harness_skip(h, "this machine has no such sockets");
        (void)listener_add(h, kind, "echo");
        harness_start(h, .options = options, .command = WORDS());
        harness_await_workers(h, 2);
}

/* All is well for the clients, and the dispatcher counted what they did. */
static void check_all_served(struct load *load, struct harness *h)
{
        struct counters c;

        if (load_finish(load, h) != 0)
                fail_msg("failures under load: %s", load->result);
        assert_int_equal(load_get(load, "failures"), 0);

        c = harness_await_counter(h, open, 0);
        assert_int_equal(c.accepted, load_get(load, "connected"));
        assert_int_equal(c.done, c.accepted);
        assert_int_equal(c.lost, 0);
        assert_int_equal(c.refused, 0);
        assert_int_equal(c.taken_back, 0);
}

static void check_held_and_short(struct harness *h, enum listener_kind kind)
{
        struct load load;

        /* On a busy machine a worker may be slow to receive, which is not what is looked at here.
         */
        start_pool(h, kind, WORDS("Workers=2", "QueueTimeoutSec=infinity"));
        load_start(&load, h, WORDS("--held=50", "--held-interval=20", "--rate=400", "--seconds=3"));
        check_all_served(&load, h);
        assert_int_equal(load_get(&load, "held_ok"), 50);
        assert_true(load_get(&load, "held_exchanges") > 50);
        assert_true(load_get(&load, "short_ok") > 50);
        free(load.result);
        harness_stop(h);
}

static void test_unix(void **state)
{
        check_held_and_short(*state, LISTENER_UNIX);
}

static void test_seqpacket(void **state)
{
        check_held_and_short(*state, LISTENER_SEQPACKET);
}

static void test_tcp4(void **state)
{
        check_held_and_short(*state, LISTENER_TCP4);
}

static void test_tcp6(void **state)
{
        check_held_and_short(*state, LISTENER_TCP6);
}

/* More clients than credits: the rest waits in the backlog, and nobody is turned away. */
static void test_more_clients_than_credits(void **state)
{
        struct harness *h = *state;
        struct load load;
        struct counters c;

        start_pool(h, LISTENER_UNIX,
                WORDS("Workers=2", "ConnectionsPerWorker=3", "QueueTimeoutSec=infinity"));
        load_start(&load, h, WORDS("--clients=40", "--count=4000", "--half-close", "--bytes=5000"));
        do {
                c = harness_counters(h);
                assert_in_range(c.open, 0, 6);
                (void)poll(NULL, 0, SAMPLE_MSEC);
        } while (c.accepted < 4000);
        check_all_served(&load, h);
        free(load.result);
        harness_stop(h);
}

/* Kills one of the workers, once there are some and 20 more connections were served. */
static void kill_one_in_work(struct harness *h)
{
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);
        uint64_t done = harness_counters(h).done + 20;
        pid_t workers[8];
        size_t n;

        do {
                assert_true(usec_now() < deadline);
                (void)poll(NULL, 0, SAMPLE_MSEC);
                n = procfs_children(h->pid, workers, ELEMENTSOF(workers));
        } while (harness_counters(h).done < done || n == 0);
        assert_int_equal(kill(workers[done % n], SIGKILL), 0);
        harness_await_death(h, workers[done % n]);
}

#define KILLS 5U

/* Workers that die under load: only what they had received fails, and no more than is counted.
 * Clients that have failed are between all that are lost and those of them that were not idle, but
 * for one with each worker that was answered in the instant of its death. Returns how many failed.
 */
static uint64_t kill_workers_under_load(struct harness *h, const char *const *options)
{
        struct load load;
        struct counters c;
        uint64_t failures, busy;

        start_pool(h, LISTENER_UNIX, WORDS("Workers=2", "RestartSec=10ms"));
        load_start(&load, h, options);
        for (unsigned i = 0; i < KILLS; i++)
                kill_one_in_work(h);

        (void)load_finish(&load, h);
        failures = load_get(&load, "failures");
        assert_int_equal(failures, load_get(&load, "short_eof") + load_get(&load, "short_reset") +
                                           load_get(&load, "held_eof") +
                                           load_get(&load, "held_reset"));
        c = harness_await_counter(h, open, 0);
        assert_in_range(c.lost_idle, 0, c.lost);
        busy = c.lost - c.lost_idle;
        assert_in_range(failures, busy - MIN(busy, KILLS), c.lost);
        assert_int_equal(c.accepted, load_get(&load, "connected"));
        assert_int_equal(c.refused, 0);
        free(load.result);
        harness_stop(h);
        return failures;
}

static void test_workers_die_under_load(void **state)
{
        assert_true(kill_workers_under_load(*state, WORDS("--held=20", "--held-interval=20",
                                                            "--rate=400", "--seconds=3")) > 0);
}

static void test_workers_die_while_clients_close_first(void **state)
{
        (void)kill_workers_under_load(*state, WORDS("--clients=16", "--seconds=3"));
}

static void test_workers_die_while_clients_half_close(void **state)
{
        (void)kill_workers_under_load(*state, WORDS("--clients=16", "--seconds=3", "--half-close"));
}

/* That the load generator would see it: a service that answers something else. */
static void test_wrong_answers_are_noticed(void **state)
{
        struct harness *h = *state;
        struct load load;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        harness_await_ready(h);
        load_start(&load, h, WORDS("--clients=1", "--count=3"));
        assert_int_equal(load_finish(&load, h), 1);
        assert_int_equal(load_get(&load, "short_wrong"), 3);
        assert_int_equal(load_get(&load, "failures"), 3);
        free(load.result);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_unix),
                HARNESS_TEST(test_seqpacket),
                HARNESS_TEST(test_tcp4),
                HARNESS_TEST(test_tcp6),
                HARNESS_TEST(test_more_clients_than_credits),
                HARNESS_TEST(test_workers_die_under_load),
                HARNESS_TEST(test_workers_die_while_clients_close_first),
                HARNESS_TEST(test_workers_die_while_clients_half_close),
                HARNESS_TEST(test_wrong_answers_are_noticed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
