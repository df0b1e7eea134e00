/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The control socket of a real dispatcher: what it says of itself, in which state it is, and in
 * which words. Clients that do it wrong are in test-control-clients.c, what may be passed as the
 * socket in test-control-socket.c, acceptctl in test-acceptctl.c.
 */

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"
#include "procfs.h"
#include "sanitized.h"
#include "varlink/interfaces.h"

/* The answer is to be there within this time, also where the pool is saturated. */
#define ANSWER_USEC ((SANITIZED ? 200 : 50) * USEC_PER_MSEC)

/* --- Status --- */

static void test_status_of_an_idle_instance(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL;
        const json_t *worker;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_TCP4, "main");
        (void)listener_add(h, LISTENER_SEQPACKET, "local");
        ctl_start(h, &ctl, .options = WORDS("Workers=2"), .stub = WORDS("--capacity=5"));
        harness_await_workers(h, 2);

        status = ctl_status(h, &ctl);
        assert_string_equal(ctl_text(status, "instance"), "test");
        assert_string_equal(ctl_text(status, "state"), "ready");
        assert_int_equal(ctl_number(status, "mainPID"), h->pid);
        assert_int_equal(ctl_number(status, "counters.open"), 0);
        assert_int_equal(json_array_size(json_object_get(status, "workers")), 2);
        worker = json_array_get(json_object_get(status, "workers"), 1);
        assert_string_equal(ctl_text(worker, "state"), "ready");
        assert_int_equal(ctl_number(worker, "capacity"), 5);
        assert_in_range(ctl_number(worker, "since"), 1, usec_now());

        assert_int_equal(json_array_size(json_object_get(status, "listeners")), 2);
        assert_true(json_is_null(json_object_get(
                json_array_get(json_object_get(status, "listeners"), 1), "backlog")));
        harness_stop(h);
}

/* Fills the one worker and the backlog, and has the kernel drop what comes then. */
static void saturate(struct harness *h, struct client *clients, size_t n)
{
        client_open_served(h, &clients[0], 0);
        for (size_t i = 1; i < n; i++) {
                struct sockaddr_storage address;
                socklen_t length = sizeof(address);

                clients[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                assert_int_equal(
                        getsockname(h->sockets[0], (struct sockaddr *)&address, &length), 0);
                (void)connect(clients[i].fd, (struct sockaddr *)&address, length);
        }
}

static void test_status_while_saturated(void **state)
{
        struct harness *h = *state;
        usec_t best = USEC_INFINITY, deadline;
        struct client clients[160] = {};
        json_auto_t *status = NULL;
        const json_t *listener;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_TCP4, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        harness_await_ready(h);
        saturate(h, clients, ELEMENTSOF(clients));

        /* one of many: the machine may be busy with other things */
        deadline = usec_add(usec_now(), HARNESS_DEADLINE);
        while (best >= ANSWER_USEC) {
                usec_t begin = usec_now();

                assert_true(begin < deadline);
                assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
                best = MIN(best, usec_now() - begin);
        }
        assert_non_null(strstr(ctl_out, "all workers are full, new connections wait"));
        assert_non_null(strstr(ctl_out, "test is ready\n"));

        status = ctl_status(h, &ctl);
        listener = json_array_get(json_object_get(status, "listeners"), 0);
        assert_int_equal(ctl_number(status, "counters.open"), 1);
        assert_int_equal(ctl_number(listener, "backlogLimit"), 128);
        assert_true(ctl_number(listener, "backlog") >= 128);
        assert_true(ctl_number(listener, "drops") > 0);

        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                (void)fd_close(clients[i].fd);
        harness_stop(h);
}

/* It says what is wrong with the workers, and that it is stopping. */
static void test_states(void **state)
{
        struct harness *h = *state;
        struct client client;
        json_t *status;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1", "RestartSec=10ms"),
                .stub = WORDS("--serve=hold", h->marks, "--exit=3", "--at=start"));
        harness_await_ready(h); /* degraded */
        harness_await_workers(h, 1);
        client_open_served(h, &client, 0);
        status = ctl_status(h, &ctl);
        assert_string_equal(ctl_text(status, "state"), "ready");
        json_decref(status);

        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_notify(h, "STOPPING=1");
        status = ctl_status(h, &ctl);
        assert_string_equal(ctl_text(status, "state"), "stopping");
        assert_int_equal(ctl_number(status, "counters.open"), 1);
        json_decref(status);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);
        assert_non_null(strstr(ctl_err, "is stopping"));

        client_close(&client);
        harness_expect_exit(h, 0);
        assert_int_equal(access(ctl.path, F_OK), 0); /* not the dispatcher's */
}

