/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A dispatcher is killed, and the next one takes over what the service manager kept of it: whole, in
 * part, damaged. Where it dies between two steps is test-stop-points.c's matter.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"
#include "procfs.h"

#define STORE     64
#define CLIENTS   8
#define PER_STORE 3 /* descriptors of a worker */
#define OWN_STORE 2 /* ledger and settings */

#define start(h, ...)                                                                              \
        harness_start(h, .options = WORDS(__VA_ARGS__), .stub = WORDS("--serve=obey",              \
                "--capacity=4"), .store = STORE)

static void begin(struct harness *h)
{
        (void)listener_add(h, LISTENER_UNIX, "main");
        start(h, "Workers=2");
        harness_await_ready(h);
        harness_await_workers(h, 2);
}

/* The next dispatcher, with the same settings. */
static void next(struct harness *h)
{
        start(h, "Workers=2");
        harness_await_ready(h);
}

static void exchange(struct harness *h, struct client *client)
{
        client_send(client, "answer alive\n");
        assert_string_equal(client_await_line(h, client), "alive");
}

static void finish(struct harness *h, struct client *client)
{
        client_send(client, "done\n");
        assert_int_equal(client_await_end(h, client), CLIENT_END_CLEAN);
}

static bool is_alive(pid_t pid)
{
        struct procfs_stat stat;

        return procfs_stat(pid, &stat) == 0 && stat.state != 'Z';
}

/* Opens one client for each of two workers, in the order of the workers' numbers. */
static void open_at_each(struct harness *h, struct client clients[2])
{
        struct client a, b;

        client_open_served(h, &a, 0);
        client_open_served(h, &b, 0);
        assert_int_not_equal(a.worker, b.worker);
        clients[0] = a.worker < b.worker ? a : b;
        clients[1] = a.worker < b.worker ? b : a;
}

/* --- What goes on --- */

/* Clients talk to their workers while there is no dispatcher, and after it; those that come in
 * between are served by the next one. */
static void test_everything_goes_on(void **state)
{
        struct harness *h = *state;
        struct client clients[CLIENTS];
        size_t n = 2;

        begin(h);
        open_at_each(h, clients);
        while (n < CLIENTS) {
                struct counters c;

                harness_crash(h);
                for (size_t i = 0; i < n; i++)
                        exchange(h, &clients[i]);
                client_open(h, &clients[n], 0);
                next(h);
                harness_await_line(h, "Took over 2 workers with", "open connections");
                client_await_greeting(h, &clients[n]);
                assert_true(clients[n].pid == clients[0].pid || clients[n].pid == clients[1].pid);
                n++;
                for (size_t i = 0; i < n; i++)
                        exchange(h, &clients[i]);
                c = harness_await_counter(h, open, n);
                assert_int_equal(c.accepted, n);
                assert_int_equal(h->store.n, OWN_STORE + 2 * PER_STORE);
        }

        for (size_t i = 0; i < n; i++)
                finish(h, &clients[i]);
        assert_int_equal(harness_await_counter(h, done, n).lost, 0);
        harness_stop(h);
}

/* What a stopped worker has not received waits for it, or goes to the other one. */
static void test_queue_goes_on(void **state)
{
        struct harness *h = *state;
        struct client held[2], queued[2];

        begin(h);
        open_at_each(h, held);
        assert_int_equal(kill(held[0].pid, SIGSTOP), 0);
        client_open(h, &queued[0], 0);
        client_open(h, &queued[1], 0);
        (void)harness_await_counter(h, open, 4);
        harness_crash(h);
        next(h);
        for (size_t i = 0; i < 2; i++) {
                client_await_greeting(h, &queued[i]);
                assert_int_equal(queued[i].pid, held[1].pid);
        }
        assert_int_equal(kill(held[0].pid, SIGCONT), 0);
        exchange(h, &held[0]);
        assert_int_equal(harness_await_counter(h, taken_back, 1).open, 4);
        for (size_t i = 0; i < 2; i++) {
                finish(h, &queued[i]);
                finish(h, &held[i]);
        }
        assert_int_equal(harness_await_counter(h, done, 4).lost, 0);
        harness_stop(h);
}

