/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The control socket of a real dispatcher, and acceptctl at it.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"
#include "procfs.h"
#include "varlink/interfaces.h"

#define CALL(method) "{\"method\":\"" method "\"}"

/* The answer is to be there within this time, also where the pool is saturated. */
#define ANSWER_USEC (50 * USEC_PER_MSEC)

static const char *text_of(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        if (!text)
                fail_msg("%s is no text", name);
        return text;
}

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
        assert_string_equal(text_of(status, "instance"), "test");
        assert_string_equal(text_of(status, "state"), "ready");
        assert_int_equal(ctl_number(status, "mainPID"), h->pid);
        assert_int_equal(ctl_number(status, "counters.open"), 0);
        assert_int_equal(json_array_size(json_object_get(status, "workers")), 2);
        worker = json_array_get(json_object_get(status, "workers"), 1);
        assert_string_equal(text_of(worker, "state"), "ready");
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
        usec_t best = USEC_INFINITY;
        struct client clients[160] = {};
        json_auto_t *status = NULL;
        const json_t *listener;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_TCP4, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"), .stub = WORDS("--serve=hold"));
        harness_await_ready(h);
        saturate(h, clients, ELEMENTSOF(clients));

        /* the best of some: the machine may be busy with other things */
        for (int i = 0; i < 10; i++) {
                usec_t begin = usec_now();

                assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
                best = MIN(best, usec_now() - begin);
        }
        assert_true(best < ANSWER_USEC);
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
        assert_string_equal(text_of(status, "state"), "ready");
        json_decref(status);

        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_await_notify(h, "STOPPING=1");
        status = ctl_status(h, &ctl);
        assert_string_equal(text_of(status, "state"), "stopping");
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
        assert_string_equal(text_of(status, "state"), "degraded");
        assert_non_null(strstr(text_of(status, "statusText"), "/nonexistent: No such file"));
        harness_stop(h);
}

/* At its descriptor limit, where looking is most wanted. */
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

                (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)h->pid,
                        (int)after.rlim_cur);
                if (access(path, F_OK) < 0 && errno == ENOENT)
                        break;
        }
        assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, &after, NULL), 0);
        for (int i = 0; i < 3; i++) /* each gives back what it took */
                assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);

        assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, &before, NULL), 0);
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
        static const char ask[] =
                "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                "\"parameters\":{\"interface\":\"io.acceptd.Pool\"}}";
        struct harness *h = *state;
        json_auto_t *status = NULL, *reply = NULL;
        const json_t *listener, *worker;
        const char *text;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);

        reply = ctl_call(h, &ctl, ask);
        text = text_of(json_object_get(reply, "parameters"), "description");
        assert_string_equal(text, varlink_interface_text(VARLINK_POOL));

        status = ctl_status(h, &ctl);
        check_members(text, "Status", status);
        check_members(text, "Counters", json_object_get(status, "counters"));
        listener = json_array_get(json_object_get(status, "listeners"), 0);
        check_members(text, "Listener", listener);
        worker = json_array_get(json_object_get(status, "workers"), 0);
        check_members(text, "Worker", worker);
        check_is_among(text, "State", text_of(status, "state"));
        check_is_among(text, "ListenerKind", text_of(listener, "kind"));
        check_is_among(text, "WorkerState", text_of(worker, "state"));
        harness_stop(h);
}

static void test_introspection(void **state)
{
        struct harness *h = *state;
        json_auto_t *info = NULL;
        const json_t *interfaces;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);

        info = ctl_call(h, &ctl, CALL("org.varlink.service.GetInfo"));
        interfaces = json_object_get(json_object_get(info, "parameters"), "interfaces");
        assert_string_equal(json_string_value(json_array_get(interfaces, 0)), "io.acceptd.Pool");
        assert_string_equal(
                json_string_value(json_array_get(interfaces, 1)), "org.varlink.service");
        for (size_t i = 0; i < 2; i++)
                assert_non_null(varlink_interface_text(
                        json_string_value(json_array_get(interfaces, i))));
        harness_stop(h);
}

