/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Calls with `more`, on the control socket of a real dispatcher: statuses, connections and events;
 * and who may look and who may steer.
 */

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

#define MORE(method, parameters)                                                                   \
        "{\"method\":\"io.acceptd.Pool." method "\",\"more\":true,\"parameters\":" parameters "}"

static int start(const struct ctl *ctl, const char *call)
{
        int fd = ctl_connect(ctl);

        ctl_send(fd, call, strlen(call) + 1);
        return fd;
}

/* Waits for a reply, of which others follow or not. Returns its parameters, for json_decref(). */
static json_t *receive(struct harness *h, int fd, bool continues)
{
        json_auto_t *reply = ctl_receive(h, fd);

        assert_non_null(reply);
        if (json_object_get(reply, "error"))
                fail_msg("%s", ctl_text(reply, "error"));
        assert_int_equal(json_is_true(json_object_get(reply, "continues")), continues);
        return json_incref(json_object_get(reply, "parameters"));
}

static void expect_error(
        struct harness *h, const struct ctl *ctl, const char *call, const char *error)
{
        json_auto_t *reply = ctl_call(h, ctl, call);

        assert_string_equal(ctl_text(reply, "error"), error);
}

static void test_statuses_follow_one_another(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;
        int fd;

        ctl_start_one(h, &ctl);
        fd = start(&ctl, MORE("GetStatus", "{\"intervalMSec\":100}"));
        for (int i = 0; i < 5; i++) {
                json_auto_t *parameters = receive(h, fd, true);

                assert_string_equal(
                        ctl_text(json_object_get(parameters, "status"), "state"), "ready");
        }
        (void)fd_close(fd);
        expect_error(h, &ctl, MORE("GetStatus", "{\"intervalMSec\":99}"),
                "org.varlink.service.InvalidParameter");
        harness_stop(h);
}

/* Places for short calls stay free, and those of streams come back when they are left. */
static void test_streams_leave_room_for_calls(void **state)
{
        struct harness *h = *state;
        json_t *status;
        struct ctl ctl;
        int fds[4];

        ctl_start_one(h, &ctl);
        for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                        fds[i] = start(&ctl, MORE("Monitor", "{}"));
                        json_decref(receive(h, fds[i], true));
                }
                expect_error(h, &ctl, MORE("Monitor", "{}"), "io.acceptd.Pool.Busy");
                status = ctl_status(h, &ctl);
                json_decref(status);
                for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                        (void)fd_close(fds[i]);
        }
        harness_stop(h);
}

