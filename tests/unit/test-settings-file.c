/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Settings files, drop-ins, what a line is: src/settings/settings-file.c and inih behind it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "settings/settings-file.h"

#define NOT_UNDERSTOOD                                                                             \
        "not understood (allowed: [Section], Key=Value, and comments that start with # or ;)"
#define HEADER "a section header is [Name], alone on its line"
#define POOL_KEYS                                                                                  \
        "Workers=, WorkersSpare=, WorkersMax=, WorkerIdleTimeoutSec=, Accept=, "                   \
        "ExitIdleTimeSec=, MaxConnections=, MaxConnectionsPerSource=, RateLimitPerSource=, "       \
        "SourcePrefixLength=, SourceExempt=, OverloadReply=, Distribute=, LogConnections="
#define WORKERS "not a number (allowed: auto, or 1 to 4096)"

static char folder[] = "/tmp/acceptd-settings-XXXXXX";
static int fds_before;

static int setup_folder(void **state)
{
        (void)state;
        strcpy(strrchr(folder, '-'), "-XXXXXX");
        assert_non_null(mkdtemp(folder));
        assert_int_equal(chdir(folder), 0);
        assert_int_equal(mkdir("x.conf.d", 0755), 0);
        fds_before = fd_count();
        assert_true(fds_before >= 0);
        return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

static int remove_folder(void **state)
{
        (void)state;
        assert_int_equal(fd_count(), fds_before);
        assert_int_equal(chdir("/"), 0);
        return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_bytes(const char *path, const char *bytes, size_t n)
{
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, n, f), n);
        assert_int_equal(fclose(f), 0);
}

static void write_file(const char *path, const char *text)
{
        write_bytes(path, text, strlen(text));
}

static void expect_good(struct settings *s, const char *path)
{
        char *message = NULL;

        settings_init(s);
        if (settings_file_read(s, path, &message) != 0)
                fail_msg("%s", message ? message : "no memory");
        assert_null(message);
}

static void expect_bad(const char *path, int error, const char *expected)
{
        _cleanup_(freep) char *message = NULL;
        struct settings s;

        settings_init(&s);
        assert_int_equal(settings_file_read(&s, path, &message), error);
        assert_non_null(message);
        assert_string_equal(message, expected);
        settings_done(&s);
}

static void reads_a_file(void **state)
{
        struct settings s;

        (void)state;
        write_file("x.conf", "# comment\n"
                             "; comment\n"
                             "  # comment\n"
                             "\n"
                             "[Pool]\n"
                             "Workers=2\n"
                             "  Distribute = round-robin \t\n"
                             "[Worker]\n"
                             "TimeoutStopSec=1min 5s\n"
                             "[Pool]\n"
                             "MaxConnections=7");
        expect_good(&s, "x.conf");
        assert_int_equal(s.workers, 2);
        assert_int_equal(s.distribute, DISTRIBUTE_ROUND_ROBIN);
        assert_int_equal(s.timeout_stop, 65 * USEC_PER_SEC);
        assert_int_equal(s.max_connections, 7);
        assert_string_equal(s.sources[SETTING_WORKERS], "x.conf:6");
        assert_string_equal(s.sources[SETTING_DISTRIBUTE], "x.conf:7");
        assert_string_equal(s.sources[SETTING_TIMEOUT_STOP], "x.conf:9");
        assert_string_equal(s.sources[SETTING_MAX_CONNECTIONS], "x.conf:11");
        assert_null(s.sources[SETTING_RESTART]);
        settings_done(&s);
}

static void values_arrive_unharmed(void **state)
{
        static const struct {
                const char *line;
                const char *words[8];
        } cases[] = {
                { "Command=/bin/a # b", { "/bin/a", "#", "b" } },
                { "Command=/bin/a ; b", { "/bin/a", ";", "b" } },
                { "Command=\"/bin/a\" \"b\"", { "/bin/a", "b" } },
                { "Command='/bin/a b' 'c'", { "/bin/a b", "c" } },
                { "Command=/bin/a k=v =x: y:z", { "/bin/a", "k=v", "=x:", "y:z" } },
                { "Command=/bin/a \\tb\\x41 \\\\", { "/bin/a", "\tbA", "\\" } },
                { "Command=/bin/a [b] ]", { "/bin/a", "[b]", "]" } },
                { "Command=/bin/a %i $X \xc3\xa4", { "/bin/a", "%i", "$X", "\xc3\xa4" } },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *text = NULL;
                struct settings s;
                size_t n;

                assert_true(asprintf(&text, "[Worker]\n%s\n", cases[i].line) > 0);
                write_file("x.conf", text);
                expect_good(&s, "x.conf");
                for (n = 0; cases[i].words[n]; n++)
                        assert_string_equal(s.command[n], cases[i].words[n]);
                assert_null(s.command[n]);
                settings_done(&s);
        }
}

