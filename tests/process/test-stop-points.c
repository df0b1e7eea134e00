/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A real dispatcher dies at chosen places (src/base/stop-point.h), between two steps that belong
 * together, and a real one adopts what it leaves: what each connection came to is counted as it
 * was, others go on, workers stay who they are.
 *
 * STOP_POINT_ROUNDS=1000 in the environment makes it that many times, a fifth of that where a
 * timeout passes in each.
 */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "client.h"
#include "procfs.h"

#define ROUNDS  50
#define SLOWER  5 /* so many times less of those that wait for a timeout */
#define WORKERS 2

/* What should be in the counters, less what is open. */
struct ends {
        uint64_t done, lost, refused;
};

struct scene {
        struct harness *h;
        const char *const *options;
        const char *const *stub;
        struct client held[WORKERS]; /* by their own workers; they outlive every dispatcher */
        uint64_t n_held;
        struct ends ends;
        unsigned rounds;
        char *descriptors; /* of the dispatcher, by their number only; NULL: not known */
};

static unsigned count_rounds(void)
{
        const char *rounds = getenv("STOP_POINT_ROUNDS");

        return rounds ? (unsigned)strtoul(rounds, NULL, 10) : ROUNDS;
}

/* The dispatcher dies at the first passing of `point`, or (NULL) lives. */
static void launch(struct scene *s, const char *point)
{
        char variable[64];

        (void)snprintf(variable, sizeof(variable), "ACCEPTD_STOP_POINT=%s:1", point ?: "");
        harness_start(s->h, .program = "acceptd-stop-points", .options = s->options,
                .stub = s->stub, .environment = WORDS(variable), .store = 64);
}

static void start(struct scene *s, const char *point)
{
        launch(s, point);
        harness_await_ready(s->h);
}

/* One connection held at each worker. On a busy machine one of them is taken back from a worker
 * that is slow to receive it: then there is another. */
static void begin(struct scene *s, struct harness *h)
{
        static const char *const options[] = { "Workers=2", "QueueTimeoutSec=100ms", NULL };
        static const char *const stub[] = { "--serve=obey", "--capacity=4", NULL };

        *s = (struct scene){
                .h = h,
                .options = options,
                .stub = stub,
                .rounds = count_rounds(),
        };
        (void)listener_add(h, LISTENER_UNIX, "main");
        start(s, NULL);
        harness_await_workers(h, WORKERS);
        client_open_served(h, &s->held[0], 0);
        client_open_served(h, &s->held[1], 0);
        while (s->held[1].pid == s->held[0].pid) {
                client_finish(h, &s->held[1]);
                s->ends.done++;
                client_open_served(h, &s->held[1], 0);
        }
        s->n_held = WORKERS;
        harness_crash(h);
}

static void finish(struct scene *s)
{
        for (size_t i = 0; i < s->n_held; i++) {
                client_finish(s->h, &s->held[i]);
        }
        (void)harness_await_counter(s->h, done, s->ends.done + s->n_held);
        harness_stop(s->h);
}

/* One of the workers that were there at the begin. */
static void expect_worker(const struct scene *s, const struct client *client)
{
        assert_true(client->pid == s->held[0].pid || client->pid == s->held[1].pid);
}

/* With `n_more` connections besides those that are held, everything else is settled, exactly. */
static void expect(struct scene *s, uint64_t n_more)
{
        struct counters c = harness_await_counter(s->h, open, s->n_held + n_more);

        assert_int_equal(c.done, s->ends.done);
        assert_int_equal(c.lost, s->ends.lost);
        assert_int_equal(c.refused, s->ends.refused);
        for (size_t i = 0; i < s->n_held; i++)
                client_exchange(s->h, &s->held[i]);
        /* ledger, settings, the listener, three for each worker */
        assert_int_equal(s->h->store.n, 3 + 3 * WORKERS);
}

