/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * MaxConnectionsPerSource= and what belongs to it, with clients from many addresses and users. Each
 * client knows what became of it, and the sum is what the dispatcher counts.
 */

#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adoption.h"
#include "base/fd.h"
#include "ctl.h"

#define LOOPBACK 0x7f000000u

static const char reached[] = "refused: MaxConnectionsPerSource= is reached";

static void begin(struct harness *h, enum listener_kind kind, const char *const *options)
{
        (void)listener_add(h, kind, "main");
        harness_start(h, .options = options, .stub = WORDS("--serve=hold", "--capacity=1000"));
        harness_await_ready(h);
}

static bool is_served_from(struct harness *h, struct client *client, uint32_t address)
{
        client_open_from_ipv4(h, client, 0, LOOPBACK + address);
        return client_is_served(h, client);
}

/* --- One at a time --- */

static void test_who_has_too_many_is_refused_at_once(void **state)
{
        struct harness *h = *state;
        struct client clients[3], refused;

        begin(h, LISTENER_TCP4,
                WORDS("Workers=1", "MaxConnectionsPerSource=2", "LogConnections=yes"));
        assert_true(is_served_from(h, &clients[0], 2));
        assert_true(is_served_from(h, &clients[1], 2));
        assert_false(is_served_from(h, &refused, 2));
        harness_await_line(h, "Connection ", " of main: refused (source) after ");
        harness_await_line(h, "1 connection from 127.0.0.2 ", reached);
        assert_true(is_served_from(h, &clients[2], 3));
        for (int i = 0; i < 10; i++)
                assert_false(is_served_from(h, &refused, 2));
        (void)harness_await_counter(h, refused, 11);
        assert_int_equal(harness_count_lines(h, reached), 1); /* once in 10 seconds */

        client_close(&clients[0]);
        (void)harness_await_counter(h, done, 1);
        assert_true(is_served_from(h, &clients[0], 2));
        assert_false(is_served_from(h, &refused, 2));
        for (size_t i = 0; i < 3; i++)
                client_close(&clients[i]);
        assert_int_equal(harness_await_counter(h, done, 4).refused, 12);
        harness_stop(h);
}

static void test_without_a_limit_nobody_is_refused(void **state)
{
        struct harness *h = *state;
        struct client clients[40];

        begin(h, LISTENER_TCP4, WORDS("Workers=1", "SourceExempt=::1"));
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                assert_true(is_served_from(h, &clients[i], 2));
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_close(&clients[i]);
        assert_int_equal(harness_await_counter(h, done, ELEMENTSOF(clients)).refused, 0);
        harness_stop(h);
}

static void test_who_comes_too_often_is_refused(void **state)
{
        struct harness *h = *state;
        struct client client;

        begin(h, LISTENER_TCP4, WORDS("Workers=1", "RateLimitPerSource=5/1h"));
        for (int i = 0; i < 8; i++)
                if (i < 5) {
                        assert_true(is_served_from(h, &client, 2));
                        client_close(&client);
                } else {
                        assert_false(is_served_from(h, &client, 2));
                }
        harness_await_line(
                h, "1 connection from 127.0.0.2 refused: RateLimitPerSource= is exceeded");
        assert_true(is_served_from(h, &client, 3));
        client_close(&client);
        assert_int_equal(harness_await_counter(h, done, 6).refused, 3);
        harness_stop(h);
}

static void test_prefixes_count_together_and_exempt_ones_do_not_count(void **state)
{
        struct harness *h = *state;
        struct client clients[6], refused;

        begin(h, LISTENER_TCP4,
                WORDS("Workers=1", "MaxConnectionsPerSource=2", "SourcePrefixLength=24:64",
                        "SourceExempt=uid:0 127.0.1.128/25"));
        assert_true(is_served_from(h, &clients[0], 0x101));
        assert_true(is_served_from(h, &clients[1], 0x102));
        assert_false(is_served_from(h, &refused, 0x103));
        harness_await_line(h, "1 connection from 127.0.1.0/24 ", reached);
        assert_true(is_served_from(h, &clients[2], 0x201));
        for (size_t i = 3; i < 6; i++)
                assert_true(is_served_from(h, &clients[i], 0x180));
        for (size_t i = 0; i < 6; i++)
                client_close(&clients[i]);
        harness_stop(h);
}