/* It is no child of the dispatcher that sees it die. */
static void test_adopted_worker_dies(void **state)
{
        struct harness *h = *state;
        struct client held[2], client;

        begin(h);
        open_at_each(h, held);
        harness_crash(h);
        next(h);
        exchange(h, &held[0]);
        (void)kill(held[0].pid, SIGKILL);
        (void)client_await_end(h, &held[0]);
        harness_await_line(h, "orker 1 ", "ended in an unknown way", "with 1 connection");
        assert_int_equal(harness_await_counter(h, lost, 1).open, 1);
        harness_await_workers(h, 3);
        client_open_served(h, &client, 0);
        assert_int_equal(client.worker, 3);
        finish(h, &client);
        finish(h, &held[1]);
        assert_int_equal(harness_await_counter(h, done, 2).lost, 1);
        harness_stop(h);
}

/* Several crashes before anybody is asked what it has. */
static void test_crash_after_crash(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        begin(h);
        open_at_each(h, held);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(kill(held[i].pid, SIGSTOP), 0);
        for (int i = 0; i < 10; i++) {
                harness_crash(h);
                next(h);
        }
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(kill(held[i].pid, SIGCONT), 0);
        for (size_t i = 0; i < 2; i++) {
                exchange(h, &held[i]);
                finish(h, &held[i]);
        }
        assert_int_equal(harness_await_counter(h, done, 2).lost, 0);
        assert_int_equal(harness_count_lines(h, "protocol"), 0);
        harness_stop(h);
}

/* --- What is in the store --- */

/* Returns where the message about this name stands, and fails when there is none. */
static size_t find_message(const struct harness *h, const char *kind, const char *name)
{
        char text[128];
        const char *at;

        (void)snprintf(text, sizeof(text), "%sFDNAME=%s\n", kind, name);
        at = h->notify.text ? strstr(h->notify.text, text) : NULL;
        if (!at)
                fail_msg("no message %s", text);
        return (size_t)(at - h->notify.text);
}

static void test_order_of_messages(void **state)
{
        static const char store[] = "FDSTORE=1\nFDPOLL=0\n", removal[] = "FDSTOREREMOVE=1\n";
        struct harness *h = *state;
        struct client held[2];
        size_t queue, channel;

        begin(h);
        open_at_each(h, held);
        /* all of a worker is there when its first client is */
        (void)harness_wait(h, -1, 0);
        channel = find_message(h, store, "acceptd-channel-1");
        assert_true(find_message(h, store, "acceptd-ledger") <
                find_message(h, store, "acceptd-pidfd-1"));
        assert_true(find_message(h, store, "acceptd-pidfd-1") < channel);
        assert_true(channel < find_message(h, store, "acceptd-queue-1"));
        assert_int_equal(h->store.n, OWN_STORE + 2 * PER_STORE);

        (void)kill(held[0].pid, SIGKILL);
        (void)client_await_end(h, &held[0]);
        (void)harness_await_counter(h, lost, 1);
        queue = find_message(h, removal, "acceptd-queue-1");
        channel = find_message(h, removal, "acceptd-channel-1");
        assert_true(queue < channel);
        assert_true(channel < find_message(h, removal, "acceptd-pidfd-1"));
        client_close(&held[1]);
        harness_stop(h);
}

/* The worker that left it died with a queue while nobody else was there: it waits in the store, over
 * a crash, until the last of it is served. */