/* inih's line buffer grows from 200 bytes on: each length around its steps. */
static void long_lines_arrive_whole(void **state)
{
        (void)state;
        for (size_t n = 150; n < 200000; n = n < 450 ? n + 1 : n * 2 - 7) {
                _cleanup_(freep) char *word = malloc(n + 1), *text = NULL;
                struct settings s;

                assert_non_null(word);
                memset(word, 'x', n);
                word[n] = '\0';
                assert_true(
                        asprintf(&text, "[Worker]\nCommand=/bin/a %s\nRestartSec=7\n", word) > 0);
                write_file("x.conf", text);
                expect_good(&s, "x.conf");
                assert_string_equal(s.command[1], word);
                assert_int_equal(s.restart, 7 * USEC_PER_SEC);
                assert_string_equal(s.sources[SETTING_RESTART], "x.conf:3");
                settings_done(&s);
        }
}

static void backslash_at_the_end_joins_lines(void **state)
{
        struct settings s;

        (void)state;
        write_file("x.conf", "[Worker]\n"
                             "# no joining in comments \\\n"
                             "Command=/bin/a b \\\n"
                             "   c\\\n"
                             "# comment\n"
                             "\td\n"
                             "RestartSec=7\\");
        expect_good(&s, "x.conf");
        assert_string_equal(s.command[1], "b");
        assert_string_equal(s.command[2], "c");
        assert_string_equal(s.command[3], "d");
        assert_null(s.command[4]);
        assert_string_equal(s.sources[SETTING_COMMAND], "x.conf:3");
        assert_int_equal(s.restart, 7 * USEC_PER_SEC);
        assert_string_equal(s.sources[SETTING_RESTART], "x.conf:7");
        settings_done(&s);

        write_file("x.conf", "[Worker]\nCommand=/bin/a b\\\\\nRestartSec=7\n");
        expect_good(&s, "x.conf");
        assert_string_equal(s.command[1], "b\\");
        assert_int_equal(s.restart, 7 * USEC_PER_SEC);
        settings_done(&s);
}

static void line_endings_and_byte_order_mark_of_other_editors(void **state)
{
        struct settings s;

        (void)state;
        write_file("x.conf",
                "\xef\xbb\xbf[Pool]\r\nWorkers=3\r\n\r\n[Worker]\r\nCommand=/bin/a \\\r\n"
                "b\r\n");
        expect_good(&s, "x.conf");
        assert_int_equal(s.workers, 3);
        assert_string_equal(s.command[1], "b");
        assert_null(s.command[2]);
        settings_done(&s);
}

static void later_values_win_and_empty_ones_reset(void **state)
{
        struct settings s;

        (void)state;
        write_file("x.conf", "[Pool]\nWorkers=2\nWorkers=3\nMaxConnections=5\nMaxConnections=\n");
        expect_good(&s, "x.conf");
        assert_int_equal(s.workers, 3);
        assert_int_equal(s.max_connections, 65536);
        assert_null(s.sources[SETTING_MAX_CONNECTIONS]);
        settings_done(&s);
}

static void empty_files_are_fine(void **state)
{
        static const char *const texts[] = { "", "\n", "# only a comment", "[Pool]\n[Worker]\n" };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                struct settings s;

                write_file("x.conf", texts[i]);
                expect_good(&s, "x.conf");
                settings_done(&s);
        }
}

