/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Nothing but clients and workers holds up dispatching: not a service manager that reads nothing,
 * nor programs and settings on a file system that does not answer.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

/* --- A service manager that reads nothing --- */

/* Other services fill its queue. Each sender has a limit of its own. */
static void fill_queue(struct harness *h)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        unsigned n;

        h->is_deaf = true;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.64s/notify", h->dir);
        do {
                int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

                assert_true(fd >= 0);
                assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
                for (n = 0; send(fd, "X_OTHER=1", 9, MSG_DONTWAIT) == 9; n++)
                        ;
                fd_close(fd);
        } while (n > 0);
}

/* A worker has `client`: kills it, and waits until the dispatcher knows. */
static void kill_its_worker(struct harness *h, struct client *client)
{
        char number[32];

        (void)snprintf(number, sizeof(number), "Worker %u ", client->worker);
        assert_int_equal(kill(client->pid, SIGKILL), 0);
        (void)client_await_end(h, client);
        harness_await_line(h, number, "was ended by SIGKILL");
}

static void await_stored(struct harness *h, size_t n_workers)
{
        static const char *const kinds[] = { "=", "%", "+" };
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                while (descriptor_store_count(&h->store, kinds[i]) != n_workers) {
                        assert_true(usec_now() < deadline);
                        (void)harness_counters(h);
                }
}

/* The pool stood still for as long as nobody read. */
static void test_workers_come_and_go_while_nothing_is_read(void **state)
{
        struct harness *h = *state;
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=2"),
                .stub = WORDS("--serve=obey", "--capacity=4"), .store = 64);
        harness_await_workers(h, 2);
        (void)harness_counters(h);
        fill_queue(h);

        /* none of the first workers is left, and their successors are served by, too */
        for (int i = 0; i < 12; i++) {
                client_open_served(h, &client, 0);
                client_exchange(h, &client);
                kill_its_worker(h, &client);
        }
        client_open_served(h, &client, 0);
        h->log.cursor = 0; /* it was said in between, or is so in a moment */
        harness_await_line(h, "service manager takes no messages");

        /* Afterwards it knows what there is, and nothing else. The status goes after all that
         * waits, and says that the last successor is there, too. */
        h->is_deaf = false;
        harness_await_notify(h, "STATUS=2/2 workers ready; connections: 1 open", "12 lost");
        await_stored(h, 2);
        harness_crash(h);
        harness_start(h, .options = WORDS("Workers=2"),
                .stub = WORDS("--serve=obey", "--capacity=4"), .store = 64);
        harness_await_line(h, "Took over 2 workers with 1 open connection.");
        client_exchange(h, &client);
        client_close(&client);
        harness_stop(h);
}

static void test_stop_while_nothing_is_read(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=2"), .watchdog = 100 * USEC_PER_MSEC);
        harness_await_workers(h, 2);
        (void)harness_counters(h);
        fill_queue(h);
        harness_stop(h);
}

static void fail_reload(struct harness *h, const struct ctl *ctl, const char *reason)
{
        assert_int_equal(ctl_run(h, ctl, "reload", "test"), 1);
        if (!strstr(ctl_err, reason))
                fail_msg("\"%s\" is not in \"%s\"", reason, ctl_err);
}

/* A service manager that takes nothing for a moment, as while it reads its units again, is no
 * reason to fail: it was one after a twentieth of a second. */
static void test_reload_while_the_manager_is_busy(void **state)
{
        static const char call[] = "{\"method\":\"io.acceptd.Pool.Reload\"}";
        struct harness *h = *state;
        struct ctl ctl;
        int fd;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey", .store = 64);
        (void)harness_counters(h);
        fill_queue(h);
        fd = ctl_connect(&ctl);
        ctl_send(fd, call, sizeof(call));
        (void)poll(NULL, 0, 300); /* the check may take longer: then this shows nothing */
        h->is_deaf = false;
        harness_await_notify(h, "RELOADING=1");
        harness_await_line(h, "Generation 2 ", "is starting");
        assert_int_equal(harness_count_lines(h, "reload failed"), 0);
        fd_close(fd);
        harness_stop(h);
}

/* The next image would not know what the service manager is still to be told. */
static void test_reload_while_nothing_is_read(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey", .store = 64);
        (void)harness_counters(h);
        fill_queue(h);
        fail_reload(h, &ctl, "the service manager takes no messages");
        fail_reload(h, &ctl, "the service manager takes no messages"); /* at once */
        client_open_served(h, &client, 0);

        h->is_deaf = false;
        harness_await_notify(h, "RELOADING=1");
        harness_await_notify(h, "READY=1");
        assert_int_equal(harness_count(&h->notify, WORDS("RELOADING=1")), 1);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        client_finish(h, &client);
        harness_stop(h);
}

/* --- Settings that change, or take forever, after the check --- */

/* To be exchanged for another one. What executes workers for it lies beside it. */
static void copy_acceptd(const struct harness *h, char program[static PATH_MAX])
{
        (void)snprintf(program, PATH_MAX, "%s", harness_path("../../acceptd-confine"));
        harness_copy_program(h, "acceptd-confine", program);
        (void)snprintf(program, PATH_MAX, "%s", harness_path("../../acceptd"));
        harness_copy_program(h, "acceptd", program);
}