/* The dispatcher has no more descriptors than in the round before. */
static void expect_no_leak(struct scene *s)
{
        char *now = procfs_descriptors(s->h->pid), *before = s->descriptors;

        if (now && before)
                assert_int_equal(procfs_lines(now), procfs_lines(before));
        free(before);
        s->descriptors = now;
}

static void end_rounds(struct scene *s)
{
        free(s->descriptors);
        harness_crash(s->h);
        start(s, NULL);
        expect(s, 0);
        finish(s);
}

/* --- The three --- */

/* The client has its answer and its end, the dispatcher the DONE, and nobody else knows. */
static void rounds_with_done(struct scene *s, const char *point)
{
        for (unsigned i = 0; i < s->rounds; i++) {
                struct client client;

                start(s, point);
                expect(s, 0);
                expect_no_leak(s);
                client_open_served(s->h, &client, 0);
                expect_worker(s, &client);
                client_finish(s->h, &client);
                harness_await_crash(s->h);
                s->ends.done++;
        }
        start(s, NULL);
}

static void test_done_was_heard(void **state)
{
        struct scene s;

        begin(&s, *state);
        rounds_with_done(&s, "heard");
        end_rounds(&s);
}

/* The slot is free, and no counter knows why. */
static void test_slot_was_freed(void **state)
{
        struct scene s;

        begin(&s, *state);
        rounds_with_done(&s, "ending");
        end_rounds(&s);
}

/* Each one that was lost is in the journal. */
static void expect_told(const struct scene *s, const char *begin)
{
        assert_int_equal(
                harness_count_lines(s->h, begin, "got when the last dispatcher died is lost."),
                s->ends.lost);
}

static void rounds_with_none(struct scene *s, const char *point, bool noted)
{
        for (unsigned i = 0; i < s->rounds; i++) {
                struct client client;

                start(s, point);
                expect(s, 0);
                expect_no_leak(s);
                client_open(s->h, &client, 0);
                assert_int_equal(client_await_end(s->h, &client), CLIENT_END_CLEAN);
                harness_await_crash(s->h);
                s->ends.lost += noted;
        }
        start(s, NULL);
        /* What it counted it also has said: a crash between the two would lose the line. */
        expect(s, 0);
}

/* Noted for a worker that never gets it: the client sees the end of the process that had it. */
static void test_reserved(void **state)
{
        struct scene s;

        begin(&s, *state);
        rounds_with_none(&s, "reserved", true);
        end_rounds(&s);
        expect_told(&s, "<4>1 connection that worker ");
}

/* The worker has it, and the ledger does not say so: it goes on, whether it ends before somebody
 * asks or after. */
static void test_sent(void **state)
{
        struct scene s;

        begin(&s, *state);
        start(&s, "sent");
        for (unsigned i = 0; i < s.rounds; i++) {
                struct client client;
                bool before = i % 2 == 0;

                expect(&s, 0);
                expect_no_leak(&s);
                client_open_served(s.h, &client, 0);
                expect_worker(&s, &client);
                harness_await_crash(s.h);
                if (!before) {
                        start(&s, "sent");
                        expect(&s, 1);
                        client_exchange(s.h, &client);
                }
                client_finish(s.h, &client);
                if (before)
                        start(&s, "sent");
                s.ends.done++;
        }
        end_rounds(&s);
}

/* --- Others --- */

/* Nobody has noted anything: only the client knows. */
static void test_accepted(void **state)
{
        struct scene s;

        begin(&s, *state);
        rounds_with_none(&s, "accepted", false);
        end_rounds(&s);
}

/* Noted, and for no worker yet. */
static void test_in_hand(void **state)
{
        struct scene s;

        begin(&s, *state);
        rounds_with_none(&s, "in-hand", true);
        end_rounds(&s);
        expect_told(&s, "<4>1 connection that no worker ");
}

