/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptctl as a process, at a real dispatcher or at none: its exit statuses and its JSON.
 */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

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
        assert_string_equal(ctl_text(one, "instance"), "test");
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
        assert_int_equal(bind(poll_fd.fd, (const struct sockaddr *)&address, sizeof(address)), 0);
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

        ctl_start_one(h, &ctl);
        assert_int_equal(kill(h->pid, SIGSTOP), 0);
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 4);
        assert_non_null(strstr(ctl_err, "does not answer"));
        assert_int_equal(kill(h->pid, SIGCONT), 0);
        harness_stop(h);
}

/* Answers nobody, like a dispatcher that hangs. Returns the listener. */
static int listen_in(const struct harness *h, const char *name)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char path[100];

        (void)snprintf(path, sizeof(path), "%.60s/run/acceptd/%.20s", h->dir, name);
        assert_int_equal(mkdir(path, 0755), 0);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.85s/io.acceptd.Pool", path);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 8), 0);

        return fd;
}

/* Not five seconds each. */
static void test_hung_dispatchers_share_a_deadline(void **state)
{
        struct harness *h = *state;
        int fds[3];
        usec_t begin;
        struct ctl ctl;

        ctl_init(h, &ctl);
        fds[0] = listen_in(h, "one");
        fds[1] = listen_in(h, "two");
        fds[2] = listen_in(h, "three");
        begin = usec_now();
        assert_int_equal(ctl_run(h, &ctl, "status"), 4);
        assert_true(usec_now() - begin < 12 * USEC_PER_SEC);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                (void)fd_close(fds[i]);
        h->finished = true;
}

/* A cleaner took it, or its unit is masked: the service serves, and systemd says that it runs. */
static void test_control_socket_is_gone(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;
        char link[160];

        ctl_init(h, &ctl);
        (void)snprintf(
                link, sizeof(link), "%s/run/systemd/units/invocation:acceptd@test.service", h->dir);
        assert_int_equal(symlink("6c1bc3ecf31b4d0bbd1f6eb1fc3a0a2e", link), 0);
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 4);
        assert_non_null(strstr(ctl_err, "test runs, but its control socket is gone"));
        assert_null(strstr(ctl_err, "not running"));
        assert_int_equal(ctl_run(h, &ctl, "status"), 4);
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);
        assert_null(strstr(ctl_err, "not running"));
        assert_int_equal(ctl_run(h, &ctl, "list"), 0);
        assert_non_null(strstr(ctl_out, "test      unreachable"));
        h->finished = true;
}

/* As that of a container on the disk: its /run is elsewhere. */
static void test_root_without_a_running_system(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;
        char path[128];

        ctl_init(h, &ctl);
        (void)snprintf(path, sizeof(path), "%s/run/systemd/units", h->dir);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 4);
        assert_non_null(strstr(ctl_err, "No running instance can be seen below"));
        assert_int_equal(ctl_run(h, &ctl, "status"), 4);
        assert_int_equal(ctl_run(h, &ctl, "list"), 0);
        assert_non_null(strstr(ctl_out, "test      unknown"));
        assert_null(strstr(ctl_out, "stopped"));
        h->finished = true;
}

/* Whoever made the tree has no say in which socket of this machine is connected to. */
static void test_root_is_not_left_by_a_link(void **state)
{
        static const char *const folders[] = { "", "/etc", "/etc/acceptd", "/run", "/run/acceptd",
                "/run/acceptd/test", "/run/systemd", "/run/systemd/units" };
        struct harness *h = *state;
        struct pollfd poll_fd = { .events = POLLIN };
        struct ctl ctl;
        char path[160], root[128];

        ctl_init(h, &ctl);
        poll_fd.fd = ctl_listen(&ctl);
        for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
                (void)snprintf(path, sizeof(path), "%s/tree%s", h->dir, folders[i]);
                assert_int_equal(mkdir(path, 0755), 0);
        }
        (void)snprintf(path, sizeof(path), "%s/tree/etc/acceptd/test.conf", h->dir);
        assert_int_equal(symlink("/dev/null", path), 0);
        (void)snprintf(path, sizeof(path), "%s/tree/run/acceptd/test/io.acceptd.Pool", h->dir);
        assert_int_equal(symlink(ctl.path, path), 0);

        (void)snprintf(root, sizeof(root), "--root=%s/tree", h->dir);
        assert_int_equal(ctl_run(h, &ctl, root, "status", "test"), 4);
        assert_non_null(strstr(ctl_err, "There is no instance test"));
        assert_int_equal(poll(&poll_fd, 1, 0), 0);
        (void)fd_close(poll_fd.fd);
        h->finished = true;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_exit_statuses),
                HARNESS_TEST(test_json),
                HARNESS_TEST(test_looking_starts_nothing),
                HARNESS_TEST(test_hung_dispatcher),
                HARNESS_TEST(test_hung_dispatchers_share_a_deadline),
                HARNESS_TEST(test_control_socket_is_gone),
                HARNESS_TEST(test_root_without_a_running_system),
                HARNESS_TEST(test_root_is_not_left_by_a_link),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