/* --- Clients that do it wrong --- */

static void test_errors(void **state)
{
        static const struct {
                const char *call, *error, *about;
        } cases[] = {
                { CALL("io.acceptd.Pool.Nix"), "MethodNotFound", "io.acceptd.Pool.Nix" },
                { CALL("io.nix.Nix"), "InterfaceNotFound", "io.nix" },
                { CALL("Nix"), "InvalidParameter", "method" },
                { CALL("org.varlink.service.GetInterfaceDescription"), "InvalidParameter",
                        "interface" },
                { "{\"method\":\"io.acceptd.Pool.GetStatus\",\"parameters\":{\"x\":1}}",
                        "InvalidParameter", "x" },
                { "{\"method\":\"io.acceptd.Pool.GetStatus\",\"upgrade\":true}",
                        "InvalidParameter", "upgrade" },
                { "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                  "\"parameters\":{\"interface\":\"io.nix\"}}",
                        "InterfaceNotFound", "io.nix" },
                { "{\"method\":", NULL, NULL },
                { "[]", NULL, NULL },
                { "", NULL, NULL },
        };
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_auto_t *reply = ctl_call(h, &ctl, cases[i].call);
                const json_t *value;
                const char *key;

                if (!cases[i].error) {
                        assert_null(reply);
                        continue;
                }
                assert_non_null(reply);
                assert_non_null(strstr(text_of(reply, "error"), cases[i].error));
                json_object_foreach(json_object_get(reply, "parameters"), key, value)
                        assert_string_equal(json_string_value(value), cases[i].about);
        }
        harness_stop(h);
}

/* Waits for the end of a connection, whatever comes before. */
static void await_end(struct harness *h, int fd)
{
        char data[65536];
        ssize_t n;

        do
                (void)harness_wait(h, fd, POLLIN);
        while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0);
        assert_true(n == 0 || errno == ECONNRESET);
        (void)fd_close(fd);
}

/* Half a message, no message, and answers that nobody reads: as many as there are places. Meanwhile
 * one who asks properly waits a little, and then all of these are gone. */
static void test_clients_that_hold_places(void **state)
{
        struct harness *h = *state;
        json_auto_t *status = NULL;
        struct ctl ctl;
        int fds[9];

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = ctl_connect(&ctl);
                if (i % 3 == 0)
                        ctl_send(fds[i], "{\"method\":", 10);
                if (i % 3 == 1) {
                        static const char call[] = CALL("io.acceptd.Pool.GetStatus");

                        assert_int_equal(fd_set_nonblock(fds[i]), 0);
                        while (send(fds[i], call, sizeof(call), MSG_NOSIGNAL) > 0)
                                ;
                }
        }

        status = ctl_status(h, &ctl);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                await_end(h, fds[i]);
        harness_stop(h);
}

static void test_endless_call(void **state)
{
        struct harness *h = *state;
        char data[4096];
        struct ctl ctl;
        int fd;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);

        memset(data, ' ', sizeof(data));
        fd = ctl_connect(&ctl);
        while (send(fd, data, sizeof(data), MSG_NOSIGNAL) > 0)
                ;
        assert_true(errno == EPIPE || errno == ECONNRESET);
        (void)fd_close(fd);
        json_decref(ctl_status(h, &ctl));
        harness_stop(h);
}

/* As another user: returns 0 when it was hung up on without an answer, or errno. */
static int ask_as_nobody(const struct ctl *ctl)
{
        static const char call[] = CALL("io.acceptd.Pool.GetStatus");
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                char c;

                strcpy(address.sun_path, ctl->path);
                if (setgid(65534) < 0 || setuid(65534) < 0)
                        _exit(250);
                if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                        _exit(errno);
                (void)send(fd, call, sizeof(call), MSG_NOSIGNAL);
                _exit(recv(fd, &c, 1, 0) <= 0 ? 0 : 251);
        }

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WEXITSTATUS(status);
}