static void test_degraded(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1", "RestartSec=30s"),
                .command = WORDS("/nonexistent"));
        harness_await_ready(h);
        status = ctl_status(h, &ctl);
        assert_string_equal(ctl_text(status, "state"), "degraded");
        assert_non_null(strstr(ctl_text(status, "statusText"), "/nonexistent: No such file"));
        harness_stop(h);
}

/* At its descriptor limit, where looking is most wanted. */
/* The echo worker's clients had their answers. What was counted outlives the dispatcher. */
static void test_idle_ones_among_the_lost(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;
        pid_t worker;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_write_settings(&ctl, "[Pool]\nWorkers=1\n");
        ctl_start(h, &ctl, .command = WORDS());
        harness_await_ready(h);
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_non_null(strstr(ctl_out, " 0 lost, "));
        client_open(h, &client, 0);
        client_send(&client, "a\n");
        assert_string_equal(client_await_line(h, &client), "a");
        assert_int_equal(procfs_children(h->pid, &worker, 1), 1);
        assert_int_equal(kill(worker, SIGKILL), 0);
        (void)client_await_end(h, &client);
        assert_int_equal(harness_await_counter(h, lost, 1).lost_idle, 1);

        for (unsigned i = 0; i < 2; i++) {
                json_auto_t *status = NULL;

                status = ctl_status(h, &ctl);
                assert_int_equal(ctl_number(status, "counters.lostIdle"), 1);
                assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
                assert_non_null(strstr(ctl_out, " 1 lost (1 idle), 0 refused"));
                assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        }
        harness_stop(h);
}

static void test_without_descriptors(void **state)
{
        struct harness *h = *state;
        struct rlimit before, after;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        harness_await_ready(h);

        assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, NULL, &before), 0);
        after = before;
        for (after.rlim_cur = 3; after.rlim_cur < 64; after.rlim_cur++) {
                char path[64];

                (void)snprintf(
                        path, sizeof(path), "/proc/%d/fd/%d", (int)h->pid, (int)after.rlim_cur);
                if (access(path, F_OK) < 0 && errno == ENOENT)
                        break;
        }
        assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, &after, NULL), 0);
        for (int i = 0; i < 3; i++) /* each gives back what it took */
                assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);

        assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, &before, NULL), 0);
        harness_stop(h);
}

/* --- What was --- */

static void test_highest_values_and_waiting(void **state)
{
        struct harness *h = *state;
        struct client clients[3];
        json_auto_t *status = NULL;
        const json_t *bucket;
        long long sum = 0;
        struct ctl ctl;
        size_t i;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=10");
        for (i = 0; i < ELEMENTSOF(clients); i++)
                client_open_served(h, &clients[i], 0);
        for (i = 0; i < ELEMENTSOF(clients); i++)
                client_finish(h, &clients[i]);
        (void)harness_await_counter(h, done, 3);

        status = ctl_status(h, &ctl);
        assert_int_equal(ctl_number(status, "counters.open"), 0);
        assert_int_equal(ctl_number(status, "openHighest"), 3);
        assert_int_equal(ctl_number(status, "capacity"), 10);
        assert_int_equal(ctl_number(status, "workersStarted"), 1);
        json_array_foreach (
                json_object_get(json_object_get(status, "waiting"), "buckets"), i, bucket)
                sum += json_integer_value(bucket);
        assert_int_equal(sum, 3);
        assert_true(json_is_null(json_object_get(status, "nextStart")));
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_non_null(strstr(ctl_out, "10 at once with these workers; at most 3 were open"));
        harness_stop(h);
}

static void test_last_end_and_last_reload_in_words(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL;
        long long pid;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "");
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_null(strstr(ctl_out, "Last reload:"));
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_int_equal(ctl_run(h, &ctl, "wait", "test", "--no-old", "--ready"), 0);
        status = ctl_status(h, &ctl);
        pid = ctl_number(json_array_get(json_object_get(status, "workers"), 0), "pid");
        assert_int_equal(kill((pid_t)pid, SIGXCPU), 0);
        harness_await_line(h, "SIGXCPU");
        ctl_write_settings(&ctl, "[Pool]\nWorkres=1\n");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);

        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_non_null(strstr(ctl_out, "ago: The reload failed, and nothing changed: "));
        assert_non_null(strstr(ctl_out, "SIGXCPU"));
        assert_null(strstr(ctl_out, "ago: Generation 2")); /* the later one counts */
        harness_stop(h);
}