/* Puts a script in the place of the program: its check is the real one, and then has the settings
 * be something else. */
static void spoil_settings_after_the_check(const char *program, const struct ctl *ctl)
{
        _cleanup_(fclosep) FILE *f = NULL;
        const char *real = harness_path("../../acceptd");
        char script[PATH_MAX + 8];

        (void)snprintf(script, sizeof(script), "%s.new", program);
        f = fopen(script, "we");
        assert_non_null(f);
        fprintf(f,
                "#!/bin/sh\n"
                "[ \"$1\" = --check ] || exec %s \"$@\"\n"
                "%s \"$@\"; status=$?; echo Wrong >%s; exit $status\n",
                real, real, ctl->settings);
        assert_int_equal(fchmod(fileno(f), 0755), 0);
        assert_int_equal(fclose(TAKE_PTR(f)), 0);
        assert_int_equal(rename(script, program), 0);
}

/* They were read again by the next image, and what was in force was not what was checked. */
static void test_settings_are_read_once(void **state)
{
        struct harness *h = *state;
        char program[PATH_MAX];
        struct ctl ctl;

        copy_acceptd(h, program);
        ctl_start_pool(h, &ctl, "Workers=1", "--serve=hold", .program = program);
        ctl_write_pool(&ctl, "Workers=2\nMaxConnections=77", "--serve=hold");
        spoil_settings_after_the_check(program, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        harness_await_line(h, "Generation 2", "changed: Workers=, WorkersMax=, MaxConnections=.");
        fail_reload(h, &ctl, "test.conf:1: not understood"); /* so it was spoilt */
        harness_stop(h);
}

/* --- Programs that take long to be executed --- */

/* Puts a copy in its place that cannot be opened, and so not be executed, until release(): as on a
 * file system that does not answer. The kernel waits for the holder of a lease, fcntl(2), up to
 * /proc/sys/fs/lease-break-time, which is longer than any deadline here. Returns the lease. */
static int block_program(struct harness *h, const char *program)
{
        char copy[PATH_MAX], path[PATH_MAX];
        int fd;

        assert_true(signal(SIGIO, SIG_IGN) != SIG_ERR);
        (void)snprintf(copy, sizeof(copy), "%s", program);
        harness_copy_program(h, "blocked", copy);
        (void)snprintf(path, sizeof(path), "%s", program);
        fd = open(copy, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
                fd_close(fd);
                harness_skip(h, "this file system has no leases");
        }
        assert_int_equal(rename(copy, path), 0);
        return fd;
}

static void release(int lease)
{
        assert_int_equal(fcntl(lease, F_SETLEASE, F_UNLCK), 0);
        fd_close(lease);
}

/* Nobody was served until it was executed. */
static void test_worker_that_is_slow_to_be_executed(void **state)
{
        struct harness *h = *state;
        struct client clients[2];
        char program[PATH_MAX];
        int lease;

        (void)snprintf(program, sizeof(program), "%s", harness_path("stub-worker"));
        harness_copy_program(h, "worker", program);
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=2"),
                .command = WORDS(program, "--serve=obey", "--capacity=4"));
        harness_await_workers(h, 2);
        client_open_at_each(h, clients, 0);

        lease = block_program(h, program);
        kill_its_worker(h, &clients[0]);
        client_open_served(h, &clients[0], 0); /* the other one is the only one */
        assert_int_equal(clients[0].pid, clients[1].pid);
        client_exchange(h, &clients[0]);
        assert_int_equal(harness_count_lines(h, "orker ", " is ready"), 2);

        release(lease);
        harness_await_workers(h, 3);
        for (int i = 0; i < 2; i++)
                client_close(&clients[i]);
        harness_stop(h);
}

static void test_check_that_is_slow_to_be_executed(void **state)
{
        static const char call[] = CTL_CALL("io.acceptd.Pool.Reload");
        struct harness *h = *state;
        json_auto_t *answer = NULL;
        char program[PATH_MAX];
        struct client client;
        struct ctl ctl;
        int lease, fd;

        copy_acceptd(h, program);
        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=4", .program = program);
        lease = block_program(h, program);
        fd = ctl_connect(&ctl);
        ctl_send(fd, call, sizeof(call)); /* with its 0 */
        harness_await_notify(h, "RELOADING=1");
        client_open_served(h, &client, 0);
        client_exchange(h, &client);

        release(lease);
        answer = ctl_receive(h, fd);
        assert_null(json_object_get(answer, "error"));
        fd_close(fd);
        client_finish(h, &client);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_workers_come_and_go_while_nothing_is_read),
                HARNESS_TEST(test_stop_while_nothing_is_read),
                HARNESS_TEST(test_reload_while_the_manager_is_busy),
                HARNESS_TEST(test_reload_while_nothing_is_read),
                HARNESS_TEST(test_settings_are_read_once),
                HARNESS_TEST(test_worker_that_is_slow_to_be_executed),
                HARNESS_TEST(test_check_that_is_slow_to_be_executed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