static void test_another_user(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;
        struct stat st;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);

        assert_int_equal(chmod(h->dir, 0755), 0);
        assert_int_equal(stat(ctl.path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(ask_as_nobody(&ctl), EACCES);

        /* The file's mode is one fence, who asks is the other. */
        assert_int_equal(chmod(ctl.path, 0666), 0);
        assert_int_equal(ask_as_nobody(&ctl), 0);
        json_decref(ctl_status(h, &ctl));
        harness_stop(h);
}

/* --- acceptctl --- */

static void test_exit_statuses(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 3);
        assert_non_null(strstr(ctl_err, "test is not running"));
        assert_int_equal(ctl_run(h, &ctl, "status"), 3);
        assert_int_equal(ctl_run(h, &ctl, "status", "nix"), 4);
        assert_non_null(strstr(ctl_err, "There is no instance nix"));
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);
        assert_non_null(strstr(ctl_err, "test is not running"));
        assert_int_equal(ctl_run(h, &ctl, "reload", "nix"), 5);
        assert_int_equal(ctl_run(h, &ctl, "list"), 0);
        assert_non_null(strstr(ctl_out, "test      stopped"));

        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_int_equal(ctl_run(h, &ctl, "status"), 0);
        assert_int_equal(ctl_run(h, &ctl, "status", "test", "nix"), 4);
        assert_int_equal(ctl_run(h, &ctl, "list"), 0);
        assert_non_null(strstr(ctl_out, "test      ready      1/1     0        -  yes"));

        assert_int_equal(ctl_run(h, &ctl, ""), 1);
        assert_int_equal(ctl_run(h, &ctl, "nix"), 1);
        assert_int_equal(ctl_run(h, &ctl, "reload"), 1);
        assert_int_equal(ctl_run(h, &ctl, "status", "../test"), 1);
        assert_int_equal(ctl_run(h, &ctl, "--help"), 0);
        assert_int_equal(ctl_run(h, &ctl, "--version"), 0);
        harness_stop(h);
}

static void test_json(void **state)
{
        struct harness *h = *state;
        json_auto_t *one = NULL, *all = NULL, *list = NULL;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        assert_int_equal(ctl_run(h, &ctl, "status", "--json"), 3);
        assert_string_equal(ctl_out, "[]\n");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);

        assert_int_equal(ctl_run(h, &ctl, "status", "test", "--json"), 0);
        one = json_loads(ctl_out, 0, NULL);
        assert_string_equal(text_of(one, "instance"), "test");
        assert_int_equal(ctl_run(h, &ctl, "status", "--json"), 0);
        all = json_loads(ctl_out, 0, NULL);
        assert_true(json_equal(json_array_get(all, 0), one));
        assert_int_equal(ctl_run(h, &ctl, "list", "--json"), 0);
        list = json_loads(ctl_out, 0, NULL);
        assert_true(json_equal(json_object_get(json_array_get(list, 0), "status"), one));
        assert_int_equal(ctl_run(h, &ctl, "reload", "test", "--json"), 0);
        assert_non_null(strstr(ctl_out, "\"changed\": []"));
        harness_stop(h);
}

/* systemd's listening sockets are not touched: a connection there would start the instance. */
static void test_looking_starts_nothing(void **state)
{
        struct harness *h = *state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct pollfd poll_fd = { .events = POLLIN };
        struct ctl ctl;

        ctl_init(h, &ctl);
        poll_fd.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.80s.sock", ctl.folder);
        assert_int_equal(
                bind(poll_fd.fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(poll_fd.fd, 5), 0);

        assert_int_equal(ctl_run(h, &ctl, "list"), 0);
        assert_null(strstr(ctl_out, "sock"));
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 3);
        assert_int_equal(ctl_run(h, &ctl, "status"), 3);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);
        assert_int_equal(poll(&poll_fd, 1, 0), 0);
        (void)fd_close(poll_fd.fd);
        h->finished = true;
}

