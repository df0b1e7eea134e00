/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which settings a new dispatcher begins with: src/dispatcher/adoption.c. What a crash leaves in the
 * service manager's store at each step of a reload is put together here; how workers are adopted is
 * tested with real ones.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatcher/adoption.h"
#include "dispatcher/store.h"
#include "leaks.h"

/* They are told apart by MaxConnections=. */
static void add_settings(struct inheritance *inheritance, const char *name, uint32_t connections)
{
        struct settings s;
        int fd;

        settings_init(&s);
        settings_resolve(&s, 1);
        s.max_connections = connections;
        fd = adoption_make_settings(&s);
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
        assert_int_equal(inheritance_add(inheritance, TAKE_FD(ledger.fd), STORE_LEDGER), 0);
        ledger_done(&ledger);
}

/* Returns MaxConnections= of the settings that were in force, or 0 where there are none. */
static uint32_t load(struct inheritance *inheritance)
{
        struct settings s;
        uint32_t connections;

        settings_init(&s);
        connections = adoption_load_settings(&s, inheritance) ? s.max_connections : 0;
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
        add_settings(&inheritance, "acceptd-settings-4", 4);
        add_ledger(&inheritance, 4);
        assert_int_equal(load(&inheritance), 4);
}

/* The next ones are stored, and their generation is not in force yet. */
static void test_crash_before_the_commit(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_settings(&inheritance, "acceptd-settings-10", 10);
        add_ledger(&inheritance, 9);
        add_settings(&inheritance, "acceptd-settings-9", 9);
        assert_int_equal(load(&inheritance), 9);
}

/* It is in force, and the last ones are still stored. */
static void test_crash_after_the_commit(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_ledger(&inheritance, 10);
        add_settings(&inheritance, "acceptd-settings-9", 9);
        add_settings(&inheritance, "acceptd-settings-10", 10);
        assert_int_equal(load(&inheritance), 10);
}

/* A ledger that begins anew has not stored its own yet. */
static void test_crash_with_another_ledger(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_ledger(&inheritance, 1);
        add_settings(&inheritance, "acceptd-settings-10", 10);
        add_settings(&inheritance, "acceptd-settings-9", 9);
        assert_int_equal(load(&inheritance), 10);
}

static void test_latest_with_a_damaged_ledger(void **state)
{
        struct inheritance inheritance = {};

        (void)state;
        add_text(&inheritance, STORE_LEDGER, "damage");
        add_settings(&inheritance, "acceptd-settings-9", 9);
        add_settings(&inheritance, "acceptd-settings-10", 10);
        assert_int_equal(load(&inheritance), 10);
}

/* They are not left for the next time, either. */
static void test_unreadable_ones(void **state)
{
        struct inheritance inheritance = {};
        struct settings s;

        (void)state;
        add_text(&inheritance, "acceptd-settings-1", "[Pool]\nWorkres=3\n");
        add_ledger(&inheritance, 1);
        settings_init(&s);
        assert_false(adoption_load_settings(&s, &inheritance));
        settings_done(&s);
        assert_int_equal(inheritance_take(&inheritance, "acceptd-settings-1"), -1);
        inheritance_done(&inheritance);
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