static void mistakes_are_named_with_file_and_line(void **state)
{
        static const char *const pairs[][2] = {
                { "\n\n[Pool]\nWorkers=abc\n", "x.conf:4: [Pool] Workers=abc: " WORKERS },
                { "[Pool]\nWorkers=a \\\n b\n", "x.conf:2: [Pool] Workers=a   b: " WORKERS },
                { "[Pool]\nWorkers=a # b\n", "x.conf:2: [Pool] Workers=a # b: " WORKERS },
                { "[Pool]\nWorkers=a\nWorkers=b\n", "x.conf:2: [Pool] Workers=a: " WORKERS },
                { "[Pool]\nWorkers=a\n[Bad\n", "x.conf:2: [Pool] Workers=a: " WORKERS },
                { "[Pool]\n#\nWrokers=3\n",
                        "x.conf:3: [Pool] has no key Wrokers= (known: " POOL_KEYS ")" },
                { "[Pool]\nCommand=/x\n",
                        "x.conf:2: [Pool] has no key Command=, it belongs to [Worker]" },
                { "[Pol]\nWorkers=3\n",
                        "x.conf:2: there is no section [Pol] (known: [Pool], [Worker])" },
                { "Workers=3\n[Pool]\n",
                        "x.conf:1: Workers= is in no section, it belongs to [Pool]" },
                { "[]\nWorkers=3\n", "x.conf:2: Workers= is in no section, it belongs to [Pool]" },
                { "[Pool]\nWorkers\n", "x.conf:2: " NOT_UNDERSTOOD },
                { "[Pool]\nWorkers\n\nWorkers=3\n", "x.conf:2: " NOT_UNDERSTOOD },
                { "[Pool]\nWorkers=3\n  and more\n", "x.conf:3: " NOT_UNDERSTOOD },
                { "[Pool]\nWorkers: 3\n", "x.conf:2: " NOT_UNDERSTOOD },
                { "[Pool]\nWorkers:a=3\n", "x.conf:2: " NOT_UNDERSTOOD },
                { "[Pool]\n=3\n", "x.conf:2: [Pool] has no key = (known: " POOL_KEYS ")" },
                { "\n[Pool\nWorkers=3\n", "x.conf:2: " HEADER },
                { "[Pool] Workers=3\n", "x.conf:1: " HEADER },
                { "  [Pool]]\n", "x.conf:1: " HEADER },
                { "[Pool] # comment\n", "x.conf:1: " HEADER },
                { "[Pool]\nWorkers=\x1b[1m\xff\n",
                        "x.conf:2: [Pool] Workers=\\x1b[1m\\xff: " WORKERS },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                write_file("x.conf", pairs[i][0]);
                expect_bad("x.conf", -EINVAL, pairs[i][1]);
        }
}

static void zero_byte_is_no_end_of_line(void **state)
{
        (void)state;
        write_bytes("x.conf", "[Pool]\nWorkers=3\0 4\n", 20);
        expect_bad("x.conf", -EINVAL, "x.conf:2: a zero byte: this is not a text file");
        write_bytes("x.conf", "\0", 1);
        expect_bad("x.conf", -EINVAL, "x.conf:1: a zero byte: this is not a text file");
}

static void missing_file_says_what_to_do(void **state)
{
        (void)state;
        expect_bad("x.conf", -ENOENT,
                "x.conf does not exist; an instance needs its settings file: see acceptd.conf(5)");
        expect_bad("no/x.conf", -ENOENT,
                "no/x.conf does not exist; an instance needs its settings file: see "
                "acceptd.conf(5)");
}

static void what_is_no_readable_file_is_refused(void **state)
{
        uid_t user = geteuid();

        (void)state;
        expect_bad("x.conf.d", -EISDIR, "x.conf.d is a directory, not a settings file");

        assert_int_equal(mkfifo("fifo", 0600), 0);
        expect_bad("fifo", -EINVAL, "fifo is not a regular file");
        expect_bad("/dev/null", -EINVAL, "/dev/null is not a regular file");

        write_file("big", "");
        assert_int_equal(truncate("big", 1024 * 1024 + 1), 0);
        expect_bad("big", -EFBIG, "big is larger than 1 MiB: this is not a settings file");

        assert_int_equal(symlink("loop", "loop"), 0);
        expect_bad("loop", -ELOOP, "cannot open loop: Too many levels of symbolic links");

        write_file("secret", "[Pool]\n");
        assert_int_equal(chmod("secret", 0), 0);
        if (user == 0)
                assert_int_equal(seteuid(65534), 0);
        expect_bad("secret", -EACCES, "cannot open secret: Permission denied");
        if (user == 0)
                assert_int_equal(seteuid(0), 0);
}