/* One that does not get to answer is called so, after a while. */
static void test_hung_dispatcher(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);
        assert_int_equal(kill(h->pid, SIGSTOP), 0);
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 4);
        assert_non_null(strstr(ctl_err, "does not answer"));
        assert_int_equal(kill(h->pid, SIGCONT), 0);
        harness_stop(h);
}

/* --- What is passed as the control socket --- */

/* While it starts, and between a crash and the next start: whoever asks is answered then. */
static void test_call_before_the_start(void **state)
{
        struct harness *h = *state;
        static const char call[] = CALL("io.acceptd.Pool.GetStatus");
        struct ctl ctl;
        int socket_fd, fd;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        socket_fd = ctl_listen(&ctl);
        fd = ctl_connect(&ctl);
        ctl_send(fd, call, sizeof(call));
        harness_pass(h, socket_fd, "acceptd-control");
        harness_start(h, .options = WORDS("Workers=1"));
        json_decref(ctl_receive(h, fd));
        (void)fd_close(fd);
        harness_stop(h);
}

/* It serves no connections of its own accord: the only descriptor, it is none to start with. */
static void test_control_socket_alone(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        ctl_start(h, &ctl, .options = WORDS("Workers=1"));
        harness_expect_exit(h, 78);
        assert_int_equal(harness_count_lines(h, "No socket was passed", "allowed"), 1);
        assert_int_equal(procfs_lines(h->log.text), 1);
}

static void check_unsuitable(struct harness *h, int fd_consume)
{
        struct client client;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_pass(h, fd_consume, "acceptd-control");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_await_line(h, "\"acceptd-control\"", "not a listening UNIX stream socket");
        harness_await_ready(h);
        client_open_served(h, &client, 0);
        (void)client_await_end(h, &client);
        harness_stop(h);
}

static void test_unsuitable_tcp(void **state)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                harness_skip(*state, "no IPv4");
        assert_int_equal(listen(fd, 5), 0);
        check_unsuitable(*state, fd);
}

static void test_unsuitable_not_listening(void **state)
{
        check_unsuitable(*state, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static void test_unsuitable_file(void **state)
{
        check_unsuitable(*state, open("/dev/null", O_RDWR | O_CLOEXEC));
}

/* A second one, as with two ListenStream=, is in nobody's way. */
static void test_two_control_sockets(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_pass(h, ctl_listen(&ctl), "acceptd-control");
        assert_int_equal(unlink(ctl.path), 0);
        harness_pass(h, ctl_listen(&ctl), "acceptd-control");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_await_ready(h);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_status_of_an_idle_instance),
                HARNESS_TEST(test_status_while_saturated),
                HARNESS_TEST(test_states),
                HARNESS_TEST(test_degraded),
                HARNESS_TEST(test_without_descriptors),
                HARNESS_TEST(test_what_is_sent_is_what_is_declared),
                HARNESS_TEST(test_introspection),
                HARNESS_TEST(test_errors),
                HARNESS_TEST(test_clients_that_hold_places),
                HARNESS_TEST(test_endless_call),
                HARNESS_TEST(test_another_user),
                HARNESS_TEST(test_exit_statuses),
                HARNESS_TEST(test_json),
                HARNESS_TEST(test_looking_starts_nothing),
                HARNESS_TEST(test_hung_dispatcher),
                HARNESS_TEST(test_call_before_the_start),
                HARNESS_TEST(test_control_socket_alone),
                HARNESS_TEST(test_unsuitable_tcp),
                HARNESS_TEST(test_unsuitable_not_listening),
                HARNESS_TEST(test_unsuitable_file),
                HARNESS_TEST(test_two_control_sockets),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
