/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The completion of bash, as bash runs it, at an instance that runs.
 */

#include "ctl.h"

#define COMPLETION                                                                                 \
        "systemd/acceptctl.bash" /* below the source, as with tests/unit/test-messages.c */

/* Completes the last of `words`, which stand as bash breaks them, and waits for the process that
 * bash reads from. Returns what is offered, with spaces between; static. */
static const char *complete(const char *words)
{
        static char offered[4096];
        char command[4096];
        FILE *f;

        (void)snprintf(command, sizeof(command),
                "bash --norc -c '. " COMPLETION "; COMP_WORDS=(\"%s\" %s); "
                "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _acceptctl 2>/dev/null; wait $!; "
                "echo \"${COMPREPLY[*]}\"'",
                harness_path("../../acceptctl"), words);
        f = popen(command, "re");
        assert_non_null(f);
        offered[0] = '\0';
        (void)!fgets(offered, sizeof(offered), f);
        assert_int_equal(pclose(f), 0);
        offered[strcspn(offered, "\n")] = '\0';
        return offered;
}

static void test_commands_and_options(void **state _unused_)
{
        assert_string_equal(complete("dr"), "drain");
        assert_non_null(strstr(complete("\"\""), "connections"));
        assert_string_equal(complete("wait x --ge"), "--generation=");
        assert_string_equal(complete("list --ge"), "");
        assert_string_equal(complete("reload --can"), "--cancel");
        assert_string_equal(complete("list --json = s"), "short");
}

static void test_instances_and_workers(void **state)
{
        struct harness *h = *state;
        char words[256];
        struct ctl ctl;

        ctl_init(h, &ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, &ctl, .options = WORDS("Workers=3"));
        harness_await_workers(h, 3);

        (void)snprintf(words, sizeof(words), "--root = %s status t", h->dir);
        assert_string_equal(complete(words), "test");
        (void)snprintf(words, sizeof(words), "--root = %s drain \"\"", h->dir);
        assert_string_equal(complete(words), "test");
        (void)snprintf(words, sizeof(words), "--root = %s drain test \"\"", h->dir);
        assert_string_equal(complete(words), "1 2 3");
        (void)snprintf(words, sizeof(words), "--root = %s connections test --worker = 2", h->dir);
        assert_string_equal(complete(words), "2");
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_commands_and_options),
                HARNESS_TEST(test_instances_and_workers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