/* Those of IPv4 come to a socket for both as ::ffff:127.0.0.2. */
static void test_mapped_addresses_count_as_ipv4(void **state)
{
        struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
        struct harness *h = *state;
        struct client clients[2], refused;
        struct sockaddr_in to = { .sin_family = AF_INET };
        socklen_t len = sizeof(any);

        if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
                bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 16) < 0) {
                fd_close(fd);
                harness_skip(h, "no IPv6 here");
        }
        harness_pass(h, fd, "main");
        harness_start(h, .options = WORDS("Workers=1", "MaxConnectionsPerSource=2"),
                .stub = WORDS("--serve=hold", "--capacity=1000"));
        harness_await_ready(h);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
        to.sin_port = any.sin6_port;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

        for (size_t i = 0; i < 3; i++) {
                struct client *client = i < 2 ? &clients[i] : &refused;

                *client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
                assert_int_equal(connect(client->fd, (struct sockaddr *)&to, sizeof(to)), 0);
                assert_int_equal(client_is_served(h, client), i < 2);
        }
        harness_await_line(h, "1 connection from 127.0.0.1 ", reached);
        for (size_t i = 0; i < 2; i++)
                client_close(&clients[i]);
        harness_stop(h);
}

static void test_users(void **state)
{
        struct harness *h = *state;
        struct client clients[5][3], refused;
        char line[64];

        if (geteuid() != 0)
                harness_skip(h, "only root can be several users");
        begin(h, LISTENER_UNIX, WORDS("Workers=2", "MaxConnectionsPerSource=3"));
        for (uid_t uid = 0; uid < 5; uid++) {
                assert_int_equal(seteuid(uid * 1000), 0);
                for (size_t i = 0; i < 3; i++)
                        client_open(h, &clients[uid][i], 0);
                client_open(h, &refused, 0);
                assert_int_equal(seteuid(0), 0);
                for (size_t i = 0; i < 3; i++)
                        client_await_greeting(h, &clients[uid][i]);
                assert_int_equal(client_await_end(h, &refused), CLIENT_END_CLEAN);
                (void)snprintf(line, sizeof(line), "1 connection from uid:%u ", uid * 1000);
                harness_await_line(h, line, reached);
        }
        assert_int_equal(harness_counters(h).open, 15);
        assert_int_equal(harness_counters(h).refused, 5);
        for (size_t i = 0; i < 15; i++)
                client_close(&clients[i / 3][i % 3]);
        harness_stop(h);
}

static void test_virtual_machines(void **state)
{
        struct harness *h = *state;
        struct client client, refused;

        if (!listener_available(LISTENER_VSOCK))
                harness_skip(h, "no vsock here");
        begin(h, LISTENER_VSOCK, WORDS("Workers=1", "MaxConnectionsPerSource=1"));
        client_open_served(h, &client, 0);
        client_open(h, &refused, 0);
        assert_false(client_is_served(h, &refused));
        harness_await_line(h, "1 connection from cid:1 ", reached);
        client_close(&client);
        harness_stop(h);
}

/* --- Reload --- */

static void reload(struct harness *h, const struct ctl *ctl, const char *pool)
{
        ctl_write_pool(ctl, pool, "--serve=hold --capacity=100");
        assert_int_equal(ctl_run(h, ctl, "reload", "test"), 0);
}

/* What counts together changes for those that are open, too. */
static void test_reload_of_the_limits(void **state)
{
        struct harness *h = *state;
        struct client clients[5], refused;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_TCP4, "main");
        ctl_write_pool(&ctl, "Workers=1", "--serve=hold --capacity=100");
        ctl_start(h, &ctl, .command = WORDS());
        harness_await_ready(h);
        assert_true(is_served_from(h, &clients[0], 0x501)); /* nobody asks it */

        reload(h, &ctl, "Workers=1\nMaxConnectionsPerSource=1");
        for (uint32_t i = 1; i < 4; i++)
                assert_true(is_served_from(h, &clients[i], 0x500 + i));
        assert_false(is_served_from(h, &refused, 0x501));
        reload(h, &ctl, "Workers=1\nMaxConnectionsPerSource=4\nSourcePrefixLength=24:64");
        assert_true(is_served_from(h, &clients[4], 0x501));
        assert_false(is_served_from(h, &refused, 0x504));
        reload(h, &ctl, "Workers=1\nMaxConnectionsPerSource=2");
        assert_false(is_served_from(h, &refused, 0x501));
        client_close(&clients[1]);
        (void)harness_await_counter(h, done, 1);
        assert_true(is_served_from(h, &clients[1], 0x501));
        assert_int_equal(ctl_run(h, &ctl, "status", "test"), 0);
        assert_non_null(strstr(ctl_out, " 3 refused, 0 taken back\n      Refused: 3 source\n"));
        reload(h, &ctl, "Workers=1");
        assert_true(is_served_from(h, &refused, 0x501));
        client_close(&refused);
        for (size_t i = 0; i < 5; i++)
                client_close(&clients[i]);
        assert_int_equal(harness_await_counter(h, done, 7).refused, 3);
        harness_stop(h);
}

