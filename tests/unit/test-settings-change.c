/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a reload changes under a running pool, and what it leaves for the next start.
 */

#include "leaks.h"
#include "policy/pool.h"
#include "settings/settings-change.h"

#define SLOTS 100

/* Settings as after a start; `assignments` are one word each, NULL-terminated. */
static void make(struct settings *s, const char *const *assignments)
{
        char *message = NULL;

        settings_init(s);
        for (; *assignments; assignments++)
                if (settings_assign(s, *assignments, "the test", &message) < 0)
                        fail_msg("%s", message);
        settings_resolve(s, 4);
        assert_int_equal(settings_check(s, &message), 0);
}

#define MAKE(s, ...) make(s, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* REVIEW 2.8: each \x01 is one byte in a file and four when it is printed, so what was in force
 * could not be read again after a crash. */
static void test_settings_that_grow_beyond_what_is_read(void **state _unused_)
{
        static const char begin[] = "Command=/bin/a ";
        _cleanup_(settings_done) struct settings s;
        static char text[sizeof(begin) + 300000];
        char *message = NULL;

        memset(text, 1, sizeof(text) - 1);
        memcpy(text, begin, sizeof(begin) - 1);
        settings_init(&s);
        assert_int_equal(settings_assign(&s, text, "the test", &message), 0);
        settings_resolve(&s, 4);
        assert_int_equal(settings_check(&s, &message), -E2BIG);
        assert_non_null(strstr(message, "1 MiB"));
        free(message);
}

static void test_nothing_changed(void **state _unused_)
{
        _cleanup_(settings_done) struct settings running, fresh;
        bool differ[SETTING_COUNT];

        /* the same in other words */
        MAKE(&running, "Workers=4", "Command=/bin/a 'b c'", "TimeoutStopSec=5s",
                "MaxConnections=90");
        MAKE(&fresh, "Workers=auto", "Command=/bin/a b\\sc", "TimeoutStopSec=5000ms",
                "MaxConnections=90");
        assert_int_equal(settings_compare(&running, &fresh, differ), 0);
        for (size_t i = 0; i < SETTING_COUNT; i++)
                assert_false(differ[i]);
}

static void test_what_changed(void **state _unused_)
{
        _cleanup_(settings_done) struct settings running, fresh;
        bool differ[SETTING_COUNT];

        MAKE(&running, "MaxConnections=90", "Workers=2", "Command=/bin/a", "RestartSec=4");
        MAKE(&fresh, "MaxConnections=50", "Workers=2", "Command=/bin/b", "RestartSec=4");
        assert_int_equal(settings_compare(&running, &fresh, differ), 0);
        for (size_t i = 0; i < SETTING_COUNT; i++)
                assert_int_equal(differ[i], i == SETTING_MAX_CONNECTIONS || i == SETTING_COMMAND);
        assert_string_equal(settings_key(SETTING_COMMAND), "Command");
}

/* --- The pool --- */

struct world {
        struct settings settings;
        struct pool_state state;
        struct worker_row rows[8];
        struct slot slots[SLOTS];
        struct pool pool;
};

static void connect_to(struct world *w, uint32_t worker)
{
        struct slot *slot;

        assert_true(pool_may_accept(&w->pool));
        slot = pool_accepted(&w->pool, 0, 1);
        assert_int_equal(pool_choose(&w->pool), worker);
        pool_assign(&w->pool, slot, worker);
        pool_sent(&w->pool, slot);
}

static void open_world(struct world *w)
{
        const struct pool_memory memory = {
                .state = &w->state,
                .rows = w->rows,
                .n_rows = ELEMENTSOF(w->rows),
                .slots = w->slots,
                .n_slots = SLOTS,
        };

        *w = (struct world){};
        MAKE(&w->settings, "Workers=2", "MaxConnections=3");
        assert_int_equal(pool_init(&w->pool, &w->settings, &memory), 0);
        for (uint32_t i = 0; i < 2; i++) {
                pool_spawned(&w->pool, i, 100 + (int32_t)i, false, 1);
                assert_int_equal(pool_ready(&w->pool, i, 10, 0, 1), 0);
        }
}

static void close_world(struct world *w)
{
        pool_deinit(&w->pool);
        settings_done(&w->settings);
}

static void test_pool_takes_another_order(void **state _unused_)
{
        struct world w;

        open_world(&w);
        connect_to(&w, 0);
        connect_to(&w, 1);
        assert_int_equal(pool_done(&w.pool, 1, w.slots[1].id), 0);
        assert_int_equal(pool_choose(&w.pool), 1); /* it has the fewest */

        w.settings.distribute = DISTRIBUTE_ROUND_ROBIN;
        pool_settings_changed(&w.pool);
        assert_int_equal(pool_choose(&w.pool), 0); /* it waits for longest */
        assert_int_equal(w.pool.n_heap, 2);
        close_world(&w);
}

static void test_pool_opens_and_shuts(void **state _unused_)
{
        struct pool_decision decision;
        struct world w;

        open_world(&w);
        connect_to(&w, 0);
        connect_to(&w, 1);
        pool_decide(&w.pool, 2, &decision);

        w.settings.max_connections = 1; /* fewer than there are */
        pool_settings_changed(&w.pool);
        assert_false(pool_may_accept(&w.pool));
        assert_true(w.pool.dirty);
        pool_decide(&w.pool, 2, &decision);
        assert_false(pool_may_accept(&w.pool));

        w.settings.max_connections = 3;
        pool_settings_changed(&w.pool);
        pool_decide(&w.pool, 2, &decision);
        assert_true(pool_may_accept(&w.pool));
        close_world(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_changed),
                cmocka_unit_test(test_settings_that_grow_beyond_what_is_read),
                cmocka_unit_test(test_what_changed),
                cmocka_unit_test(test_pool_takes_another_order),
                cmocka_unit_test(test_pool_opens_and_shuts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