static void drop_ins_follow_in_the_order_of_their_names(void **state)
{
        struct settings s;

        (void)state;
        write_file("x.conf", "[Pool]\nWorkers=1\nMaxConnections=1\nDistribute=round-robin\n");
        write_file("x.conf.d/50-b.conf", "[Pool]\nWorkers=5\nMaxConnections=5\n");
        write_file("x.conf.d/9.conf", "[Pool]\nWorkers=9\n");
        write_file("x.conf.d/10-a.conf", "[Pool]\nMaxConnections=10\nDistribute=\n");
        write_file("x.conf.d/Z.conf", "[Worker]\nRestartSec=1\n");
        write_file("x.conf.d/a.conf", "[Worker]\nRestartSec=2\n");
        expect_good(&s, "x.conf");
        assert_int_equal(s.workers, 9);
        assert_string_equal(s.sources[SETTING_WORKERS], "x.conf.d/9.conf:2");
        assert_int_equal(s.max_connections, 5);
        assert_int_equal(s.distribute, DISTRIBUTE_LEAST_CONNECTIONS);
        assert_int_equal(s.restart, 2 * USEC_PER_SEC);
        settings_done(&s);
}

static void drop_ins_begin_without_a_section(void **state)
{
        (void)state;
        write_file("x.conf", "[Pool]\n");
        write_file("x.conf.d/a.conf", "Workers=3\n");
        expect_bad("x.conf", -EINVAL,
                "x.conf.d/a.conf:1: Workers= is in no section, it belongs to [Pool]");
}

static void only_regular_conf_files_are_drop_ins(void **state)
{
        static const char bad[] = "[Pool]\nWorkers=bad\n";
        struct settings s;

        (void)state;
        write_file("x.conf", "[Pool]\nWorkers=1\n");
        write_file("x.conf.d/.hidden.conf", bad);
        write_file("x.conf.d/.conf", bad);
        write_file("x.conf.d/a.conf~", bad);
        write_file("x.conf.d/a.conf.dpkg-old", bad);
        write_file("x.conf.d/README", bad);
        write_file("x.conf.d/aconf", bad);
        write_file("target", "[Pool]\nWorkers=8\n");
        assert_int_equal(mkdir("x.conf.d/folder.conf", 0755), 0);
        assert_int_equal(mkfifo("x.conf.d/fifo.conf", 0600), 0);
        assert_int_equal(symlink("/dev/null", "x.conf.d/masked.conf"), 0);
        assert_int_equal(symlink("../target", "x.conf.d/link.conf"), 0);
        expect_good(&s, "x.conf");
        assert_int_equal(s.workers, 8);
        settings_done(&s);
}

static void bad_drop_ins_are_named(void **state)
{
        (void)state;
        write_file("x.conf", "[Pool]\n");
        write_file("x.conf.d/a.conf", "[Pool]\nWorkers=bad\n");
        write_file("x.conf.d/b.conf", "[Pool]\nWorkers=worse\n");
        expect_bad("x.conf", -EINVAL, "x.conf.d/a.conf:2: [Pool] Workers=bad: " WORKERS);

        assert_int_equal(unlink("x.conf.d/a.conf"), 0);
        assert_int_equal(symlink("nowhere", "x.conf.d/a.conf"), 0);
        expect_bad("x.conf", -ENOENT, "cannot open x.conf.d/a.conf: No such file or directory");

        write_file("y.conf", "[Pool]\n");
        write_file("y.conf.d", "");
        expect_bad("y.conf", -ENOTDIR, "cannot read the drop-ins in y.conf.d: Not a directory");
}

static void file_without_a_folder_of_drop_ins_is_fine(void **state)
{
        struct settings s;

        (void)state;
        write_file("y.conf", "[Pool]\nWorkers=6\n");
        expect_good(&s, "y.conf");
        assert_int_equal(s.workers, 6);
        settings_done(&s);
}