static void test_who_has_most_and_who_is_refused_most(void **state)
{
        struct harness *h = *state;
        struct client clients[30 + 4], refused;
        size_t n = 0;
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_TCP4, "main");
        ctl_write_pool(&ctl, "Workers=1\nMaxConnectionsPerSource=3", "--serve=hold --capacity=100");
        ctl_start(h, &ctl, .command = WORDS());
        harness_await_ready(h);
        assert_int_equal(ctl_run(h, &ctl, "sources", "test"), 0);
        assert_string_equal(ctl_out, "HAS MOST  OPEN  REFUSED\n");

        for (uint32_t i = 1; i <= 30; i++)
                assert_true(is_served_from(h, &clients[n++], i));
        assert_true(is_served_from(h, &clients[n++], 29));
        for (int i = 0; i < 2; i++)
                assert_true(is_served_from(h, &clients[n++], 30));
        for (int i = 0; i < 5; i++)
                assert_false(is_served_from(h, &refused, 30));
        assert_int_equal(ctl_run(h, &ctl, "sources", "test"), 0);
        assert_non_null(startswith(ctl_out, "HAS MOST    OPEN  REFUSED\n"
                                            "127.0.0.30     3        5\n"
                                            "127.0.0.29     2        0\n"));
        assert_non_null(strstr(ctl_out, "\n\nREFUSED MOST  OPEN  REFUSED\n"
                                        "127.0.0.30       3        5\n"));
        assert_int_equal(ctl_run(h, &ctl, "sources", "test", "--json=short"), 0);
        assert_non_null(strstr(ctl_out, "\"count\":30"));

        while (n > 0)
                client_close(&clients[--n]);
        (void)harness_await_counter(h, done, 33);
        assert_int_equal(ctl_run(h, &ctl, "sources", "test"), 0);
        assert_string_equal(ctl_out, "HAS MOST  OPEN  REFUSED\n\n"
                                     "REFUSED MOST  OPEN  REFUSED\n"
                                     "127.0.0.30       0        5\n");
        harness_stop(h);
}

/* --- Many --- */

#define SOURCES 200
#define LIMIT   3
#define ROUNDS  16

struct many {
        struct harness *h;
        struct client clients[SOURCES][LIMIT]; /* fd is -1: none */
        uint64_t open, done, lost, refused;    /* as the clients know it */
        unsigned random;
};

static unsigned random_below(struct many *m, unsigned below)
{
        m->random = m->random * 1103515245 + 12345;
        return (m->random >> 16) % below;
}

static size_t count_open(const struct many *m, size_t source)
{
        size_t n = 0;

        for (size_t i = 0; i < LIMIT; i++)
                n += m->clients[source][i].fd >= 0;

        return n;
}

static void keep(struct many *m, size_t source, const struct client *client)
{
        size_t i = 0;

        while (i < LIMIT && m->clients[source][i].fd >= 0)
                i++;
        assert_int_not_equal(i, LIMIT);
        m->clients[source][i] = *client;
        m->open++;
}

/* All of a source come at once: as many are served as there is room for. */
static void come(struct many *m, size_t source, size_t n)
{
        struct client clients[LIMIT + 2];
        size_t room = LIMIT - count_open(m, source), served = 0;

        for (size_t i = 0; i < n; i++)
                client_open_from_ipv4(m->h, &clients[i], 0, LOOPBACK + 0x100 + (uint32_t)source);
        for (size_t i = 0; i < n; i++)
                if (client_is_served(m->h, &clients[i])) {
                        keep(m, source, &clients[i]);
                        served++;
                } else {
                        m->refused++;
                }
        assert_int_equal(served, MIN(n, room));
}

static void go(struct many *m)
{
        for (size_t i = 0; i < SOURCES * LIMIT; i++) {
                struct client *client = &m->clients[i / LIMIT][i % LIMIT];

                if (client->fd < 0 || random_below(m, 3) > 0)
                        continue;
                client_close(client);
                m->open--;
                m->done++;
        }
}

static void lose_a_worker(struct many *m)
{
        struct client *some = NULL;
        pid_t pid;

        for (size_t i = 0; !some && i < SOURCES * LIMIT; i++)
                if (m->clients[i / LIMIT][i % LIMIT].fd >= 0)
                        some = &m->clients[i / LIMIT][i % LIMIT];
        if (!some)
                return;

        pid = some->pid;
        assert_int_equal(kill(pid, SIGKILL), 0);
        for (size_t i = 0; i < SOURCES * LIMIT; i++) {
                struct client *client = &m->clients[i / LIMIT][i % LIMIT];

                if (client->fd < 0 || client->pid != pid)
                        continue;
                (void)client_await_end(m->h, client);
                m->open--;
                m->lost++;
        }
}

static void start_many(struct harness *h)
{
        harness_start(h, .options = WORDS("Workers=3", "MaxConnectionsPerSource=3"),
                .stub = WORDS("--serve=hold", "--capacity=1000"), .store = ADOPTION_STORE);
        harness_await_ready(h);
}

