/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Descriptors whose names look like this program's own, or are; and limits that the ledger does not
 * fit into. Nothing that was passed is closed or left unserved without a word.
 */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl.h"
#include "sanitized.h"

/* The second one of acceptd(8), without FileDescriptorName=: clients connected and hung for ever.
 */
static void test_listeners_that_begin_with_acceptd(void **state)
{
        static const char *const names[] = { "acceptd-web-admin.socket", "acceptd-x",
                "acceptd-ledger", "acceptd-channel-1", "acceptd-settings-1" };
        struct harness *h = *state;
        struct client client;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                (void)listener_add(h, LISTENER_UNIX, names[i]);
        harness_start(h, .options = WORDS("Workers=1"), .store = 64);
        harness_await_ready(h);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                client_open_served(h, &client, i);
                assert_string_equal(client.listener, names[i]);
                (void)client_await_end(h, &client);
        }
        assert_int_equal(harness_count_lines(h, "belonged to no worker"), 0);
        harness_stop(h);
}

static void check_reserved(struct harness *h, const char *name)
{
        char quoted[32];

        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", name);
        (void)listener_add(h, LISTENER_UNIX, "main");
        (void)listener_add(h, LISTENER_UNIX, name);
        harness_start(h, .options = WORDS("Workers=1"), .store = 64);
        harness_await_line(h, "<3>", quoted, "write FileDescriptorName=", "allowed");
        harness_expect_exit(h, 78);
}

static void test_listener_with_a_reserved_name(void **state)
{
        check_reserved(*state, "%0");
}

/* It was taken for one that a dispatcher before had left, and served under another name. */
static void test_listener_with_the_name_of_a_kept_one(void **state)
{
        check_reserved(*state, "!nweb");
}

static void test_listener_beside_the_control_socket(void **state)
{
        struct harness *h = *state;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_pass(h, ctl_listen(&ctl), "acceptd-control");
        (void)listener_add(h, LISTENER_TCP4, "acceptd-control");
        harness_start(h, .options = WORDS("Workers=1"));
        harness_await_line(h, "<3>", "\"acceptd-control\"", "write FileDescriptorName=");
        harness_expect_exit(h, 78);
}

/* A later version's, after a crash of that. */
static void test_unknown_descriptor(void **state)
{
        struct harness *h = *state;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_pass(h, eventfd(0, EFD_CLOEXEC), "!z1");
        harness_start(h, .options = WORDS("Workers=1"), .store = 64);
        harness_await_line(h, "\"!z1\"", "nothing that this version knows", "closed");
        harness_await_ready(h);
        harness_stop(h);
}

static void limit(int resource, rlim_t soft, struct rlimit *before)
{
        struct rlimit new;

        assert_int_equal(getrlimit((__rlimit_resource_t)resource, before), 0);
        new = (struct rlimit){ .rlim_cur = soft, .rlim_max = before->rlim_max };
        assert_int_equal(setrlimit((__rlimit_resource_t)resource, &new), 0);
}

static void refuse_start(
        struct harness *h, int resource, rlim_t soft, const char *connections, const char *advice)
{
        struct rlimit before;

        (void)listener_add(h, LISTENER_UNIX, "main");
        limit(resource, soft, &before);
        harness_start(h, .options = WORDS("Workers=1", connections), .store = 64);
        assert_int_equal(setrlimit((__rlimit_resource_t)resource, &before), 0);
        harness_await_line(h, "<3>", connections, "ledger", advice, "lower MaxConnections=");
        harness_expect_exit(h, 78);
}

static void test_limit_of_file_size(void **state)
{
        refuse_start(*state, RLIMIT_FSIZE, 1000000, "MaxConnections=65536", "LimitFSIZE=");
}

static void test_limit_of_address_space(void **state)
{
        if (SANITIZED)
                harness_skip(*state, "the address sanitizer has its own idea of address space");
        refuse_start(*state, RLIMIT_AS, 300000000, "MaxConnections=16000000", "LimitAS=");
}

static void test_limit_of_data(void **state)
{
        if (SANITIZED)
                harness_skip(*state, "the address sanitizer has its own idea of memory");
        refuse_start(*state, RLIMIT_DATA, 30000000, "MaxConnections=16000000", "LimitDATA=");
}

/* It goes on with the ledger that it has. */
static void test_limit_at_a_reload(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=1", "--serve=obey --capacity=4", .store = 64);
        client_open_served(h, &client, 0);
        assert_int_equal(
                prlimit(h->pid, RLIMIT_FSIZE, &(struct rlimit){ 5000000, 5000000 }, NULL), 0);
        ctl_write_pool(&ctl, "Workers=1\nMaxConnections=1000000", "--serve=obey --capacity=4");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 1);
        harness_await_line(h, "nothing changed", "MaxConnections=1000000", "LimitFSIZE=");
        client_exchange(h, &client);
        assert_int_equal(harness_count_lines(h, "Took over"), 0);
        ctl_write_pool(&ctl, "Workers=1", "--serve=obey --capacity=4");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        client_finish(h, &client);
        assert_int_equal(harness_await_counter(h, done, 1).accepted, 1);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_listeners_that_begin_with_acceptd),
                HARNESS_TEST(test_listener_with_a_reserved_name),
                HARNESS_TEST(test_listener_with_the_name_of_a_kept_one),
                HARNESS_TEST(test_listener_beside_the_control_socket),
                HARNESS_TEST(test_unknown_descriptor),
                HARNESS_TEST(test_limit_of_file_size),
                HARNESS_TEST(test_limit_of_address_space),
                HARNESS_TEST(test_limit_of_data),
                HARNESS_TEST(test_limit_at_a_reload),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
