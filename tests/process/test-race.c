/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * "A worker takes over the dispatcher": it opened its memory and its ledger while a reload or a
 * restart executed the program, before that had made itself undumpable. Here a worker tries all the
 * time. ACCEPTD_RACE_SECONDS in the environment is for how long, three in `make check`.
 */

#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client.h"
#include "sanitized.h"

#define RELOADS_PER_CRASH 10
#define ABI_WITH_SCOPES   6

/* What keeps it out. */
enum {
        UNREADABLE = 1 << 0, /* the program of the dispatcher */
        CONFINED = 1 << 1,   /* the workers */
};

struct outcome {
        unsigned long tries, dispatcher, neighbours, signals;
};

static int landlock_abi(void)
{
        return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static unsigned long seconds(void)
{
        const char *text = getenv("ACCEPTD_RACE_SECONDS");

        return text ? strtoul(text, NULL, 10) : 3;
}

static void start(struct harness *h, unsigned layers)
{
        harness_start(h, .options = WORDS("Workers=2"), .stub = WORDS("--serve=race"), .store = 64,
                .unprivileged = true, .readable = !(layers & UNREADABLE),
                .unconfined = !(layers & CONFINED));
}

static void reload(struct harness *h)
{
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_ready(h); /* the gate; lines may be dropped while workers write a lot */
}

/* What the figures are worth, with CMOCKA_MESSAGE_OUTPUT=stdout */
static void tell(const struct outcome *o, unsigned reloads, unsigned crashes)
{
        print_message("%u reloads, %u crashes, %lu tries: dispatcher %lu, neighbours %lu, signals "
                      "%lu\n",
                reloads, crashes, o->tries, o->dispatcher, o->neighbours, o->signals);
}

static void crash(struct harness *h, unsigned layers)
{
        harness_crash(h);
        start(h, layers);
        harness_await_ready(h);
}

static struct outcome end_race(struct harness *h, struct client *client)
{
        struct outcome o;
        const char *line;

        assert_int_equal(shutdown(client->fd, SHUT_WR), 0);
        line = client_await_line(h, client);
        assert_int_equal(sscanf(line, "race tries=%lu dispatcher=%lu neighbours=%lu signals=%lu",
                                 &o.tries, &o.dispatcher, &o.neighbours, &o.signals),
                4);
        assert_int_equal(client_await_end(h, client), CLIENT_END_CLEAN);
        return o;
}

/* A race through reloads and crashes, for so long. */
static struct outcome race(struct harness *h, unsigned layers, usec_t duration)
{
        usec_t end = usec_add(usec_now(), duration);
        unsigned crashes = 0;
        struct client client;
        struct outcome o;

        if (geteuid() != 0)
                harness_skip(h, "a program that its own user cannot read needs root");
        if (layers & CONFINED) {
                if (landlock_abi() < ABI_WITH_SCOPES && layers == CONFINED)
                        harness_skip(h, "this kernel does not confine workers as tested here");
                /* as NoNewPrivileges= of the units */
                assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        }

        (void)listener_add(h, LISTENER_UNIX, "main");
        start(h, layers);
        harness_await_ready(h);
        harness_await_workers(h, 2);
        client_open_served(h, &client, 0);
        do {
                for (int i = 0; i < RELOADS_PER_CRASH; i++)
                        reload(h);
                crash(h, layers);
                crashes++;
        } while (usec_now() < end);

        o = end_race(h, &client);
        tell(&o, crashes * RELOADS_PER_CRASH, crashes);
        assert_true(o.tries > 0);
        harness_stop(h);
        return o;
}

static void test_worker_does_not_take_over_the_dispatcher(void **state)
{
        struct outcome o = race(*state, UNREADABLE | CONFINED, seconds() * USEC_PER_SEC);

        assert_int_equal(o.dispatcher, 0);
        if (landlock_abi() >= ABI_WITH_SCOPES) {
                assert_int_equal(o.neighbours, 0);
                assert_int_equal(o.signals, 0);
        }
}

/* On a kernel, or in a sandbox, that has no Landlock */
static void test_unreadable_program_is_enough_for_the_dispatcher(void **state)
{
        if (SANITIZED)
                harness_skip(*state, "the search for leaks opens the process: PR_SET_DUMPABLE");
        assert_int_equal(race(*state, UNREADABLE, seconds() * USEC_PER_SEC).dispatcher, 0);
}

/* In a tree that belongs to the user */
static void test_confinement_is_enough(void **state)
{
        struct outcome o = race(*state, CONFINED, seconds() * USEC_PER_SEC);

        assert_int_equal(o.dispatcher, 0);
        assert_int_equal(o.neighbours, 0);
        assert_int_equal(o.signals, 0);
}

/* Otherwise the above would show nothing */
static void test_race_is_won_where_nothing_is_done(void **state)
{
        struct outcome o = race(*state, 0, seconds() * USEC_PER_SEC);

        assert_true(o.dispatcher > 0);
        assert_true(o.neighbours > 0);
        assert_true(o.signals > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_unreadable_program_is_enough_for_the_dispatcher),
                HARNESS_TEST(test_worker_does_not_take_over_the_dispatcher),
                HARNESS_TEST(test_confinement_is_enough),
                HARNESS_TEST(test_race_is_won_where_nothing_is_done),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
