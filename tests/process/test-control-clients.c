/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Clients of the control socket that ask for what there is not, say half of it, stay for ever, or
 * are not root: src/control/control.c must keep answering the others.
 */

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

static void test_errors(void **state)
{
        static const struct {
                const char *call, *error, *about;
        } cases[] = {
                { CTL_CALL("io.acceptd.Pool.Nix"), "MethodNotFound", "io.acceptd.Pool.Nix" },
                { CTL_CALL("io.nix.Nix"), "InterfaceNotFound", "io.nix" },
                { CTL_CALL("Nix"), "InvalidParameter", "method" },
                { CTL_CALL("org.varlink.service.GetInterfaceDescription"), "InvalidParameter",
                        "interface" },
                { "{\"method\":\"io.acceptd.Pool.GetStatus\",\"parameters\":{\"x\":1}}",
                        "InvalidParameter", "x" },
                { "{\"method\":\"io.acceptd.Pool.GetStatus\",\"upgrade\":true}", "InvalidParameter",
                        "upgrade" },
                { "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                  "\"parameters\":{\"interface\":\"io.nix\"}}",
                        "InterfaceNotFound", "io.nix" },
                { "{\"method\":", NULL, NULL },
                { "[]", NULL, NULL },
                { "", NULL, NULL },
        };
        struct harness *h = *state;
        struct ctl ctl;

        ctl_start_one(h, &ctl);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_auto_t *reply = ctl_call(h, &ctl, cases[i].call);
                const json_t *value;
                const char *key;

                if (!cases[i].error) {
                        assert_null(reply);
                        continue;
                }
                assert_non_null(reply);
                assert_non_null(strstr(ctl_text(reply, "error"), cases[i].error));
                json_object_foreach (json_object_get(reply, "parameters"), key, value)
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

        ctl_start_one(h, &ctl);

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = ctl_connect(&ctl);
                if (i % 3 == 0)
                        ctl_send(fds[i], "{\"method\":", 10);
                if (i % 3 == 1) {
                        static const char call[] = CTL_CALL("io.acceptd.Pool.GetStatus");

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

        ctl_start_one(h, &ctl);

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
        static const char call[] = CTL_CALL("io.acceptd.Pool.GetStatus");
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

        ctl_start_one(h, &ctl);

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_errors),
                HARNESS_TEST(test_clients_that_hold_places),
                HARNESS_TEST(test_endless_call),
                HARNESS_TEST(test_another_user),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