/* Both workers have said what they have, and get connections. */
static void await_both(struct scene *s)
{
        struct client a, b;

        do {
                client_open_served(s->h, &a, 0);
                client_open_served(s->h, &b, 0);
                client_send(&a, "done\n");
                client_send(&b, "done\n");
                assert_int_equal(client_await_end(s->h, &a), CLIENT_END_CLEAN);
                assert_int_equal(client_await_end(s->h, &b), CLIENT_END_CLEAN);
                s->ends.done += 2;
                expect(s, 0);
        } while (a.pid == b.pid);
}

/* The one that adopts dies, too: between two workers, and while it settles what was not listed. */
static void test_adoption_is_cut_short(void **state)
{
        struct scene s;

        begin(&s, *state);
        for (unsigned i = 0; i < s.rounds; i++) {
                struct client client;

                start(&s, "heard");
                expect(&s, 0);
                client_open_served(s.h, &client, 0);
                client_finish(s.h, &client);
                harness_await_crash(s.h);
                s.ends.done++;

                launch(&s, "restored");
                harness_await_crash(s.h);
                start(&s, "ending");
                harness_await_crash(s.h);
        }
        start(&s, NULL);
        end_rounds(&s);
}

/* A worker that was stopped has a connection in its queue, and the dispatcher that takes it back
 * dies with it. It was counted as done: the worker lives, and does not list it. */
static void test_taken_back(void **state)
{
        struct scene s;

        begin(&s, *state);
        for (unsigned i = 0; i < s.rounds / SLOWER; i++) {
                struct client clients[WORKERS]; /* one for each worker */

                start(&s, "taken-back");
                await_both(&s);
                assert_int_equal(kill(s.held[0].pid, SIGSTOP), 0);
                for (size_t k = 0; k < WORKERS; k++)
                        client_open(s.h, &clients[k], 0);
                harness_await_crash(s.h);
                assert_int_equal(kill(s.held[0].pid, SIGCONT), 0);
                start(&s, NULL);
                s.ends.lost++;
                expect(&s, 1);
                for (size_t k = 0; k < WORKERS; k++) {
                        char byte;

                        (void)harness_wait(s.h, clients[k].fd, POLLIN);
                        if (recv(clients[k].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
                                client_await_greeting(s.h, &clients[k]);
                                expect_worker(&s, &clients[k]);
                                client_send(&clients[k], "done\n");
                                s.ends.done++;
                        }
                        assert_int_equal(client_await_end(s.h, &clients[k]), CLIENT_END_CLEAN);
                }
                expect(&s, 0);
                harness_crash(s.h);
        }
        start(&s, NULL);
        end_rounds(&s);
        expect_told(&s, "<4>1 connection that worker ");
}

/* --- Workers that come and go --- */

static void start_one(struct scene *s, struct harness *h, const char *point)
{
        static const char *const options[] = { "Workers=1", "RecycleAfter=1", NULL };
        static const char *const stub[] = { "--serve=obey", "--capacity=4", NULL };

        *s = (struct scene){ .h = h, .options = options, .stub = stub };
        (void)listener_add(h, LISTENER_UNIX, "main");
        start(s, point);
}

/* Its successor is there, so worker 1 drains: that is noted, and its channel is still open. */
static void test_drained(void **state)
{
        struct client first, second;
        struct scene s;

        start_one(&s, *state, "drained");
        client_open_served(s.h, &first, 0);
        harness_await_crash(s.h);
        start(&s, NULL);
        (void)harness_await_stub(s.h, "drains");
        client_exchange(s.h, &first);
        client_open_served(s.h, &second, 0);
        assert_int_equal(second.worker, 2);
        client_finish(s.h, &first);
        harness_await_death(s.h, first.pid);
        client_close(&second);
        assert_int_equal(harness_await_counter(s.h, done, 2).lost, 0);
        harness_stop(s.h);
}

/* A worker that drains cannot be asked what it has: its last DONE, which the dispatcher had
 * received, counted as lost when it ended. */
static void test_done_of_a_draining_worker(void **state)
{
        struct client client;
        struct scene s;

        start_one(&s, *state, NULL);
        client_open_served(s.h, &client, 0);
        (void)harness_await_stub(s.h, "drains");
        harness_crash(s.h);
        start(&s, "heard");
        client_finish(s.h, &client);
        harness_await_crash(s.h);
        harness_await_death(s.h, client.pid);
        start(&s, NULL);
        assert_int_equal(harness_await_counter(s.h, done, 1).lost, 0);
        harness_stop(s.h);
}

/* A worker that is not wholly stored, or not wholly removed, is no worker: it ends, and another one
 * serves. */
static void die_at(struct harness *h, const char *point, unsigned worker)
{
        char variable[64];
        struct client client;

        (void)snprintf(variable, sizeof(variable), "ACCEPTD_STOP_POINT=%s:1", point);
        harness_start(h, .program = "acceptd-stop-points", .store = 64,
                .options = WORDS("Workers=1"), .stub = WORDS("--serve=obey"),
                .environment = WORDS(variable));
        if (startswith(point, "removed")) { /* worker 1 goes, or never came so far */
                client_open_served(h, &client, 0);
                assert_int_equal(client.worker, 1);
                client_send(&client, "exit 0\n");
                assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        }
        harness_await_crash(h);

        harness_start(h, .program = "acceptd-stop-points", .store = 64,
                .options = WORDS("Workers=1"), .stub = WORDS("--serve=obey"));
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, worker);
        client_finish(h, &client);
        (void)harness_await_counter(h, done, 1);
        assert_int_equal(h->store.n, 3 + 3);
        harness_stop(h);
}