/* What --check prints is a settings file. */
static void printed_settings_are_a_settings_file(void **state)
{
        struct settings a, b;
        FILE *f;

        (void)state;
        write_file("x.conf", "[Pool]\nWorkers=3\n[Worker]\n"
                             "Command=/bin/a '#' \"b\\\"\\\\\" \\n \"\" ;\\\n [c]\n"
                             "DrainTimeoutSec=infinity\nRestartSec=1500us\n");
        expect_good(&a, "x.conf");
        f = fopen("y.conf", "we");
        assert_non_null(f);
        assert_int_equal(settings_print(&a, f), 0);
        assert_int_equal(fclose(f), 0);

        expect_good(&b, "y.conf");
        assert_int_equal(a.workers, b.workers);
        assert_int_equal(a.connections_per_worker, b.connections_per_worker);
        assert_int_equal(a.drain_timeout, b.drain_timeout);
        assert_int_equal(a.restart, b.restart);
        for (size_t i = 0; a.command[i] || b.command[i]; i++)
                assert_string_equal(a.command[i], b.command[i]);
        settings_done(&a);
        settings_done(&b);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup_folder, remove_folder)

/* --- OverloadReply= --- */

static char *read_reply(const char *value, int expected)
{
        _cleanup_(freep) char *path = NULL;
        char *message = NULL, *text = NULL;
        struct settings s;

        settings_init(&s);
        assert_true(asprintf(&path, "OverloadReply=%s/%s", folder, value) > 0);
        assert_int_equal(settings_assign(&s, path, "-o", &message), 0);
        assert_int_equal(settings_file_read_reply(&s, &message), expected);
        if (expected == 0) {
                assert_null(message);
                assert_non_null(text = strdup(s.overload_reply[1]));
                assert_null(s.overload_reply[2]);
        }
        settings_done(&s);
        return text ?: message;
}

static void check_reply(const char *value, int expected, const char *text)
{
        _cleanup_(freep) char *found = read_reply(value, expected);

        if (!strstr(found, text))
                fail_msg("\"%s\" is not in \"%s\"", text, found);
}

static void reads_what_the_refused_get(void **state)
{
        _cleanup_(freep) char *text = NULL;
        char full[OVERLOAD_REPLY_MAX + 1];
        struct settings s;
        char *message;

        (void)state;
        settings_init(&s);
        assert_int_equal(settings_file_read_reply(&s, &message), 0);
        assert_null(s.overload_reply);
        settings_done(&s);

        write_file("reply", "HTTP/1.1 503 \xff\r\n\r\n");
        text = read_reply("reply", 0);
        assert_string_equal(text, "HTTP/1.1 503 \xff\r\n\r\n");
        check_reply("reply given", 0, "given"); /* as --check prints it: nothing is read */
        check_reply("nowhere given", 0, "given");

        memset(full, 'x', sizeof(full));
        write_bytes("full", full, OVERLOAD_REPLY_MAX);
        check_reply("full", 0, "xxx");
        write_bytes("full", full, OVERLOAD_REPLY_MAX + 1);
        check_reply("full", -EFBIG, "full is larger than 4096 bytes");
        write_bytes("zero", "a\0b", 3);
        check_reply("zero", -EINVAL, "zero has a zero byte in it");
        check_reply("nowhere", -ENOENT, "nowhere: No such file");
        check_reply("x.conf.d", -EISDIR, "x.conf.d is a directory, not a reply");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_FOLDER(reads_a_file),
                IN_FOLDER(values_arrive_unharmed),
                IN_FOLDER(long_lines_arrive_whole),
                IN_FOLDER(backslash_at_the_end_joins_lines),
                IN_FOLDER(line_endings_and_byte_order_mark_of_other_editors),
                IN_FOLDER(later_values_win_and_empty_ones_reset),
                IN_FOLDER(empty_files_are_fine),
                IN_FOLDER(mistakes_are_named_with_file_and_line),
                IN_FOLDER(zero_byte_is_no_end_of_line),
                IN_FOLDER(missing_file_says_what_to_do),
                IN_FOLDER(what_is_no_readable_file_is_refused),
                IN_FOLDER(drop_ins_follow_in_the_order_of_their_names),
                IN_FOLDER(drop_ins_begin_without_a_section),
                IN_FOLDER(only_regular_conf_files_are_drop_ins),
                IN_FOLDER(bad_drop_ins_are_named),
                IN_FOLDER(file_without_a_folder_of_drop_ins_is_fine),
                IN_FOLDER(printed_settings_are_a_settings_file),
                IN_FOLDER(reads_what_the_refused_get),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
