/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * main of the dispatcher: command line and settings; the rest is start.c's.
 */

#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "acceptd/command.h"
#include "acceptd/start.h"
#include "os/journal.h"
#include "os/notify.h"
#include "settings/settings-file.h"
#include "takeover/adoption.h"
#include "takeover/kept-settings.h"

struct arguments {
        const char *file;
        char *instance;
        const char **assignments; /* of each -o, NULL-terminated */
        char **worker;            /* what follows the options, NULL-terminated */
        bool check;
        bool done; /* --help, --version: nothing is left to do */
};

static void print_help(void)
{
        printf("Usage: acceptd [-c FILE] [-o Key=Value]... [--check] [--] [WORKER [ARGS...]]\n"
               "\n"
               "Keeps a pool of worker processes behind the sockets that systemd passes.\n"
               "\n"
               "  -c FILE        read the settings from FILE and FILE.d/*.conf\n"
               "  -o Key=Value   set one setting; may be repeated\n"
               "  WORKER ARGS    the workers' program, in place of Command=\n"
               "  --check        print the settings in force and where each comes from\n"
               "  -h, --help     print this\n"
               "  --version      print the version\n"
               "\n"
               "In a terminal: systemd-socket-activate -l 127.0.0.1:7777 acceptd\n");
}

/* Returns 0 or an exit status. */
static int parse_options(int argc, char **argv, struct arguments *a)
{
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'V' },
                { "check", no_argument, NULL, 'C' },
                {},
        };
        size_t n_assignments = 0;
        int c;

        a->assignments = calloc((size_t)argc + 1, sizeof(char *));
        if (!a->assignments)
                return EX_OSERR;

        while ((c = getopt_long(argc, argv, "+c:o:h", options, NULL)) >= 0)
                switch (c) {
                case 'c':
                        a->file = optarg;
                        break;
                case 'o':
                        a->assignments[n_assignments++] = optarg;
                        break;
                case 'C':
                        a->check = true;
                        break;
                case 'h':
                        print_help();
                        a->done = true;
                        return 0;
                case 'V':
                        printf("acceptd " ACCEPTD_VERSION "\n");
                        a->done = true;
                        return 0;
                default:
                        fprintf(stderr, "Try acceptd --help.\n");
                        return EX_USAGE;
                }

        a->worker = argv + optind;
        return 0;
}

static uint32_t count_cpus(void)
{
        cpu_set_t set;

        /* cpu_set_t has room for 1024 */
        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return (uint32_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);

        return (uint32_t)CPU_COUNT(&set);
}

static int load_settings(struct settings *s, const struct arguments *a, char **ret_message)
{
        int r = 0;

        if (a->file)
                r = settings_file_read(s, a->file, ret_message);
        for (size_t i = 0; r >= 0 && a->assignments[i]; i++)
                r = settings_assign(s, a->assignments[i], "-o on the command line", ret_message);
        if (r >= 0 && a->worker[0])
                r = settings_set_command(s, a->worker, "the command line", ret_message);
        if (r < 0)
                return r;

        settings_resolve(s, count_cpus());
        r = settings_file_read_reply(s, ret_message);
        if (r >= 0)
                r = settings_check(s, ret_message);
        return r < 0 ? r : command_resolve(s, ret_message);
}

/* NAME of /etc/acceptd/NAME.conf. */
static char *name_instance(const char *file)
{
        const char *slash = file ? strrchr(file, '/') : NULL;
        const char *name = !file ? "acceptd" : slash ? slash + 1 : file;
        size_t n = strlen(name);

        if (n > 5 && streq(name + n - 5, ".conf"))
                n -= 5;

        return strndup(name, n);
}

/* The running dispatcher asks whether this program could go on in its place. Returns the exit
 * status. */
static int check_takeover(const struct settings *settings, int ledger_fd)
{
        _cleanup_(freep) char *message = NULL;
        int r = adoption_check(ledger_fd, settings, &message);

        return r < 0 ? start_refuse(message, r) : RELOAD_TAKES_OVER;
}

/* Returns the exit status. */
static int check(const struct arguments *a)
{
        const char *ledger = getenv(PROCESS_CHECK_LEDGER);
        _cleanup_(settings_done) struct settings settings = {};
        _cleanup_(freep) char *message = NULL;
        int r;

        settings_init(&settings);
        r = load_settings(&settings, a, &message);
        if (r >= 0)
                r = command_check(&settings, &message);
        if (r < 0)
                return start_refuse(message, r);

        r = settings_print(&settings, stdout);
        if (r < 0)
                return EXIT_FAILURE;

        return ledger ? check_takeover(&settings, atoi(ledger)) : EXIT_SUCCESS;
}