static void test_queue_of_a_dead_worker_is_stored(void **state)
{
        struct harness *h = *state;
        struct client clients[3];
        struct stub_id dead;

        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_start(h, .options = WORDS("Workers=1", "RestartSec=1h", "RestartMaxDelaySec=1h"),
                .stub = WORDS(h->marks, "--never-receive", "--capacity=4"), .store = STORE);
        dead = harness_await_stub(h, "misbehaves");
        for (size_t i = 0; i < 3; i++)
                client_open(h, &clients[i], 0);
        (void)harness_await_counter(h, open, 3);
        (void)kill(dead.pid, SIGKILL);
        harness_await_line(h, "orker 1 ", "SIGKILL");
        assert_int_equal(harness_counters(h).open, 3);
        (void)harness_wait(h, -1, 0);
        assert_true(descriptor_store_get(&h->store, "acceptd-queue-1") >= 0);

        harness_crash(h);
        assert_int_equal(descriptor_store_count(&h->store, "acceptd-queue"), 1);
        harness_start(h, .options = WORDS("Workers=1"), .store = STORE);
        for (size_t i = 0; i < 3; i++) {
                client_await_greeting(h, &clients[i]);
                assert_int_equal(clients[i].worker, 2);
                assert_int_equal(client_await_end(h, &clients[i]), CLIENT_END_CLEAN);
        }
        assert_int_equal(harness_await_counter(h, done, 3).lost, 0);
        assert_int_equal(descriptor_store_get(&h->store, "acceptd-queue-1"), -1);
        assert_int_equal(h->store.n, OWN_STORE + PER_STORE);
        harness_stop(h);
}

/* What did not fit is not there after a crash: its worker is ended, and the rest goes on. */
static void test_store_is_full(void **state)
{
        struct harness *h = *state;
        struct client held[2], client;

        h->store.max = OWN_STORE + PER_STORE + 1;
        begin(h);
        open_at_each(h, held);
        for (unsigned i = 0; i < 3; i++) {
                struct counters c;

                assert_int_equal(h->store.n, h->store.max);
                harness_crash(h);
                next(h);
                assert_int_equal(client_await_end(h, &held[1]), CLIENT_END_CLEAN);
                harness_await_death(h, held[1].pid);
                exchange(h, &held[0]);
                c = harness_await_counter(h, lost, i + 1);
                assert_int_equal(c.open, 1);
                harness_await_workers(h, 3 + i);
                client_open_served(h, &client, 0);
                if (client.worker == 1) { /* the other had not answered yet */
                        client_open_served(h, &held[1], 0);
                        finish(h, &client);
                } else {
                        held[1] = client;
                }
                assert_int_equal(held[1].worker, 3 + i);
                (void)harness_await_counter(h, open, 2);
        }
        finish(h, &held[0]);
        finish(h, &held[1]);
        harness_stop(h);
}

/* --- Sets that are not whole --- */

/* Worker 1 is stopped, with one connection that it had received and one in its queue. */
static void lose(struct harness *h, const char *name, struct client held[2], struct client *queued)
{
        struct pollfd fds[2];
        struct client both[2]; /* one comes to each worker */
        size_t served;

        begin(h);
        open_at_each(h, held);
        assert_int_equal(kill(held[0].pid, SIGSTOP), 0);
        for (size_t i = 0; i < 2; i++) {
                client_open(h, &both[i], 0);
                fds[i] = (struct pollfd){ .fd = both[i].fd, .events = POLLIN };
        }
        (void)harness_await_counter(h, open, 4);
        assert_true(poll(fds, 2, (int)(HARNESS_DEADLINE / USEC_PER_MSEC)) > 0);
        served = fds[0].revents ? 0 : 1;
        client_await_greeting(h, &both[served]);
        assert_int_equal(both[served].pid, held[1].pid);
        finish(h, &both[served]);
        *queued = both[1 - served];
        (void)harness_await_counter(h, open, 3);
        harness_crash(h);
        descriptor_store_drop(&h->store, name);
        next(h);
}

static void end_without(struct harness *h, struct client held[2], uint64_t lost)
{
        struct client client;

        harness_await_death(h, held[0].pid);
        (void)client_await_end(h, &held[0]);
        exchange(h, &held[1]);
        client_open_served(h, &client, 0);
        finish(h, &client);
        finish(h, &held[1]);
        assert_int_equal(harness_await_counter(h, open, 0).lost, lost);
        harness_await_workers(h, 3);
        (void)harness_counters(h);
        assert_int_equal(h->store.n, OWN_STORE + 2 * PER_STORE);
        harness_stop(h);
}

