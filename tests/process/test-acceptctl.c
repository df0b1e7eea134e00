/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptctl as a process, at a real dispatcher or at none: its exit statuses and its JSON.
 */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_exit_statuses),
                HARNESS_TEST(test_json),
                HARNESS_TEST(test_looking_starts_nothing),
                HARNESS_TEST(test_hung_dispatcher),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