static void test_next_start_after_failures(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl,
                .options = WORDS("Workers=1", "RestartSec=60s", "RestartMaxDelaySec=2min"),
                .command = WORDS("/nonexistent"));
        harness_await_ready(h);
        status = ctl_status(h, &ctl);
        assert_in_range(ctl_number(status, "nextStart"), usec_now(), usec_now() + 60000000);
        assert_int_equal(ctl_number(status, "failedStarts"), 1);
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_non_null(strstr(ctl_out, "Next start: in "));
        assert_non_null(strstr(ctl_out, "after 1 failed start\n"));
        assert_non_null(strstr(ctl_out, "Degraded: "));
        harness_stop(h);
}

/* --- Introspection --- */

/* Copies what is between the brackets of `type NAME (...)`. */
static char *find_type(const char *text, const char *name)
{
        char begin[64];
        const char *from;

        (void)snprintf(begin, sizeof(begin), "\ntype %s (", name);
        from = strstr(text, begin);
        if (!from)
                fail_msg("no type %s", name);
        from += strlen(begin);

        return strndup(from, (size_t)(strchr(from, ')') - from));
}

/* All members that are declared are there, and no others. */
static void check_members(const char *text, const char *name, const json_t *object)
{
        _cleanup_(freep) char *type = find_type(text, name);
        size_t n = 0;

        for (char *line = strtok(type, "\n"); line; line = strtok(NULL, "\n")) {
                char *colon = strchr(line, ':');

                if (line[1] == '#' || !colon)
                        continue;
                *colon = '\0';
                if (!json_object_get(object, line + 1))
                        fail_msg("%s has no %s", name, line + 1);
                n++;
        }
        assert_int_equal(json_object_size(object), n);
}

static void check_is_among(const char *text, const char *type, const char *word)
{
        _cleanup_(freep) char *words = find_type(text, type);

        for (char *p = strtok(words, ", "); p; p = strtok(NULL, ", "))
                if (streq(p, word))
                        return;
        fail_msg("%s is not among the words of %s", word, type);
}

static void test_what_is_sent_is_what_is_declared(void **state)
{
        static const char ask[] = "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                                  "\"parameters\":{\"interface\":\"io.acceptd.Pool\"}}";
        struct harness *h = *state;
        json_auto_t *status = NULL, *reply = NULL;
        const json_t *listener, *worker;
        const char *text;
        struct ctl ctl;

        ctl_start_one(h, &ctl);

        reply = ctl_call(h, &ctl, ask);
        text = ctl_text(json_object_get(reply, "parameters"), "description");
        assert_string_equal(text, varlink_interface_text(VARLINK_POOL));

        status = ctl_status(h, &ctl);
        check_members(text, "Status", status);
        check_members(text, "Counters", json_object_get(status, "counters"));
        listener = json_array_get(json_object_get(status, "listeners"), 0);
        check_members(text, "Listener", listener);
        worker = json_array_get(json_object_get(status, "workers"), 0);
        check_members(text, "Worker", worker);
        check_members(text, "Waiting", json_object_get(status, "waiting"));
        check_members(text, "EventCount",
                json_object_get(json_object_get(status, "events"), "WORKER_READY"));
        check_is_among(text, "State", ctl_text(status, "state"));
        check_is_among(text, "ListenerKind", ctl_text(listener, "kind"));
        check_is_among(text, "WorkerState", ctl_text(worker, "state"));
        harness_stop(h);
}

static void test_introspection(void **state)
{
        struct harness *h = *state;
        json_auto_t *info = NULL;
        const json_t *interfaces;
        struct ctl ctl;

        ctl_start_one(h, &ctl);

        info = ctl_call(h, &ctl, CTL_CALL("org.varlink.service.GetInfo"));
        interfaces = json_object_get(json_object_get(info, "parameters"), "interfaces");
        assert_string_equal(json_string_value(json_array_get(interfaces, 0)), "io.acceptd.Pool");
        assert_string_equal(
                json_string_value(json_array_get(interfaces, 1)), "org.varlink.service");
        for (size_t i = 0; i < 2; i++)
                assert_non_null(
                        varlink_interface_text(json_string_value(json_array_get(interfaces, i))));
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_status_of_an_idle_instance),
                HARNESS_TEST(test_status_while_saturated),
                HARNESS_TEST(test_states),
                HARNESS_TEST(test_degraded),
                HARNESS_TEST(test_idle_ones_among_the_lost),
                HARNESS_TEST(test_without_descriptors),
                HARNESS_TEST(test_highest_values_and_waiting),
                HARNESS_TEST(test_last_end_and_last_reload_in_words),
                HARNESS_TEST(test_next_start_after_failures),
                HARNESS_TEST(test_what_is_sent_is_what_is_declared),
                HARNESS_TEST(test_introspection),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