static void test_without_channel(void **state)
{
        struct harness *h = *state;
        struct client held[2], queued;

        lose(h, "acceptd-channel-1", held, &queued);
        client_await_greeting(h, &queued); /* taken back */
        finish(h, &queued);
        end_without(h, held, 1);
}

static void test_without_queue(void **state)
{
        struct harness *h = *state;
        struct client held[2], queued;

        lose(h, "acceptd-queue-1", held, &queued);
        (void)client_await_end(h, &queued);
        end_without(h, held, 2);
}

/* Its number alone could be somebody else's by now: it is not killed, but sees the end of its
 * channel when its queue was taken back. */
static void test_without_pidfd(void **state)
{
        struct harness *h = *state;
        struct client held[2], queued;

        lose(h, "acceptd-pidfd-1", held, &queued);
        client_await_greeting(h, &queued);
        finish(h, &queued);
        (void)harness_await_counter(h, lost, 1);
        assert_int_equal(kill(held[0].pid, SIGCONT), 0);
        exchange(h, &held[0]);
        client_send(&held[0], "done\n");
        end_without(h, held, 1);
}

/* --- Ledgers that cannot be used --- */

#define COPIED (1U << 20) /* header and rows, and more slots than are in use here */

/* How a ledger begins: src/dispatcher/ledger.h. */
struct ledger_header {
        char magic[8];
        uint32_t version;
        uint32_t n_rows, n_slots, n_names;
        uint64_t accepted; /* the first counter */
};

/* A copy of the ledger in the store, for the test to change, and not sealed yet. */
static struct ledger_header *copy_ledger(const struct harness *h, int *ret_fd)
{
        int from = descriptor_store_get(&h->store, "acceptd-ledger");
        off_t size = lseek(from, 0, SEEK_END);
        int fd = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct ledger_header *header;

