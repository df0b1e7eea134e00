/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reloads under bad circumstances: what was in force cannot be read, the descriptor store is full,
 * the check hangs, nobody wants to hear. The usual ones are test-reload.c's.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

/* --- Settings in force that cannot be read --- */

static int make_file(const char *text)
{
        int fd = memfd_create("acceptd-test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

/* Starts a dispatcher in the middle of a reload, as the execution in place does it: the program
 * before it had a value that this one does not know. */
static void begin_downgrade(
        struct harness *h, struct ctl *ctl, const char *pool, const char *worker)
{
        ctl_init(h, ctl);
        ctl_write_pool(ctl, pool, worker);
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_pass(h, make_file("[Pool]\nWorkers=NewerWord\n"), "settings");
        /* by what they are there: 3 and up in this order */
        harness_pass(h, make_file("3 main\n4 !s1\n6 acceptd-control\n"), "list");
        ctl_start(h, ctl, .command = WORDS(), .store = 64, .environment = WORDS("ACCEPTD_ADOPT=5"));
        harness_await_line(h, "settings that were in force cannot be read", "NewerWord");
}

static void expect_stored(struct harness *h, const char *name)
{
        (void)harness_counters(h);
        assert_int_equal(descriptor_store_count(&h->store, "!s"), 1);
        assert_true(descriptor_store_get(&h->store, name) >= 0);
}

static void test_settings_in_force_cannot_be_read(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        begin_downgrade(h, &ctl, "Workers=1", "--serve=hold");
        harness_await_line(h, "Generation 2 of the workers is starting", "changed: none.");
        harness_await_notify(h, "READY=1");
        client_open_served(h, &client, 0);
        client_close(&client);
        expect_stored(h, "!s2");
        harness_stop(h);
}

/* There is nothing to go back to: the new ones are in force, and the next reload mends them. */
static void test_nothing_to_roll_back_to(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        begin_downgrade(h, &ctl, "Workers=1", "--at=start --exit=7");
        harness_await_line(h, "reload failed", "exited with status 7");
        harness_await_notify(h, "READY=1");
        expect_stored(h, "!s1");
        ctl_write_pool(&ctl, "Workers=1", "--serve=hold");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        client_open_served(h, &client, 0);
        client_close(&client);
        harness_stop(h);
}

/* --- Many generations --- */

static void fail_reload(struct harness *h, const struct ctl *ctl, const char *reason)
{
        assert_int_equal(ctl_run(h, ctl, "reload", "test"), 1);
        if (!strstr(ctl_err, reason))
                fail_msg("\"%s\" is not in \"%s\"", reason, ctl_err);
}

/* 3 of its own, 3 for each worker, and 2 that are too few for another */
#define GENERATIONS 5
#define STORE       (3 + 3 * GENERATIONS + 2)

/* Each generation has a client. What the store could not take would die with it in a crash. */
static void test_generations_that_fill_the_store(void **state)
{
        static const char reason[] = "earlier generations";
        struct harness *h = *state;
        struct client clients[GENERATIONS];
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=1", .store = STORE);
        for (size_t i = 0; i < GENERATIONS; i++) {
                client_open_served(h, &clients[i], 0);
                if (i == GENERATIONS - 2) { /* there would be room for one more, not for two */
                        ctl_write_pool(&ctl, "Workers=2", "--serve=obey --capacity=1");
                        fail_reload(h, &ctl, reason);
                        ctl_write_pool(&ctl, "Workers=1", "--serve=obey --capacity=1");
                }
                if (i < GENERATIONS - 1)
                        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        }
        fail_reload(h, &ctl, reason);
        assert_int_equal(harness_counters(h).open, GENERATIONS);
        assert_int_equal(descriptor_store_count(&h->store, "+"), GENERATIONS);

        harness_crash(h);
        harness_start(
                h, .arguments = WORDS("-c", ctl.settings), .command = WORDS(), .store = STORE);
        harness_await_line(h, "Took over 5 workers with 5 open connections.");
        for (size_t i = 0; i < GENERATIONS; i++)
                client_exchange(h, &clients[i]);

        client_finish(h, &clients[0]);
        harness_await_death(h, clients[0].pid);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        for (size_t i = 1; i < GENERATIONS; i++)
                client_finish(h, &clients[i]);
        harness_stop(h);
}

/* --- A check that does not end --- */

/* Another program takes the place of this one: its check says so at h->fifo, and hangs. */
static void begin_hanging(struct harness *h, struct ctl *ctl)
{
        _cleanup_(fclosep) FILE *f = NULL;
        char program[PATH_MAX], script[PATH_MAX + 8];

        (void)snprintf(program, sizeof(program), "%s", harness_path("../../acceptd"));
        harness_copy_program(h, "acceptd", program);
        ctl_start_pool(h, ctl, "Workers=1", "--serve=hold", .program = program);

        (void)snprintf(script, sizeof(script), "%s.new", program);
        f = fopen(script, "we");
        assert_non_null(f);
        fprintf(f, "#!/bin/sh\necho hangs >%s\nread -r x <%s\n", h->fifo, h->fifo);
        assert_int_equal(fchmod(fileno(f), 0755), 0);
        assert_int_equal(fclose(TAKE_PTR(f)), 0);
        assert_int_equal(rename(script, program), 0);
}

/* Returns the connection of whoever waits for its outcome. */
static int start_reload(struct harness *h, const struct ctl *ctl)
{
        static const char call[] = CTL_CALL("io.acceptd.Pool.Reload");
        _cleanup_(fd_closep) int fifo = open(h->fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        int fd = ctl_connect(ctl);

        assert_true(fifo >= 0);
        ctl_send(fd, call, sizeof(call)); /* with its 0 */
        (void)harness_wait(h, fifo, POLLIN);
        return fd;
}

static void test_stop_while_the_check_hangs(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;
        int fd;

        begin_hanging(h, &ctl);
        fd = start_reload(h, &ctl);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        json_decref(ctl_receive(h, fd));
        fd_close(fd);
        harness_expect_exit(h, 0); /* and nothing is left behind */
}

static void test_check_that_hangs(void **state)
{
        struct harness *h = *state;
        json_auto_t *answer = NULL;
        char program[PATH_MAX];
        struct ctl ctl;
        int fd;

        begin_hanging(h, &ctl);
        fd = start_reload(h, &ctl);
        harness_await_notify(h, "RELOADING=1");
        answer = ctl_receive(h, fd);
        assert_string_equal(ctl_text(json_object_get(answer, "parameters"), "reason"),
                "the check of the settings took longer than 10s");
        fd_close(fd);
        harness_await_notify(h, "READY=1");

        /* the next one can be checked again */
        (void)snprintf(program, sizeof(program), "%s", harness_path("../../acceptd"));
        harness_copy_program(h, "acceptd", program);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        harness_stop(h);
}

/* --- A caller that wants no answer --- */

static void test_reload_without_an_answer(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=hold");
        assert_null(ctl_call(h, &ctl, "{\"method\":\"io.acceptd.Pool.Reload\",\"oneway\":true}"));
        harness_await_line(h, "Generation 2 of the workers is starting");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_settings_in_force_cannot_be_read),
                HARNESS_TEST(test_nothing_to_roll_back_to),
                HARNESS_TEST(test_generations_that_fill_the_store),
                HARNESS_TEST(test_stop_while_the_check_hangs),
                HARNESS_TEST(test_check_that_hangs),
                HARNESS_TEST(test_reload_without_an_answer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
