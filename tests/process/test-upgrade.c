/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The program is replaced by another one and executed in place, under load: from an earlier
 * revision, whose ledger has another layout, to this one; back, which is refused; and to one whose
 * ledger has larger parts, and back.
 */

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

#define OLD        "../../old/acceptd"
#define GROWN      "acceptd-grown"
#define NOW        "../../acceptd"
#define NO_HISTORY "there is no history to build the earlier revision from"
#define ROUNDS     20
#define LOADS      4

static const char settings[] = "Workers=2";
static const char worker[] = "--serve=obey --capacity=16";

/* --- The load --- */

struct load {
        pid_t pids[LOADS];
        int stop_fd, report_fd;
};

/* One client after another, until the pipe closes. Returns how many there were, or -1. */
static long run_clients(const struct sockaddr *address, socklen_t length, int stop_fd)
{
        char text[512], byte;
        long n = 0;

        for (; read(stop_fd, &byte, 1) < 0; n++) {
                _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (connect(fd, address, length) < 0 || read(fd, text, sizeof(text)) <= 0 ||
                        send(fd, "done\n", 5, MSG_NOSIGNAL) != 5)
                        return -1;
                while (read(fd, text, sizeof(text)) > 0)
                        ;
        }

        return n;
}

static void load_start(struct load *load, const struct harness *h)
{
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);
        int stop[2], report[2];

        assert_int_equal(getsockname(h->sockets[0], (struct sockaddr *)&address, &length), 0);
        assert_int_equal(pipe2(stop, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(pipe2(report, O_CLOEXEC), 0);
        for (size_t i = 0; i < LOADS; i++) {
                load->pids[i] = fork();
                assert_true(load->pids[i] >= 0);
                if (load->pids[i] == 0) {
                        long n;

                        (void)close(stop[1]);
                        n = run_clients((const struct sockaddr *)&address, length, stop[0]);
                        (void)!write(report[1], &n, sizeof(n));
                        _exit(0);
                }
        }
        fd_close(stop[0]);
        fd_close(report[1]);
        load->stop_fd = stop[1];
        load->report_fd = report[0];
}

/* Returns how many clients there were; none of them has failed. */
static uint64_t load_stop(struct load *load)
{
        uint64_t sum = 0;

        fd_close(load->stop_fd);
        for (size_t i = 0; i < LOADS; i++) {
                long n;

                assert_int_equal(read(load->report_fd, &n, sizeof(n)), sizeof(n));
                assert_true(n >= 0);
                sum += (uint64_t)n;
        }
        for (size_t i = 0; i < LOADS; i++)
                assert_int_equal(waitpid(load->pids[i], NULL, 0), load->pids[i]);
        fd_close(load->report_fd);
        return sum;
}

/* --- Programs --- */

/* Puts a program in the place of the one that runs, as a package does. */
static void install(const struct harness *h, const char *program)
{
        char path[PATH_MAX], to[PATH_MAX];

        (void)snprintf(path, sizeof(path), "%s", harness_path(program));
        harness_copy_program(h, "acceptd.new", path);
        (void)snprintf(to, sizeof(to), "%s/acceptd", h->dir);
        assert_int_equal(rename(path, to), 0);
}

static void begin(struct harness *h, struct ctl *ctl, const char *program)
{
        static char path[PATH_MAX];

        if (access(harness_path(program), X_OK) < 0)
                harness_skip(h, NO_HISTORY);
        install(h, program);
        (void)snprintf(path, sizeof(path), "%s/acceptd", h->dir);
        ctl_start_pool(h, ctl, settings, worker, .program = path, .store = 64);
        harness_await_workers(h, 2);
}

static size_t find(const struct harness *h, const char *text)
{
        const char *at = strstr(h->log.text, text);

        return at ? (size_t)(at - h->log.text) : SIZE_MAX;
}

/* No worker was told to end before the first one of the new generation was ready. */
static void reload_under_load(struct harness *h, const struct ctl *ctl, struct client held[2])
{
        assert_int_equal(ctl_run(h, ctl, "reload", "test"), 0);
        harness_await_line(h, "Generation ", "is starting");
        (void)harness_await_stub(h, "drains");
        assert_true(find(h, "is starting") < find(h, "drains"));
        for (size_t i = 0; i < 2; i++)
                client_exchange(h, &held[i]);
}

static void end(struct harness *h, struct client held[2], struct load *load)
{
        uint64_t n = load_stop(load);

        for (size_t i = 0; i < 2; i++) {
                client_exchange(h, &held[i]);
                client_finish(h, &held[i]);
        }
        assert_int_equal(harness_await_counter(h, open, 0).accepted, n + 2);
        assert_int_equal(harness_counters(h).done, n + 2);
        assert_int_equal(harness_count_lines(h, "cannot be used"), 0);
        harness_stop(h);
}

/* --- Tests --- */

static void upgrade(struct harness *h)
{
        struct client held[2];
        struct load load;
        struct ctl ctl;

        begin(h, &ctl, OLD);
        client_open_at_each(h, held, 0);
        load_start(&load, h);
        install(h, NOW);
        reload_under_load(h, &ctl, held);
        end(h, held, &load);
}

static void test_from_an_earlier_revision(void **state)
{
        (void)state;
        if (access(harness_path(OLD), X_OK) < 0) {
                print_message("skipped: " NO_HISTORY "\n");
                skip(); /* before there is anything to be cleaned up */
        }
        for (int i = 0; i < ROUNDS; i++) {
                void *h;

                assert_int_equal(harness_setup(&h), 0);
                upgrade(h);
                assert_int_equal(harness_teardown(&h), 0);
        }
}

/* What an earlier revision put into the store is found by this one after a crash, too; and by the
 * next one, before and after the workers of then have gone. */
static void test_crash_of_an_earlier_revision(void **state)
{
        struct harness *h = *state;
        struct client held[2];
        struct ctl ctl;
        const char *line;

        begin(h, &ctl, OLD);
        client_open_at_each(h, held, 0);
        install(h, NOW);
        for (int i = 0; i < 3; i++) {
                harness_crash(h);
                harness_start(h, .arguments = WORDS("-c", ctl.settings), .command = WORDS(),
                        .program = NOW, .store = 64);
                harness_await_ready(h);
                harness_await_line(h, "Took over 2 workers with 2 open connections");
                for (size_t k = 0; k < 2; k++)
                        client_exchange(h, &held[k]);
                (void)harness_counters(h);
                assert_int_equal(descriptor_store_count(&h->store, "acceptd-ledger"), 0);
                assert_int_equal(descriptor_store_count(&h->store, "acceptd-settings"), 0);
                assert_int_equal(h->store.n, 9);
        }
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        harness_await_line(h, "Generation 2 ", "is starting");
        for (size_t i = 0; i < 2; i++)
                client_finish(h, &held[i]);
        (void)harness_await_counter(h, done, 2);
        line = harness_await_line(h, "orker 1 (PID ");
        assert_true(
                strstr(line, "exited with status 0") || strstr(line, "ended in an unknown way"));
        harness_stop(h);
}

/* Seen before anything is touched: an earlier revision does not know the question. */
static void test_back_to_an_earlier_revision(void **state)
{
        struct harness *h = *state;
        struct client held[2];
        struct load load;
        struct ctl ctl;

        if (access(harness_path(OLD), X_OK) < 0)
                harness_skip(h, NO_HISTORY);
        begin(h, &ctl, NOW);
        client_open_at_each(h, held, 0);
        load_start(&load, h);
        install(h, OLD);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);
                harness_await_line(h, "nothing changed", "cannot take over the workers",
                        "systemctl restart is needed");
        }
        assert_int_equal(harness_count_lines(h, "drains"), 0);
        assert_int_equal(harness_count_lines(h, "Took over"), 0);
        install(h, NOW);
        reload_under_load(h, &ctl, held);
        end(h, held, &load);
}

