/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Programs that acceptd-inetd starts: what each of them gets. How they end is
 * test-inetd-ends.c's matter.
 */

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "inetd-fixture.h"

/* Whether a text has this line. */
static bool has_line(const char *text, const char *line)
{
        size_t n = strlen(line);

        for (const char *at = text; (at = strstr(at, line)); at++)
                if ((at == text || at[-1] == '\n') && (at[n] == '\n' || at[n] == '\0'))
                        return true;

        return false;
}

static void expect_line(const char *text, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static void expect_line(const char *text, const char *format, ...)
{
        char line[256];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(line, sizeof(line), format, arguments);
        va_end(arguments);
        if (!has_line(text, line))
                fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void test_cat_answers(void **state)
{
        struct harness *h = *state;
        struct client client;

        inetd_start(h, WORDS("Workers=2"), WORDS("cat"));
        for (int i = 0; i < 20; i++) {
                client_open(h, &client, 0);
                client_send(&client, "hello\nworld\n");
                assert_string_equal(client_await_line(h, &client), "hello");
                assert_string_equal(client_await_line(h, &client), "world");
                assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
                assert_int_equal(client_await_end(h, &client), CLIENT_END_CLEAN);
        }
        assert_int_equal(harness_await_counter(h, done, 20).lost, 0);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "acceptd-inetd"), 0);
}

/* --- Variables --- */

static void test_environment_of_tcp(void **state)
{
        struct harness *h = *state;
        struct sockaddr_in here, there;
        socklen_t length = sizeof(here);
        struct client client;
        size_t listener = listener_add(h, LISTENER_TCP4, "web");
        _cleanup_(freep) char *text = NULL;

        /* what the service itself was started with is not the program's */
        harness_start(h, .options = WORDS("Workers=1"), .command = inetd_command(WORDS("env")),
                .environment = WORDS("TCPREMOTEHOST=old", "TCPREMOTEIP=old", "UNIXLOCALPATH=old",
                        "REMOTE_ADDR=old", "PROTO=old", "KEPT=yes"));
        client_open(h, &client, listener);
        assert_int_equal(getpeername(client.fd, (struct sockaddr *)&there, &length), 0);
        assert_int_equal(getsockname(client.fd, (struct sockaddr *)&here, &length), 0);
        text = client_await_all(h, &client);

        expect_line(text, "PROTO=TCP");
        expect_line(text, "TCPLOCALIP=127.0.0.1");
        expect_line(text, "TCPREMOTEIP=127.0.0.1");
        expect_line(text, "REMOTE_ADDR=127.0.0.1");
        expect_line(text, "TCPLOCALPORT=%u", ntohs(there.sin_port));
        expect_line(text, "TCPREMOTEPORT=%u", ntohs(here.sin_port));
        expect_line(text, "REMOTE_PORT=%u", ntohs(here.sin_port));
        expect_line(text, "LISTEN_FDS=1");
        expect_line(text, "LISTEN_FDNAMES=connection");
        expect_line(text, "KEPT=yes");
        assert_null(strstr(text, "old"));
        assert_null(strstr(text, "ACCEPTD_"));
        assert_null(strstr(text, "NOTIFY_SOCKET"));
        harness_stop(h);
}

static void test_environment_of_tcp6(void **state)
{
        struct harness *h = *state;
        _cleanup_(freep) char *text = NULL;

        if (!listener_available(LISTENER_TCP6))
                harness_skip(h, "no IPv6 here");
        (void)listener_add(h, LISTENER_TCP6, "six");
        harness_start(h, .options = WORDS("Workers=1"), .command = inetd_command(WORDS("env")));
        text = inetd_ask(h, 0);
        expect_line(text, "PROTO=TCP");
        expect_line(text, "TCPREMOTEIP=::1");
        expect_line(text, "TCPLOCALIP=::1");
        expect_line(text, "REMOTE_ADDR=::1");
        harness_stop(h);
}

/* A client of IPv4 at a socket of both. */
static void test_environment_of_mapped_tcp4(void **state)
{
        struct harness *h = *state;
        struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
        struct sockaddr_in four = { .sin_family = AF_INET };
        socklen_t length = sizeof(any);
        struct client client = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
        _cleanup_(fd_closep) int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_(freep) char *text = NULL;

        if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
                client_close(&client);
                fd = fd_close(fd);
                harness_skip(h, "no IPv6 here");
        }
        assert_int_equal(listen(fd, 8), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &length), 0);
        harness_pass(h, TAKE_FD(fd), "both");
        harness_start(h, .options = WORDS("Workers=1"), .command = inetd_command(WORDS("env")));

        four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        four.sin_port = any.sin6_port;
        assert_int_equal(connect(client.fd, (struct sockaddr *)&four, sizeof(four)), 0);
        text = client_await_all(h, &client);
        expect_line(text, "TCPREMOTEIP=127.0.0.1");
        expect_line(text, "TCPLOCALIP=127.0.0.1");
        expect_line(text, "REMOTE_ADDR=127.0.0.1");
        harness_stop(h);
}