static void reload_many(struct harness *h)
{
        assert_int_equal(kill(h->pid, SIGHUP), 0);
        harness_await_notify(h, "RELOADING=1");
        harness_await_notify(h, "READY=1");
}

static void check_many(struct many *m)
{
        struct counters c = harness_await_counter(m->h, open, m->open);

        c = harness_await_counter(m->h, lost, m->lost);
        c = harness_await_counter(m->h, done, m->done);
        assert_int_equal(c.open, m->open);
        assert_int_equal(c.refused, m->refused);
        assert_int_equal(c.accepted, m->open + m->done + m->lost + m->refused);
}

static void close_all(struct many *m)
{
        for (size_t i = 0; i < SOURCES * LIMIT; i++)
                if (m->clients[i / LIMIT][i % LIMIT].fd >= 0)
                        client_close(&m->clients[i / LIMIT][i % LIMIT]);
}

static void test_many_sources_through_kills_reloads_and_crashes(void **state)
{
        static struct many m;

        m = (struct many){ .h = *state, .random = 1 };
        for (size_t i = 0; i < SOURCES * LIMIT; i++)
                m.clients[i / LIMIT][i % LIMIT].fd = -1;
        (void)listener_add(m.h, LISTENER_TCP4, "main");
        start_many(m.h);

        for (int round = 0; round < ROUNDS; round++) {
                for (size_t i = 0; i < SOURCES; i++)
                        come(&m, i, random_below(&m, LIMIT + 3));
                check_many(&m);
                if (round % 4 == 1) {
                        harness_crash(m.h);
                        start_many(m.h);
                } else if (round % 4 == 2) {
                        lose_a_worker(&m);
                } else if (round % 4 == 3) {
                        reload_many(m.h);
                }
                check_many(&m);
                go(&m);
                check_many(&m);
        }
        assert_true(m.refused > 500 && m.lost > 50);
        close_all(&m);
        harness_stop(m.h);
}

/* --- IPv6, in a network of its own --- */

static void set_up_network(struct harness *h)
{
        int fd = -1;
        struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

        if (unshare(CLONE_NEWNET) < 0)
                harness_skip(h, "no network of its own");
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0) {
                fd_close(fd);
                harness_skip(h, "no IPv6 there");
        }
        fd_close(fd);
}

static void add_address(const char *text)
{
        _cleanup_(fd_closep) int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct in6_ifreq request = { .ifr6_prefixlen = 128, .ifr6_ifindex = 1 };

        assert_int_equal(inet_pton(AF_INET6, text, &request.ifr6_addr), 1);
        if (ioctl(fd, SIOCSIFADDR, &request) < 0)
                fail_msg("%s: %s", text, strerror(errno));
}

static void test_ipv6_prefixes(void **state)
{
        static const char *const together[] = { "2001:db8:0:7::1", "2001:db8:0:7::2",
                "2001:db8:0:7:ffff:ffff:ffff:ffff" };
        struct harness *h = *state;
        struct client clients[3], refused;

        set_up_network(h);
        for (size_t i = 0; i < ELEMENTSOF(together); i++)
                add_address(together[i]);
        add_address("2001:db8:0:8::1");
        begin(h, LISTENER_TCP6, WORDS("Workers=1", "MaxConnectionsPerSource=2"));
        for (size_t i = 0; i < 2; i++) {
                client_open_from_ipv6(h, &clients[i], 0, together[i]);
                client_await_greeting(h, &clients[i]);
        }
        client_open_from_ipv6(h, &refused, 0, together[2]);
        assert_false(client_is_served(h, &refused));
        harness_await_line(h, "1 connection from 2001:db8:0:7::/64 ", reached);
        client_open_from_ipv6(h, &clients[2], 0, "2001:db8:0:8::1");
        client_await_greeting(h, &clients[2]);
        for (size_t i = 0; i < 3; i++)
                client_close(&clients[i]);
        assert_int_equal(harness_await_counter(h, done, 3).refused, 1);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_who_has_too_many_is_refused_at_once),
                HARNESS_TEST(test_without_a_limit_nobody_is_refused),
                HARNESS_TEST(test_who_comes_too_often_is_refused),
                HARNESS_TEST(test_prefixes_count_together_and_exempt_ones_do_not_count),
                HARNESS_TEST(test_mapped_addresses_count_as_ipv4), HARNESS_TEST(test_users),
                HARNESS_TEST(test_virtual_machines), HARNESS_TEST(test_reload_of_the_limits),
                HARNESS_TEST(test_who_has_most_and_who_is_refused_most),
                HARNESS_TEST(test_many_sources_through_kills_reloads_and_crashes),
                HARNESS_TEST(test_ipv6_prefixes), /* the last one: it stays in its network */
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
