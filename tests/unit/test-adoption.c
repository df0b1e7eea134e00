/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which settings a new dispatcher begins with: src/takeover/adoption.c. What a crash leaves in
 * the service manager's store at each step of a reload is put together here; how workers are
 * adopted is tested with real ones, but for what only the journal shows.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leaks.h"
#include "os/store.h"
#include "takeover/adoption.h"
#include "takeover/kept-settings.h"

/* They are told apart by MaxConnections=. */
static void add_settings(struct inheritance *inheritance, const char *name, uint32_t connections)
{
        struct settings s;
        int fd;

        settings_init(&s);
        settings_resolve(&s, 1);
        s.max_connections = connections;
        fd = kept_settings_make(&s);
        assert_true(fd >= 0);
        assert_int_equal(inheritance_add(inheritance, fd, name), 0);
        settings_done(&s);
}

static void add_text(struct inheritance *inheritance, const char *name, const char *text)
{
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
        assert_int_equal(inheritance_add(inheritance, fd, name), 0);
}

static void add_ledger(struct inheritance *inheritance, uint32_t generation)
{
        struct ledger ledger = LEDGER_NULL;

        assert_int_equal(ledger_create(&ledger, 1, 1), 0);
        ledger.header->pool.generation = generation;
        assert_int_equal(inheritance_add(inheritance, TAKE_FD(ledger.fd), "!l1"), 0);
        ledger_done(&ledger);
}

/* Returns MaxConnections= of the settings that were in force, or 0 where there are none. */
static uint32_t load(struct inheritance *inheritance)
{
        struct settings s;
        uint32_t connections;

        settings_init(&s);
        connections = kept_settings_load(&s, inheritance) ? s.max_connections : 0;
        settings_done(&s);
        inheritance_done(inheritance);
        return connections;
}

static void test_none(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        assert_int_equal(load(&inheritance), 0);
        add_ledger(&inheritance, 1);
        assert_int_equal(load(&inheritance), 0);
}

static void test_those_in_force(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_settings(&inheritance, "!s4", 4);
        add_ledger(&inheritance, 4);
        assert_int_equal(load(&inheritance), 4);
}

/* The next ones are stored, and their generation is not in force yet. */
static void test_crash_before_the_commit(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_settings(&inheritance, "!sa", 10);
        add_ledger(&inheritance, 9);
        add_settings(&inheritance, "!s9", 9);
        assert_int_equal(load(&inheritance), 9);
}

/* It is in force, and the last ones are still stored. */
static void test_crash_after_the_commit(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_ledger(&inheritance, 10);
        add_settings(&inheritance, "!s9", 9);
        add_settings(&inheritance, "!sa", 10);
        assert_int_equal(load(&inheritance), 10);
}

/* A ledger that begins anew has not stored its own yet. */
static void test_crash_with_another_ledger(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_ledger(&inheritance, 1);
        add_settings(&inheritance, "!sa", 10);
        add_settings(&inheritance, "!s9", 9);
        assert_int_equal(load(&inheritance), 10);
}

static void test_latest_with_a_damaged_ledger(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_text(&inheritance, "!l1", "damage");
        add_settings(&inheritance, "!s9", 9);
        add_settings(&inheritance, "!sa", 10);
        assert_int_equal(load(&inheritance), 10);
}

/* They are not left for the next time, either. */
static void test_unreadable_ones(void **state)
{
        struct inheritance inheritance = {};
        struct settings s;

        (void)state;
        add_text(&inheritance, "!s1", "[Pool]\nWorkres=3\n");
        add_ledger(&inheritance, 1);
        settings_init(&s);
        assert_false(kept_settings_load(&s, &inheritance));
        settings_done(&s);
        assert_int_equal(inheritance_take(&inheritance, "!s1"), -1);
        inheritance_done(&inheritance);
}

/* --- A worker whose set is not whole --- */

static void add_ledger_of(struct inheritance *inheritance, const struct worker_row *row)
{
        struct ledger ledger = LEDGER_NULL;

        assert_int_equal(ledger_create(&ledger, 64, 65536), 0);
        ledger.header->pool.generation = ledger.header->pool.last_generation = row->generation;
        ledger.header->pool.last_number = row->number;
        ledger.rows[0] = *row;
        assert_int_equal(inheritance_add(inheritance, TAKE_FD(ledger.fd), "!l1"), 0);
        ledger_done(&ledger);
}

/* What is said of it when it is buried names it: PID 0 was in the journal. */
static void test_incomplete_worker_is_known(void **state)
{
        const struct worker_row row = {
                .number = 7,
                .pid = 4711,
                .generation = 1,
                .capacity = 1,
                .state = WORKER_READY,
        };
        struct dispatcher d;
        struct inheritance inheritance = {};
        struct settings s;

        (void)state;
        settings_init(&s);
        settings_resolve(&s, 1);
        dispatcher_init(&d, &s, NULL, NULL, 0);
        add_ledger_of(&inheritance, &row);
        assert_int_equal(adoption_open_pool(&d, &inheritance), 0);
        assert_int_equal(d.pool.workers[0].record->number, 7);
        d.workers = calloc(d.pool.n_rows, sizeof(*d.workers));
        assert_non_null(d.workers);
        for (uint32_t i = 0; i < d.pool.n_rows; i++)
                worker_init(&d.workers[i], &d.context, i);

        assert_int_equal(adoption_restore(&d, &inheritance), 0);
        assert_int_equal(d.pool.workers[0].record->state, WORKER_NONE);
        assert_int_equal(d.workers[0].number, 7);
        assert_int_equal(d.workers[0].pid, 4711);

        free(d.workers);
        pool_deinit(&d.pool);
        ledger_done(&d.ledger);
        inheritance_done(&inheritance);
        settings_done(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_none),
                WITHOUT_LEAKS(test_those_in_force),
                WITHOUT_LEAKS(test_crash_before_the_commit),
                WITHOUT_LEAKS(test_crash_after_the_commit),
                WITHOUT_LEAKS(test_crash_with_another_ledger),
                WITHOUT_LEAKS(test_latest_with_a_damaged_ledger),
                WITHOUT_LEAKS(test_unreadable_ones),
                WITHOUT_LEAKS(test_incomplete_worker_is_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
