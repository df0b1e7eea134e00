/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a dispatcher that was killed leaves cannot be used, or is not what the settings file says:
 * damaged ledgers, the settings in force, a reload that has not come to its end.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adoption.h"
#include "base/fd.h"
#include "ctl.h"
#include "procfs.h"

static bool is_alive(pid_t pid)
{
        struct procfs_stat stat;

        return procfs_stat(pid, &stat) == 0 && stat.state != 'Z';
}

/* --- Ledgers that cannot be used --- */

#define COPIED (1U << 20) /* header and rows, and more slots than are in use here */

/* How a ledger begins: src/dispatcher/ledger.h. */
struct ledger_header {
        char magic[8];
        uint32_t version;
        uint32_t header_size, row_size, slot_size;
        uint32_t n_rows, n_slots, n_names, unused;
        char names[64][256];
        uint64_t accepted; /* the first counter */
};

/* A copy of the ledger in the store, for the test to change, and not sealed yet. */
static struct ledger_header *copy_ledger(const struct harness *h, int *ret_fd)
{
        int from = descriptor_store_get(&h->store, "!l1");
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
        assert_int_equal(ftruncate(fd, COPIED), 0); /* it was larger */
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

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        harness_crash(h);
        descriptor_store_replace(&h->store, "!l1", damage(h));
        adoption_next(h);
        harness_await_line(h, "<3>", "ledger", "cannot be used", why, "drained");
        for (size_t i = 0; i < 2; i++) {
                pids[i] = held[i].pid;
                (void)harness_await_stub(h, "drains");
                client_exchange(h, &held[i]);
        }
        client_open_served(h, &client, 0);
        assert_true(client.pid != pids[0] && client.pid != pids[1]);
        assert_int_equal(harness_counters(h).accepted, 1);
        client_finish(h, &client);
        for (size_t i = 0; i < 2; i++) {
                assert_true(is_alive(pids[i]));
                client_finish(h, &held[i]);
                harness_await_death(h, pids[i]);
        }
        assert_int_equal(harness_await_counter(h, done, 1).accepted, 1);
        harness_await_workers(h, 4);
        (void)harness_counters(h);
        assert_int_equal(h->store.n, ADOPTION_OWN_STORE + 2 * ADOPTION_PER_STORE);
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

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        harness_crash(h);
        descriptor_store_drop(&h->store, "!l1");
        adoption_next(h);
        for (size_t i = 0; i < 2; i++)
                (void)harness_await_stub(h, "drains");
        for (size_t i = 0; i < 2; i++) {
                pid_t pid = held[i].pid;

                client_exchange(h, &held[i]);
                client_finish(h, &held[i]);
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

        adoption_begin(h);
        client_open_at_each(h, held, 0);
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        for (size_t i = 0; i < 2; i++)
                (void)harness_await_stub(h, "drains");
        harness_crash(h);
        adoption_next(h);
        client_open_served(h, &client, 0);
        assert_int_equal(harness_counters(h).accepted, 1);
        for (size_t i = 0; i < 2; i++) {
                pid_t pid = held[i].pid;

                client_finish(h, &held[i]);
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
        harness_start(h, .arguments = WORDS("-c", ctl->settings),
                .command = (const char *const[]){ NULL }, .store = ADOPTION_STORE);
        harness_await_ready(h);
}

static void begin_on_file(struct harness *h, struct ctl *ctl)
{
        ctl_init(h, ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        harness_pass(h, ctl_listen(ctl), "acceptd-control");
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
                assert_int_equal(descriptor_store_count(&h->store, "!s1"), 1);
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
                client_exchange(h, &client);
        }
        client_finish(h, &client);
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
        descriptor_store_replace(&h->store, "!s1", fd);
        start_on_file(h, &ctl);
        harness_await_line(h, "<3>", "settings that were in force cannot be read", "Workers=");
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
        client_exchange(h, &client);

        /* and those are kept now */
        ctl_write_settings(&ctl, "");
        harness_crash(h);
        start_on_file(h, &ctl);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
        client_finish(h, &client);
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
        client_exchange(h, &client);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 100);
        assert_int_equal(get_number(h, &ctl, "generation"), 1);
        (void)harness_counters(h);
        assert_int_equal(h->store.n, ADOPTION_OWN_STORE + ADOPTION_PER_STORE);

        write_settings(&ctl, "MaxConnections=50", "--serve=obey");
        assert_int_equal(ctl_run(h, &ctl, "reload", "test"), 0);
        assert_int_equal(get_number(h, &ctl, "maxConnections"), 50);
        client_finish(h, &client);
        (void)harness_await_counter(h, done, 1);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
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
