/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptd-protocol-test, src/protocol-test/: it passes the bundled workers, and says of each
 * misbehaviour of stub-worker which rule it breaks.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

#define OUTPUT_MAX 16384

static char output[OUTPUT_MAX];

/* Runs it with these words behind; programs are where this one is built. Returns its exit status.
 */
static int run(const char *words)
{
        char folder[256], command[1024];
        ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
        size_t size;
        FILE *f;
        int status;

        assert_true(n > 0);
        folder[n] = '\0';
        for (int i = 0; i < 3; i++)
                *strrchr(folder, '/') = '\0';
        (void)snprintf(command, sizeof(command),
                "cd %s && exec ./acceptd-protocol-test %s 2>/dev/null", folder, words);
        f = popen(command, "re");
        assert_non_null(f);
        size = fread(output, 1, sizeof(output) - 1, f);
        output[size] = '\0';
        status = pclose(f);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_bundled_workers_pass(void **state)
{
        static const char *const workers[] = { "./acceptd-echo", "./acceptd-echo --capacity=1",
                "./acceptd-inetd cat" };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(workers); i++) {
                char words[128];

                (void)snprintf(words, sizeof(words), "--timeout=30s %s", workers[i]);
                if (run(words) != 0)
                        fail_msg("%s: %s", workers[i], output);
                assert_null(strstr(output, "BROKEN"));
                assert_null(strstr(output, "skipped"));
        }
}

struct misdeed {
        const char *trial, *options, *words;
};

static void expect_caught(const struct misdeed *list, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                char words[256];

                (void)snprintf(words, sizeof(words),
                        "--timeout=%s --only=%s tests/process/stub-worker %s",
                        strstr(list[i].words, "does not") ? "700ms" : "30s", list[i].trial,
                        list[i].options);
                if (run(words) != 1 || !strstr(output, list[i].words))
                        fail_msg("%s: expected \"%s\", not: %s", words, list[i].words, output);
        }
}

static void test_misdeeds_are_caught(void **state)
{
        static const struct misdeed list[] = {
                { "ready", "--at=start --exit=3", "exited with status 3" },
                { "ready", "--exit", "exited with status 0" },
                { "ready", "--abort", "SIGABRT" },
                { "ready", "--kill", "SIGKILL" },
                { "questions", "--stop", "does not answer PING" },
                { "questions", "--hang", "does not answer PING" },
                { "ready", "--ready=0", "no record" },
                { "ready", "--name-features=1", "not offered" },
                { "features", "--name-features=1", "other features" },
                { "ready", "--features=64", "not offered" },
                { "ready", "--flood-ready", "more than 10 times" },
                { "ready", "--flood-done=1", "never had" },
                { "ready", "--size", "wrong length" },
                { "ready", "--empty", "empty datagram" },
                { "ready", "--too-many", "wrong length" },
                { "ready", "--version", "version" },
                { "ready", "--type", "unknown record type" },
                { "ready", "--wrong-way", "unknown record type" },
                { "ready", "--pong", "nobody asked for" },
                { "ready", "--held", "nobody asked for" },
                { "ready", "--at=start --foreign", "before READY" },
                { "ready", "--foreign", "never had" },
                { "connections-plain", "--serve=hold --at=1 --failed", "did not take" },
                { "connections", "--features=1 --foreign-failed", "never had" },
                { "connections", "--serve=hold --at=1 --twice", "had ended" },
                { "ready", "--descriptor", "a descriptor" },
                { "ready", "--shutdown=read", "exited" },
                { "ready", "--shutdown=write", "shuts its channel down" },
                { "ready", "--shutdown=both", "exited" },
                { "ready", "--close", "closes it" },
                { "drain", "--serve=hold --leak", "exited" },
                { "ready", "--grandchild", "leaves processes behind" },
        };

        (void)state;
        expect_caught(list, ELEMENTSOF(list));
}

static void test_bad_habits_are_caught(void **state)
{
        static const struct misdeed list[] = {
                { "ready", "--never-ready", "does not say READY" },
                { "questions", "--never-receive", "does not answer PING" },
                { "connections", "--never-receive", "does not say DONE" },
                { "connections", "--no-done", "does not say DONE" },
                { "term", "--ignore-term", "does not end at SIGTERM" },
                { "drain", "--ignore-drain", "does not exit" },
                { "questions", "--wrong-pong", "value of the question" },
                { "violation", "", "does not exit with status 76" },
        };

        (void)state;
        expect_caught(list, ELEMENTSOF(list));
}

static void test_command_line(void **state)
{
        (void)state;
        assert_int_equal(run(""), 64);
        assert_int_equal(run("--timeout=0 true"), 64);
        assert_int_equal(run("--only=x true"), 64);
        assert_int_equal(run("/nonexistent"), 69);
        assert_int_equal(run("--list"), 0);
        assert_non_null(strstr(output, "drain-record"));
        assert_int_equal(run("--version"), 0);
        assert_non_null(strstr(output, ACCEPTD_VERSION));
        assert_int_equal(run("--help"), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bundled_workers_pass),
                cmocka_unit_test(test_misdeeds_are_caught),
                cmocka_unit_test(test_bad_habits_are_caught),
                cmocka_unit_test(test_command_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