/* One who does not read is hung up on, and the pool serves meanwhile. */
static void test_stream_that_nobody_reads(void **state)
{
        struct harness *h = *state;
        struct pollfd pollfd = { .events = POLLRDHUP };
        struct client client;
        struct ctl ctl;
        int size = 1;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);
        pollfd.fd = ctl_connect(&ctl);
        assert_int_equal(setsockopt(pollfd.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
        for (int i = 0; i < 2000; i++) { /* more answers than a socket takes */
                static const char call[] = MORE("GetStatus", "{\"intervalMSec\":100}");

                if (send(pollfd.fd, call, sizeof(call), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                        break;
        }
        for (int i = 0; i < 10; i++) {
                client_open_served(h, &client, 0);
                client_close(&client);
        }
        (void)fd_close(pollfd.fd);
        json_decref(ctl_status(h, &ctl));
        harness_stop(h);
}

#define MANY 230

static void test_many_connections_are_listed(void **state)
{
        struct harness *h = *state;
        struct client clients[MANY];
        json_auto_t *list = json_array(), *ids = json_object();
        const json_t *connection;
        bool more = true;
        struct ctl ctl;
        size_t i;
        int fd;

        ctl_start_pool(h, &ctl, "Workers=2", "--serve=hold --capacity=200");
        harness_await_workers(h, 2);
        for (i = 0; i < MANY; i++)
                client_open_served(h, &clients[i], 0);

        fd = start(&ctl, MORE("ListConnections", "{}"));
        while (more) {
                json_auto_t *reply = ctl_receive(h, fd);

                more = json_is_true(json_object_get(reply, "continues"));
                assert_int_equal(json_array_extend(
                                         list, json_object_get(json_object_get(reply, "parameters"),
                                                       "connections")),
                        0);
        }
        (void)fd_close(fd);

        assert_int_equal(json_array_size(list), MANY);
        json_array_foreach (list, i, connection) {
                assert_string_equal(ctl_text(connection, "listener"), "main");
                assert_string_equal(ctl_text(connection, "state"), "assigned");
                assert_in_range(ctl_number(connection, "worker"), 1, 2);
                assert_in_range(ctl_number(connection, "acceptedAt"), 1, usec_now());
                assert_true(strtoull(ctl_text(connection, "id"), NULL, 10) >= 1 << 24);
                (void)json_object_set_new(ids, ctl_text(connection, "id"), json_true());
        }
        assert_int_equal(json_object_size(ids), MANY); /* no two are equal */

        assert_int_equal(ctl_run(h, &ctl, "connections", "test", "--worker=2", "--json"), 0);
        assert_null(strstr(ctl_out, "\"worker\": 1"));
        assert_non_null(strstr(ctl_out, "\"worker\": 2"));
        assert_int_equal(ctl_run(h, &ctl, "connections", "test", "--listener=other", "--json"), 0);
        assert_string_equal(ctl_out, "[]\n");
        for (i = 0; i < MANY; i++)
                client_close(&clients[i]);
        harness_stop(h);
}

static void test_lists_want_more(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        expect_error(h, &ctl, CTL_CALL("io.acceptd.Pool.ListConnections"),
                "org.varlink.service.ExpectedMore");
        expect_error(
                h, &ctl, CTL_CALL("io.acceptd.Pool.Monitor"), "org.varlink.service.ExpectedMore");
        harness_stop(h);
}

/* Waits for an event of this name, and returns it. */
static json_t *await_event(struct harness *h, int fd, const char *name)
{
        for (;;) {
                json_auto_t *parameters = receive(h, fd, true);
                json_t *event;
                size_t i;

                json_array_foreach (json_object_get(parameters, "events"), i, event)
                        if (streq(ctl_text(event, "name"), name))
                                return json_incref(event);
        }
}

static void test_events_as_they_happen(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL, *died = NULL, *ready = NULL;
        long long pid;
        char text[24];
        struct ctl ctl;
        int fd;

        ctl_start_one(h, &ctl);
        fd = start(&ctl, MORE("Monitor", "{}"));
        json_decref(receive(h, fd, true)); /* from here on */

        status = ctl_status(h, &ctl);
        pid = ctl_number(json_array_get(json_object_get(status, "workers"), 0), "pid");
        assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
        died = await_event(h, fd, "WORKER_DIED");
        (void)snprintf(text, sizeof(text), "%lld", pid);
        assert_string_equal(ctl_text(json_object_get(died, "fields"), "ACCEPTD_WORKER_PID"), text);
        assert_non_null(strstr(ctl_text(died, "text"), "SIGKILL"));
        ready = await_event(h, fd, "WORKER_READY");
        assert_string_equal(ctl_text(json_object_get(ready, "fields"), "ACCEPTD_WORKER"), "2");
        (void)fd_close(fd);
        harness_stop(h);
}

/* As a record of the journal has it: with what its worker said of the time that it waited, and how
 * often it was taken back. */
static void test_record_of_a_connection(void **state)
{
        struct harness *h = *state;
        json_auto_t *event = NULL;
        const json_t *fields;
        struct client client;
        struct ctl ctl;
        char echo[PATH_MAX];
        int fd;

        ctl_init(h, &ctl);
        (void)snprintf(echo, sizeof(echo), "%s", harness_path("../../acceptd-echo"));
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1", "LogConnections=yes"),
                .command = WORDS(echo));
        harness_await_ready(h);
        harness_await_workers(h, 1);
        fd = start(&ctl, MORE("Monitor", "{}"));
        json_decref(receive(h, fd, true));

        client_open(h, &client, 0);
        client_send(&client, "x\n");
        assert_string_equal(client_await_line(h, &client), "x");
        client_close(&client);
        event = await_event(h, fd, "CONNECTION_ENDED");
        fields = json_object_get(event, "fields");
        assert_string_equal(ctl_text(fields, "ACCEPTD_RESULT"), "done");
        assert_string_equal(ctl_text(fields, "ACCEPTD_ATTEMPT"), "0");
        assert_in_range(atoi(ctl_text(fields, "ACCEPTD_WAITED_USEC")), 1,
                atoi(ctl_text(fields, "ACCEPTD_DURATION_USEC")));
        (void)fd_close(fd);
        harness_stop(h);
}

static void test_record_of_a_connection_that_was_taken_back(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL, *event = NULL;
        const json_t *workers;
        struct client client;
        struct ctl ctl;
        int fd;

        ctl_start_pool(h, &ctl, "Workers=1\nLogConnections=yes", "--serve=line\nRestartSec=10ms");
        fd = start(&ctl, MORE("Monitor", "{}"));
        json_decref(receive(h, fd, true));
        status = ctl_status(h, &ctl);
        workers = json_object_get(status, "workers");
        assert_int_equal(kill((pid_t)ctl_number(json_array_get(workers, 0), "pid"), SIGSTOP), 0);
        client_open(h, &client, 0);
        (void)harness_await_counter(h, open, 1); /* in its queue */
        assert_int_equal(kill((pid_t)ctl_number(json_array_get(workers, 0), "pid"), SIGKILL), 0);
        client_await_greeting(h, &client);
        event = await_event(h, fd, "CONNECTION_ENDED");
        assert_string_equal(ctl_text(json_object_get(event, "fields"), "ACCEPTD_ATTEMPT"), "1");
        client_close(&client);
        (void)fd_close(fd);
        harness_stop(h);
}

/* --- Who may what --- */

#define STRANGER 250

/* As a user with this supplementary group: returns the answer, "" where it was hung up on. */
static char *ask_as(struct harness *h, const struct ctl *ctl, gid_t group, const char *call)
{
        int ends[2], status;
        char text[65536] = "";
        size_t n = 0;
        ssize_t r;
        pid_t pid;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                gid_t groups[] = { 4711, group };

                strcpy(address.sun_path, ctl->path);
                if (setgroups(2, groups) < 0 || setgid(65534) < 0 || setuid(65533) < 0 ||
                        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                        _exit(STRANGER);
                (void)send(fd, call, strlen(call) + 1, MSG_NOSIGNAL);
                do {
                        r = recv(fd, text + n, sizeof(text) - 1 - n, 0);
                        n += r > 0 ? (size_t)r : 0;
                } while (r > 0 && text[n - 1] != '\0');
                (void)!write(ends[1], text, n);
                _exit(0);
        }
        (void)fd_close(ends[1]);
        while (harness_wait(h, ends[0], POLLIN) &&
                (r = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0)
                n += (size_t)r;
        (void)fd_close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        text[n] = '\0';
        return strdup(text);
}

static void test_group_may_look_and_not_steer(void **state)
{
        struct harness *h = *state;
        static const char look[] = CTL_CALL("io.acceptd.Pool.GetStatus"),
                          steer[] = CTL_CALL("io.acceptd.Pool.Pause");
        struct ctl ctl;
        char *text;

        ctl_start_one(h, &ctl);
        assert_int_equal(chmod(h->dir, 0755), 0);
        assert_int_equal(chown(ctl.path, 0, 4712), 0);
        assert_int_equal(chmod(ctl.path, 0660), 0);

        text = ask_as(h, &ctl, 4712, look);
        assert_non_null(strstr(text, "\"instance\":\"test\""));
        free(text);
        text = ask_as(h, &ctl, 4712, steer);
        assert_non_null(strstr(text, "org.varlink.service.PermissionDenied"));
        free(text);

        /* A mode that lets everybody in does not make everybody a member. */
        assert_int_equal(chmod(ctl.path, 0666), 0);
        text = ask_as(h, &ctl, 4713, look);
        assert_string_equal(text, "");
        free(text);

        assert_int_equal(ctl_run(h, &ctl, "is-ready", "test"), 0); /* nobody has paused it */
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_statuses_follow_one_another),
                HARNESS_TEST(test_streams_leave_room_for_calls),
                HARNESS_TEST(test_stream_that_nobody_reads),
                HARNESS_TEST(test_many_connections_are_listed),
                HARNESS_TEST(test_lists_want_more),
                HARNESS_TEST(test_events_as_they_happen),
                HARNESS_TEST(test_record_of_a_connection),
                HARNESS_TEST(test_record_of_a_connection_that_was_taken_back),
                HARNESS_TEST(test_group_may_look_and_not_steer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