static void add_unix_listener(struct harness *h, const char *name, size_t length)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        memcpy(address.sun_path, name, length);
        assert_int_equal(bind(fd, (struct sockaddr *)&address,
                                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                0);
        assert_int_equal(listen(fd, 8), 0);
        harness_pass(h, fd, "unix");
}

/* A socket with a file, a client without a name. */
static void test_environment_of_unix(void **state)
{
        struct harness *h = *state;
        _cleanup_(freep) char *text = NULL;
        char path[100];

        (void)snprintf(path, sizeof(path), "%s/socket", h->dir);
        add_unix_listener(h, path, strlen(path));
        harness_start(h, .options = WORDS("Workers=1"), .command = inetd_command(WORDS("env")));
        text = inetd_ask(h, 0);
        expect_line(text, "PROTO=UNIX");
        expect_line(text, "UNIXLOCALPATH=%s", path);
        expect_line(text, "UNIXREMOTEPID=%d", (int)getpid());
        expect_line(text, "UNIXREMOTEEUID=%u", geteuid());
        expect_line(text, "UNIXREMOTEEGID=%u", getegid());
        assert_null(strstr(text, "REMOTE_ADDR"));
        assert_null(strstr(text, "TCP"));
        harness_stop(h);
}

/* Names without files: @ stands for the zero bytes. */
static void test_environment_of_abstract_unix(void **state)
{
        struct harness *h = *state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t length = sizeof(address);
        struct client client = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
        _cleanup_(freep) char *text = NULL;
        char name[64] = "", mine[64] = "";
        int n;

        n = snprintf(name + 1, sizeof(name) - 1, "acceptd-%d", (int)getpid());
        add_unix_listener(h, name, (size_t)n + 3); /* two zero bytes more */
        harness_start(h, .options = WORDS("Workers=1"), .command = inetd_command(WORDS("env")));

        n = snprintf(mine, sizeof(mine), "%s/client", h->dir);
        memcpy(address.sun_path, mine, (size_t)n);
        assert_int_equal(bind(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(getsockname(h->sockets[0], (struct sockaddr *)&address, &length), 0);
        assert_int_equal(connect(client.fd, (struct sockaddr *)&address, length), 0);
        text = client_await_all(h, &client);
        expect_line(text, "UNIXLOCALPATH=@%s@@", name + 1);
        expect_line(text, "REMOTE_ADDR=%s", mine);
        harness_stop(h);
}

/* --- What it is and has --- */

static void test_listen_pid_is_the_program(void **state)
{
        struct harness *h = *state;
        char *text;
        int a, b;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "echo $$ $LISTEN_PID"));
        for (int i = 0; i < 3; i++) {
                text = inetd_ask(h, 0);
                assert_int_equal(sscanf(text, "%d %d", &a, &b), 2);
                assert_int_equal(a, b);
                free(text);
        }
        harness_stop(h);
}

/* The connection is on 0, 1 and 3, and a blocking one. */
static void test_no_descriptor_leaks_in(void **state)
{
        struct harness *h = *state;
        struct client first;
        _cleanup_(freep) char *text = NULL;
        char *end;
        int flags;

        inetd_start(h, WORDS("Workers=1"),
                WORDS("sh", "-c",
                        "read line; cd /proc/self/fd; ls; for i in 0 1 3; do readlink $i; done | "
                        "uniq -c | wc -l; grep -h flags: /proc/self/fdinfo/0"));
        client_open(h, &first, 0); /* the worker holds another one meanwhile */
        (void)harness_await_counter(h, accepted, 1);
        {
                struct client client;

                client_open(h, &client, 0);
                client_send(&client, "\n");
                text = client_await_all(h, &client);
        }
        end = strstr(text, "flags:");
        assert_non_null(end);
        flags = (int)strtol(end + strlen("flags:"), NULL, 8);
        assert_int_equal(flags & O_NONBLOCK, 0);
        *end = '\0';
        assert_string_equal(text, "0\n1\n2\n3\n1\n");
        client_send(&first, "\n");
        (void)client_await_end(h, &first);
        harness_stop(h);
}

static uint64_t get_mask(const char *status, const char *name)
{
        const char *at = strstr(status, name);

        assert_non_null(at);
        return strtoull(at + strlen(name), NULL, 16);
}