/* clang-format off */
#define TEST_STORE(name, point, worker)                                                            \
        static void name(void **state)                                                             \
        {                                                                                          \
                struct harness *h = *state;                                                        \
                (void)listener_add(h, LISTENER_UNIX, "main");                                      \
                die_at(h, point, worker);                                                          \
        }
/* clang-format on */

TEST_STORE(test_spawned, "spawned", 1)
TEST_STORE(test_nothing_stored, "stored-none", 2)
TEST_STORE(test_pidfd_stored, "stored-pidfd", 2)
TEST_STORE(test_channel_stored, "stored-channel", 2)
TEST_STORE(test_nothing_removed, "removed-none", 2)
TEST_STORE(test_queue_removed, "removed-queue", 2)
TEST_STORE(test_channel_removed, "removed-channel", 2)

/* --- The program --- */

static bool file_has(const char *path, const char *text)
{
        _cleanup_(fclosep) FILE *f = fopen(path, "re");
        static char data[1 << 24];
        size_t n;

        assert_non_null(f);
        n = fread(data, 1, sizeof(data), f);
        assert_true(n > 0 && n < sizeof(data));
        return memmem(data, n, text, strlen(text)) != NULL;
}

static void test_the_program_has_none(void **state)
{
        (void)state;
        assert_true(file_has(harness_path("acceptd-stop-points"), "ACCEPTD_STOP_POINT"));
        assert_false(file_has(harness_path("../../acceptd"), "ACCEPTD_STOP_POINT"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_done_was_heard),
                HARNESS_TEST(test_slot_was_freed),
                HARNESS_TEST(test_reserved),
                HARNESS_TEST(test_sent),
                HARNESS_TEST(test_accepted),
                HARNESS_TEST(test_in_hand),
                HARNESS_TEST(test_adoption_is_cut_short),
                HARNESS_TEST(test_taken_back),
                HARNESS_TEST(test_drained),
                HARNESS_TEST(test_done_of_a_draining_worker),
                HARNESS_TEST(test_spawned),
                HARNESS_TEST(test_nothing_stored),
                HARNESS_TEST(test_pidfd_stored),
                HARNESS_TEST(test_channel_stored),
                HARNESS_TEST(test_nothing_removed),
                HARNESS_TEST(test_queue_removed),
                HARNESS_TEST(test_channel_removed),
                cmocka_unit_test(test_the_program_has_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
