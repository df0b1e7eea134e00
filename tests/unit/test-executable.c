/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Finding programs, src/base/executable.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h> /* wants the first four */

#include "base/executable.h"

static char dir[] = "/tmp/acceptd-test.XXXXXX";

static int setup(void **state)
{
        (void)state;
        assert_non_null(mkdtemp(dir));
        assert_int_equal(chdir(dir), 0);
        assert_int_equal(mkdir("a", 0755), 0);
        assert_int_equal(mkdir("b", 0755), 0);
        assert_int_equal(mkdir("b/folder", 0755), 0);
        assert_int_equal(mkfifo("b/fifo", 0777), 0);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        (void)unlink("a/tool");
        (void)unlink("b/tool");
        (void)unlink("b/fifo");
        (void)rmdir("b/folder");
        (void)rmdir("a");
        (void)rmdir("b");
        assert_int_equal(chdir("/"), 0);
        return rmdir(dir);
}

static void make_file(const char *path, mode_t mode)
{
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        fclose(f);
        assert_int_equal(chmod(path, mode), 0);
}

static void expect(const char *name, const char *folders, const char *expected)
{
        _cleanup_(freep) char *path = NULL;

        assert_int_equal(executable_find(name, folders, &path), 0);
        assert_string_equal(path, expected);
}

static void test_first_folder_that_has_it(void **state)
{
        (void)state;
        make_file("b/tool", 0755);
        expect("tool", "a:b", "b/tool");
        expect("tool", "missing::b", "b/tool");
        make_file("a/tool", 0755);
        expect("tool", "a:b", "a/tool");
        expect("tool", "b:a", "b/tool");
        /* one that cannot be executed is passed over, but named if there is no other */
        make_file("a/tool", 0644);
        expect("tool", "a:b", "b/tool");
        assert_int_equal(executable_find("tool", "a:missing", &(char *){ NULL }), -EACCES);
}

static void test_path(void **state)
{
        (void)state;
        make_file("b/tool", 0755);
        expect("b/tool", "a", "b/tool");
        expect("./b/tool", "", "./b/tool");
        assert_int_equal(executable_find("./tool", "b", &(char *){ NULL }), -ENOENT);
}

static void test_what_is_no_program(void **state)
{
        char *path = NULL;

        (void)state;
        assert_int_equal(executable_find("nowhere", "a:b", &path), -ENOENT);
        assert_int_equal(executable_find("nowhere", "", &path), -ENOENT);
        assert_int_equal(executable_find("", "a:b", &path), -ENOENT);
        assert_int_equal(executable_find("folder", "a:b", &path), -EISDIR);
        assert_int_equal(executable_find("fifo", "a:b", &path), -EACCES);
        assert_int_equal(executable_find("b/fifo/x", "a", &path), -ENOTDIR);
        assert_null(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_folder_that_has_it),
                cmocka_unit_test(test_path),
                cmocka_unit_test(test_what_is_no_program),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