static void test_signals_and_group(void **state)
{
        /* glibc keeps these two to itself: what started this test may have them ignored */
        const uint64_t reserved = UINT64_C(3) << 31;
        struct harness *h = *state;
        _cleanup_(freep) char *text = NULL;
        int pid, parent, group;

        inetd_start(h, WORDS("Workers=1"), WORDS("cat", "/proc/self/status", "/proc/self/stat"));
        text = inetd_ask(h, 0);
        assert_int_equal(get_mask(text, "\nSigBlk:"), 0);
        assert_int_equal(get_mask(text, "\nSigIgn:") & ~reserved, 0);
        assert_int_equal(get_mask(text, "\nSigCgt:"), 0);
        assert_int_equal(sscanf(strstr(text, " (cat) "), " (cat) %*c %d %d", &parent, &group), 2);
        assert_int_equal(sscanf(strstr(text, "\nPid:"), "\nPid: %d", &pid), 1);
        assert_int_equal(pid, group);
        assert_int_equal(parent, inetd_worker(h));
        harness_stop(h);
}

static void test_stderr(void **state)
{
        struct harness *h = *state;
        char *text;

        inetd_start(h, WORDS("Workers=1"), WORDS("sh", "-c", "echo a word in the log >&2"));
        text = inetd_ask(h, 0);
        assert_string_equal(text, "");
        free(text);
        harness_await_line(h, "a word in the log");
        harness_stop(h);
}

static void test_stderr_to_the_client(void **state)
{
        struct harness *h = *state;
        char *text;

        inetd_start(h, WORDS("Workers=1"),
                WORDS("--stderr=connection", "sh", "-c", "echo a word to the client >&2"));
        text = inetd_ask(h, 0);
        assert_string_equal(text, "a word to the client\n");
        free(text);
        harness_stop(h);
        assert_int_equal(harness_count_lines(h, "a word"), 0);
}

/* Arguments behind the program are the program's, also those that look like options. */
static void test_arguments(void **state)
{
        struct harness *h = *state;
        char *text;

        inetd_start(h, WORDS("Workers=1"),
                WORDS("--capacity=7", "printf", "%s,", "--capacity=9", "", "a b"));
        harness_await_line(h, "is ready for 7 connections");
        text = inetd_ask(h, 0);
        assert_string_equal(text, "--capacity=9,,a b,");
        free(text);
        harness_stop(h);
}

/* --- Many --- */

static void test_hundred_at_once(void **state)
{
        enum { N = 100 };
        struct harness *h = *state;
        struct client clients[N];
        char line[32];

        inetd_start(h, WORDS("Workers=1"), WORDS("--capacity=100", "cat"));
        for (int i = 0; i < N; i++)
                client_open(h, &clients[i], 0);
        for (int i = N; i-- > 0;) {
                (void)snprintf(line, sizeof(line), "%d\n", i);
                client_send(&clients[i], line);
        }
        for (int i = 0; i < N; i++)
                assert_int_equal(atoi(client_await_line(h, &clients[i])), i);
        assert_int_equal(harness_counters(h).open, N);
        for (int i = 0; i < N; i++)
                client_close(&clients[i]);
        assert_int_equal(harness_await_counter(h, done, N).open, 0);
        harness_stop(h);
}

/* Beyond the capacity clients wait, and none too many is started. */
static void test_capacity(void **state)
{
        struct harness *h = *state;
        struct client clients[3];

        inetd_start(h, WORDS("Workers=1"), WORDS("--capacity=2", "sh", "-c", "echo $$; exec cat"));
        (void)inetd_open(h, &clients[0]);
        (void)inetd_open(h, &clients[1]);
        client_open(h, &clients[2], 0);
        assert_int_equal(harness_counters(h).open, 2);
        assert_true(client_waits(h, &clients[2]));
        client_close(&clients[0]);
        (void)client_await_line(h, &clients[2]);
        client_close(&clients[1]);
        client_close(&clients[2]);
        (void)harness_await_counter(h, done, 3);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_cat_answers),
                HARNESS_TEST(test_environment_of_tcp),
                HARNESS_TEST(test_environment_of_tcp6),
                HARNESS_TEST(test_environment_of_mapped_tcp4),
                HARNESS_TEST(test_environment_of_unix),
                HARNESS_TEST(test_environment_of_abstract_unix),
                HARNESS_TEST(test_listen_pid_is_the_program),
                HARNESS_TEST(test_no_descriptor_leaks_in),
                HARNESS_TEST(test_signals_and_group),
                HARNESS_TEST(test_stderr),
                HARNESS_TEST(test_stderr_to_the_client),
                HARNESS_TEST(test_arguments),
                HARNESS_TEST(test_hundred_at_once),
                HARNESS_TEST(test_capacity),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