static void test_larger_parts_and_back(void **state)
{
        struct harness *h = *state;
        struct client held[2];
        struct load load;
        struct ctl ctl;

        begin(h, &ctl, NOW);
        client_open_at_each(h, held, 0);
        load_start(&load, h);
        for (int i = 0; i < 3; i++) {
                install(h, GROWN);
                reload_under_load(h, &ctl, held);
                install(h, NOW);
                reload_under_load(h, &ctl, held);
        }
        assert_true(descriptor_store_get(&h->store, "!l7") >= 0);
        assert_int_equal(descriptor_store_count(&h->store, "!l"), 1);
        end(h, held, &load);
}

/* What an earlier generation has is copied, too. */
static void test_growth(void **state)
{
        struct harness *h = *state;
        struct client held[2];
        struct load load;
        struct ctl ctl;

        begin(h, &ctl, NOW);
        client_open_at_each(h, held, 0);
        load_start(&load, h);
        ctl_write_pool(&ctl, "Workers=2\nWorkersMax=4\nMaxConnections=500000", worker);
        reload_under_load(h, &ctl, held);
        assert_true(descriptor_store_get(&h->store, "!l2") >= 0);
        ctl_write_pool(&ctl, settings, worker);
        reload_under_load(h, &ctl, held);
        (void)harness_counters(h);
        assert_true(descriptor_store_get(&h->store, "!l2") >= 0); /* it stays as it is */
        end(h, held, &load);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_from_an_earlier_revision),
                HARNESS_TEST(test_crash_of_an_earlier_revision),
                HARNESS_TEST(test_back_to_an_earlier_revision),
                HARNESS_TEST(test_larger_parts_and_back),
                HARNESS_TEST(test_growth),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