/* Returns a path for the caller to free, or NULL. Now, since a program that is replaced by a newer
 * one is still this one, and cannot be found any more. */
static char *find_program(void)
{
        char path[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

        return n > 0 && n < (ssize_t)sizeof(path) ? strndup(path, (size_t)n) : NULL;
}

/* Returns the arguments with --check, for the caller to free, or NULL without memory. */
static char **make_check_argv(int argc, char **argv)
{
        static char option[] = "--check";
        char **copy = calloc((size_t)argc + 2, sizeof(char *));

        if (!copy)
                return NULL;

        copy[0] = argv[0];
        copy[1] = option;
        for (int i = 1; i < argc; i++)
                copy[i + 1] = argv[i];
        return copy;
}

/* What the check of a reload has printed is what it has read, and is not read again. Only a version
 * that knew nothing of that passes no `checked_fd`. */
static int load_new_settings(
        struct settings *s, int checked_fd, const struct arguments *a, char **ret_message)
{
        return checked_fd >= 0 ? kept_settings_read(s, checked_fd, ret_message)
                               : load_settings(s, a, ret_message);
}

/*
 * Which settings to begin with. Returns 0 or -errno.
 *
 *   After a crash: those in force, so an edit that nobody reloaded changes nothing.
 *   After a reload: the new ones, `old` are those in force.
 *   After a reload, new ones unreadable: those in force, no trial, `trouble` says why.
 *   After a reload, those in force unreadable: the new ones serve as `old`, too.
 */
static int choose_settings(struct start *start, struct settings *s, struct settings *old,
        const struct arguments *a, char **ret_message)
{
        _cleanup_(fd_closep) int checked_fd =
                inheritance_take_numbered(start->inheritance, STORE_CHECKED, 0);
        bool had = kept_settings_load(old, start->inheritance);
        int r = 0;

        if (had && !start->inheritance->from_reload) {
                *s = TAKE(*old, (struct settings){});
                return 0;
        }

        r = load_new_settings(s, checked_fd, a, ret_message);
        if (r >= 0 && !had && start->inheritance->from_reload) {
                r = load_new_settings(old, checked_fd, a, ret_message);
                had = r >= 0;
        }
        if (!had)
                return r;
        if (r < 0) {
                start->trouble = *ret_message ?: strerror(-r);
                settings_done(s);
                *s = TAKE(*old, (struct settings){});
                return 0;
        }

        start->old = old;
        return 0;
}

/* Returns the exit status. */
static int run(const struct arguments *a, const struct reload_image *image)
{
        _cleanup_(inheritance_done) struct inheritance inheritance = {};
        _cleanup_(settings_done) struct settings settings = {}, old = {};
        _cleanup_(freep) char *message = NULL;
        struct start start = {
                .settings = &settings,
                .instance = a->instance,
                .image = image,
                .inheritance = &inheritance,
                .listen_pid =
                        getenv("LISTEN_PID"), /* gone from the environment soon, but not lost */
        };
        int r;

        r = inheritance_collect(&inheritance);
        if (r < 0)
                return start_refuse(NULL, r);
        r = notify_open();
        if (r < 0)
                return start_refuse(NULL, r);

        settings_init(&settings);
        settings_init(&old);
        r = choose_settings(&start, &settings, &old, a, &message);
        if (r < 0)
                return start_refuse(message, r);

        return start_serving(&start);
}

int main(int argc, char **argv)
{
        struct arguments arguments = {};
        int r;

        /* Workers of the same user must not read this process' memory, nor open its descriptors,
         * the ledger among them, through /proc/PPID or pidfd_getfd(). Not inherited by execve(). */
        (void)prctl(PR_SET_DUMPABLE, 0); /* cannot fail for 0: prctl(2) */

        r = fd_open_standard();
        if (r < 0)
                return EX_OSERR;
        journal_open(NULL);

        r = parse_options(argc, argv, &arguments);
        if (r == 0 && !arguments.done) {
                struct reload_image image = {
                        .path = find_program(),
                        .argv = argv,
                        .check_argv = make_check_argv(argc, argv),
                };

                arguments.instance = name_instance(arguments.file);
                if (arguments.check)
                        journal_use_lines();
                journal_open(arguments.instance);
                if (!image.path || !image.check_argv || !arguments.instance)
                        r = EX_OSERR;
                else
                        r = arguments.check ? check(&arguments) : run(&arguments, &image);
                free(image.path);
                free(image.check_argv);
        }

        journal_flush();
        free(arguments.instance);
        free(arguments.assignments);
        return r;
}