        assert_true(from >= 0 && size > COPIED && fd >= 0);
        assert_int_equal(ftruncate(fd, size), 0);
        header = mmap(NULL, COPIED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(header, MAP_FAILED);
        assert_int_equal(pread(from, header, COPIED, 0), COPIED);
        *ret_fd = fd;
        return header;
}

static void seal(int fd)
{
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
}

static int damage_nothing_sealed(const struct harness *h)
{
        int fd;

        (void)munmap(copy_ledger(h, &fd), COPIED);
        return fd;
}

static int damage_foreign(const struct harness *h _unused_)
{
        return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int damage_truncated(const struct harness *h)
{
        int fd;

        (void)munmap(copy_ledger(h, &fd), COPIED);
        assert_int_equal(ftruncate(fd, COPIED), 0);
        seal(fd);
        return fd;
}

static int damage_header_truncated(const struct harness *h)
{
        int fd;

        (void)munmap(copy_ledger(h, &fd), COPIED);
        assert_int_equal(ftruncate(fd, 100), 0);
        seal(fd);
        return fd;
}

static int damage_version(const struct harness *h)
{
        int fd;
        struct ledger_header *header = copy_ledger(h, &fd);

        header->version++;
        (void)munmap(header, COPIED);
        seal(fd);
        return fd;
}

static int damage_random(const struct harness *h)
{
        int fd, random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
        struct ledger_header *header = copy_ledger(h, &fd);

        assert_int_equal(read(random, header, COPIED), COPIED);
        (void)fd_close(random);
        (void)munmap(header, COPIED);
        seal(fd);
        return fd;
}

static int damage_counters(const struct harness *h)
{
        int fd;
        struct ledger_header *header = copy_ledger(h, &fd);

        header->accepted += 5;
        (void)munmap(header, COPIED);
        seal(fd);
        return fd;
}

/* Set aside with a clear word; its workers finish what they have, new ones serve. */
static void test_ledger(void **state, int (*damage)(const struct harness *h), const char *why)
{
        struct harness *h = *state;
        struct client held[2], client;
        pid_t pids[2];

        begin(h);
        open_at_each(h, held);
        harness_crash(h);
        descriptor_store_replace(&h->store, "acceptd-ledger", damage(h));
        next(h);
        harness_await_line(h, "<3>", "ledger", "cannot be used", why, "drained");
        for (size_t i = 0; i < 2; i++) {
                pids[i] = held[i].pid;
                (void)harness_await_stub(h, "drains");
                exchange(h, &held[i]);
        }
        client_open_served(h, &client, 0);
        assert_true(client.pid != pids[0] && client.pid != pids[1]);
        assert_int_equal(harness_counters(h).accepted, 1);
        finish(h, &client);
        for (size_t i = 0; i < 2; i++) {
                assert_true(is_alive(pids[i]));
                finish(h, &held[i]);
                harness_await_death(h, pids[i]);
        }
        assert_int_equal(harness_await_counter(h, done, 1).accepted, 1);
        harness_await_workers(h, 4);
        (void)harness_counters(h);
        assert_int_equal(h->store.n, OWN_STORE + 2 * PER_STORE);
        harness_stop(h);
}

#define TEST_LEDGER(name, why)                                                                     \
        static void test_ledger_##name(void **state)                                               \
        {                                                                                          \
                test_ledger(state, damage_##name, why);                                            \
        }

TEST_LEDGER(nothing_sealed, "it is not sealed")
TEST_LEDGER(foreign, "it is not sealed")
TEST_LEDGER(truncated, "its size is wrong")
TEST_LEDGER(header_truncated, "it is too short")
TEST_LEDGER(version, "it has another version")
TEST_LEDGER(random, "it does not begin like one")
TEST_LEDGER(counters, "its records contradict each other")

/* The workers of a lost ledger finish, too. */
static void test_without_ledger(void **state)
{
        struct harness *h = *state;
        struct client held[2];

        begin(h);
        open_at_each(h, held);
        harness_crash(h);
        descriptor_store_drop(&h->store, "acceptd-ledger");
        next(h);
        for (size_t i = 0; i < 2; i++)
                (void)harness_await_stub(h, "drains");
        for (size_t i = 0; i < 2; i++) {
                pid_t pid = held[i].pid;

                exchange(h, &held[i]);
                finish(h, &held[i]);
                harness_await_death(h, pid);
        }
        assert_int_equal(harness_counters(h).accepted, 0);
        harness_stop(h);
}

/* It was told to stop, and was killed before the last connection ended: the next start is a fresh
 * one, and nobody is cut off. */
static void test_crash_while_stopping(void **state)
{
        struct harness *h = *state;
        struct client held[2], client;

        begin(h);
        open_at_each(h, held);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        for (size_t i = 0; i < 2; i++)
                (void)harness_await_stub(h, "drains");
        harness_crash(h);
        next(h);
        client_open_served(h, &client, 0);
        assert_int_equal(harness_counters(h).accepted, 1);
        for (size_t i = 0; i < 2; i++) {
                pid_t pid = held[i].pid;

                finish(h, &held[i]);
                harness_await_death(h, pid);
        }
        assert_int_equal(harness_count_lines(h, "cannot be used"), 0);
        client_close(&client);
        harness_stop(h);
}

/* --- Settings --- */

static void write_settings(const struct ctl *ctl, const char *pool, const char *worker)
{
        char text[2048];

        (void)snprintf(text, sizeof(text), "[Pool]\nWorkers=1\n%s\n[Worker]\nCommand=%s %s\n", pool,
                harness_path("stub-worker"), worker);
        ctl_write_settings(ctl, text);
}

static void start_on_file(struct harness *h, const struct ctl *ctl)
{
        ctl_start(h, ctl, .command = (const char *const[]){ NULL }, .store = STORE);
        harness_await_ready(h);
}

static void begin_on_file(struct harness *h, struct ctl *ctl)
{
        ctl_init(h, ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        write_settings(ctl, "MaxConnections=100", "--serve=obey --capacity=8");
        start_on_file(h, ctl);
}

static long long get_number(struct harness *h, const struct ctl *ctl, const char *name)
{
        json_auto_t *status = ctl_status(h, ctl);

        return ctl_number(status, name);
}

/* An edit that nobody reloaded changes nothing, however often it crashes; one that was reloaded is
 * in force. */
static void test_settings_in_force(void **state)
{
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;

        begin_on_file(h, &ctl);
        client_open_served(h, &client, 0);
        write_settings(&ctl, "MaxConnections=50", "--serve=obey --capacity=8");
        for (int i = 0; i < 3; i++) {
                harness_crash(h);
                start_on_file(h, &ctl);
                assert_int_equal(get_number(h, &ctl, "maxConnections"), 100);
                assert_int_equal(descriptor_store_count(&h->store, "acceptd-settings"), 1);
        }
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        harness_await_ready(h); /* the gate's */
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
        ctl_write_settings(&ctl, "what no version ever read\n");
        for (int i = 0; i < 3; i++) {
                harness_crash(h);
                start_on_file(h, &ctl);
                assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
                assert_int_equal(get_number(h, &ctl, "generation"), 2);
                exchange(h, &client);
        }
        finish(h, &client);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

static void test_damaged_settings(void **state)
{
        static const char text[] = "[Pool]\nWorkers=some\n";
        struct harness *h = *state;
        struct client client;
        struct ctl ctl;
        int fd;

        begin_on_file(h, &ctl);
        client_open_served(h, &client, 0);
        write_settings(&ctl, "MaxConnections=50", "--serve=obey --capacity=8");
        harness_crash(h);
        fd = memfd_create("damaged", MFD_CLOEXEC);
        assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
        descriptor_store_replace(&h->store, "acceptd-settings", fd);
        start_on_file(h, &ctl);
        harness_await_line(h, "<3>", "settings that were in force cannot be read", "Workers=");
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
        exchange(h, &client);

        /* and those are kept now */
        ctl_write_settings(&ctl, "");
        harness_crash(h);
        start_on_file(h, &ctl);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
        finish(h, &client);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

/* The new generation has not passed the gate: everything is as it was before the reload. */
static void test_crash_during_a_trial(void **state)
{
        struct harness *h = *state;
        static const char call[] = "{\"method\":\"io.acceptd.Pool.Reload\"}";
        struct stub_id trial;
        struct client client;
        struct ctl ctl;
        int fd;

        begin_on_file(h, &ctl);
        client_open_served(h, &client, 0);
        (void)harness_await_stub(h, "starts");
        write_settings(&ctl, "MaxConnections=50", "--never-ready");
        fd = ctl_connect(&ctl);
        ctl_send(fd, call, sizeof(call));
        trial = harness_await_stub(h, "starts");
        assert_int_equal(trial.worker, 2);
        harness_crash(h);
        assert_null(ctl_receive(h, fd));
        (void)fd_close(fd);

        start_on_file(h, &ctl);
        harness_await_death(h, trial.pid);
        exchange(h, &client);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 100);
        assert_int_equal(get_number(h, &ctl, "generation"), 1);
        (void)harness_counters(h);
        assert_int_equal(h->store.n, OWN_STORE + PER_STORE);

        write_settings(&ctl, "MaxConnections=50", "--serve=obey");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
        finish(h, &client);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_everything_goes_on),
                HARNESS_TEST(test_queue_goes_on),
                HARNESS_TEST(test_adopted_worker_dies),
                HARNESS_TEST(test_crash_after_crash),
                HARNESS_TEST(test_order_of_messages),
                HARNESS_TEST(test_queue_of_a_dead_worker_is_stored),
                HARNESS_TEST(test_store_is_full),
                HARNESS_TEST(test_without_channel),
                HARNESS_TEST(test_without_queue),
                HARNESS_TEST(test_without_pidfd),
                HARNESS_TEST(test_ledger_nothing_sealed),
                HARNESS_TEST(test_ledger_foreign),
                HARNESS_TEST(test_ledger_truncated),
                HARNESS_TEST(test_ledger_header_truncated),
                HARNESS_TEST(test_ledger_version),
                HARNESS_TEST(test_ledger_random),
                HARNESS_TEST(test_ledger_counters),
                HARNESS_TEST(test_without_ledger),
                HARNESS_TEST(test_crash_while_stopping),
                HARNESS_TEST(test_settings_in_force),
                HARNESS_TEST(test_damaged_settings),
                HARNESS_TEST(test_crash_during_a_trial),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
