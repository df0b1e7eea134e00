/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * main of the dispatcher: command line, settings, sockets, limits, and then dispatcher.c.
 */

#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "dispatcher/adoption.h"
#include "dispatcher/control.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/journal.h"
#include "dispatcher/notify.h"
#include "dispatcher/oom.h"
#include "dispatcher/reload.h"
#include "dispatcher/settings-file.h"
#include "dispatcher/store.h"

/* Descriptors of the dispatcher besides listeners and workers: standard ones, loop, journal, the
 * connection in hand, and some air. */
#define FDS_OWN 32

#define FDS_PER_WORKER 3 /* channel, queue, pidfd */
#define STORE_OWN      2 /* ledger, settings */

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

/* Logs a message that says what cannot work, also for `systemctl status`. Returns EX_CONFIG. */
static int refuse(char *message_consume, int error)
{
        _cleanup_(freep) char *message = message_consume;
        const char *text = message ?: strerror(-error);

        journal_event(MESSAGE_REFUSED_TO_START, NULL, "%s", text);
        notify_status(text);
        return EX_CONFIG;
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

/* For struct reload, too. `userdata` is a struct arguments. */
static int load_settings(struct settings *s, const void *userdata, char **ret_message)
{
        const struct arguments *a = userdata;
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
        return settings_check(s, ret_message);
}

/* The bundled echo worker: beside this program where that was not installed. Returns a string for
 * the caller to free, or NULL without memory. */
static char *find_echo_worker(void)
{
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *path;

        if (n > 0) {
                self[n] = '\0';
                if (asprintf(&path, "%s/acceptd-echo", dirname(self)) < 0)
                        return NULL;
                if (access(path, X_OK) == 0)
                        return path;
                free(path);
        }

        return strdup(ACCEPTD_LIBEXECDIR "/acceptd-echo");
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

/* The setting that says how many workers there can be. */
static const char *name_of_most(const struct settings *s)
{
        return s->workers_max > s->workers ? "WorkersMax" : "Workers";
}

/* Makes sure that the descriptors of all workers fit the limit, which is raised as far as it goes. */
static int check_limit(const struct settings *s, size_t n_listeners, char **ret_message)
{
        uint64_t needed = FDS_OWN + n_listeners +
                (uint64_t)FDS_PER_WORKER * pool_rows_needed(s);
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        if (needed <= limit.rlim_cur)
                return 0;

        if (asprintf(ret_message,
                    "%s=%" PRIu32 " need up to %" PRIu64 " descriptors, and RLIMIT_NOFILE is %" PRIu64
                    "; raise LimitNOFILE= or lower %s=",
                    name_of_most(s), s->workers_max, needed, (uint64_t)limit.rlim_cur,
                    name_of_most(s)) < 0)
                return -ENOMEM;
        return -EMFILE;
}

/* Makes sure that the service manager's descriptor store takes the workers of two generations, and
 * one that is recycled: what does not fit would be killed after a crash of the dispatcher. */
static int check_store(const struct settings *s, char **ret_message)
{
        uint64_t needed = STORE_OWN + (uint64_t)FDS_PER_WORKER * (2 * (uint64_t)s->workers_max + 1);
        uint64_t size = store_get_size();

        if (size == 0 || needed <= size)
                return 0;

        if (asprintf(ret_message,
                    "%s=%" PRIu32 " need room for %" PRIu64
                    " descriptors in the descriptor store, and FDSTORE is %" PRIu64
                    "; raise FileDescriptorStoreMax= and Environment=FDSTORE= in the unit, or "
                    "lower %s=",
                    name_of_most(s), s->workers_max, needed, size, name_of_most(s)) < 0)
                return -ENOMEM;
        return -ENOSPC;
}

static void free_listeners(struct listener *listeners, size_t n)
{
        for (size_t i = 0; i < n; i++)
                listener_done(&listeners[i]);
        free(listeners);
}

static size_t count_names(const struct listener *listeners, size_t n)
{
        size_t names = 0;

        for (size_t i = 0; i < n; i++) {
                size_t k = 0;

                while (k < i && !streq(listeners[k].name, listeners[i].name))
                        k++;
                names += k == i;
        }

        return names;
}

/* Takes the listeners out of what was inherited. Returns 0 or -errno. */
static int collect_listeners(struct inheritance *inheritance, struct listener **ret_listeners,
        size_t *ret_n, char **ret_message)
{
        struct listener *listeners = calloc(inheritance->n + 1, sizeof(*listeners));
        size_t n = 0;
        int r = 0;

        if (!listeners)
                return -ENOMEM;

        for (size_t i = 0; r >= 0 && i < inheritance->n; i++) {
                const char *name = inheritance_get_listener(inheritance, i);

                if (name)
                        r = listener_init(&listeners[n++],
                                TAKE_FD(inheritance->entries[i].fd), name, ret_message);
        }

        if (r >= 0 && count_names(listeners, n) > LEDGER_NAMES_MAX) {
                *ret_message = strdup("The sockets have too many names; allowed are 64 different "
                                      "FileDescriptorName=");
                r = -ENOSPC;
        }
        if (r >= 0 && n == 0) {
                *ret_message = strdup("No socket was passed; allowed are listening stream and "
                                      "seqpacket sockets from a .socket unit, or, in a terminal: "
                                      "systemd-socket-activate -l 127.0.0.1:7777 acceptd");
                r = -ENOTCONN;
        }
        if (r < 0) {
                free_listeners(listeners, n);
                return r;
        }

        *ret_listeners = listeners;
        *ret_n = n;
        return 0;
}

static void set_up_signals(void)
{
        sigset_t handled;

        sigemptyset(&handled);
        sigaddset(&handled, SIGTERM);
        sigaddset(&handled, SIGINT);
        sigaddset(&handled, SIGHUP);
        sigaddset(&handled, SIGUSR1);
        (void)sigprocmask(SIG_BLOCK, &handled, NULL);
        (void)signal(SIGPIPE, SIG_IGN); /* a reader of stderr that went away */
        (void)signal(SIGCHLD, SIG_DFL); /* ignored, it would make waitid() fail */
}

static int run_dispatcher(struct dispatcher *d, struct settings *s, const struct arguments *a)
{
        struct reload reload = {
                .dispatcher = d,
                .settings = s,
                .read = load_settings,
                .userdata = a,
        };
        struct control_context context = {
                .dispatcher = d,
                .instance = a->instance,
                .reload = reload_run,
                .userdata = &reload,
        };
        struct control *control = control_open(&context);
        int r = dispatcher_run(d);

        control_close(control);
        return r;
}

/* Returns the exit status. */
static int serve(
        struct settings *s, const struct arguments *a, struct inheritance *inheritance)
{
        _cleanup_(freep) char *message = NULL;
        _cleanup_(freep) char *echo = find_echo_worker();
        char *echo_argv[] = { echo, NULL };
        struct listener *listeners = NULL;
        size_t n_listeners = 0;
        struct dispatcher d;
        int r;

        if (!echo)
                return refuse(NULL, -ENOMEM);

        r = collect_listeners(inheritance, &listeners, &n_listeners, &message);
        if (r >= 0)
                r = check_limit(s, n_listeners, &message);
        if (r >= 0)
                r = check_store(s, &message);
        if (r < 0) {
                free_listeners(listeners, n_listeners);
                return refuse(TAKE_PTR(message), r);
        }

        r = dispatcher_init(
                &d, s, listeners, n_listeners, s->command ?: echo_argv, a->instance, inheritance);
        if (r >= 0) {
                for (size_t i = 0; i < n_listeners; i++)
                        journal_event(MESSAGE_STARTED,
                                JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_LISTENER", listeners[i].name),
                                        JOURNAL_TEXT("ACCEPTD_ADDRESS", listeners[i].address)),
                                "Listening on %s (%s).", listeners[i].address, listeners[i].name);
                r = run_dispatcher(&d, s, a);
                dispatcher_deinit(&d);
        }

        free_listeners(listeners, n_listeners);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check(const struct arguments *a)
{
        _cleanup_(settings_done) struct settings settings = {};
        char *message = NULL;
        int r;

        settings_init(&settings);
        r = load_settings(&settings, a, &message);
        if (r < 0)
                return refuse(message, r);

        r = settings_print(&settings, stdout);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Returns the exit status. */
static int run(const struct arguments *a)
{
        _cleanup_(inheritance_done) struct inheritance inheritance = {};
        _cleanup_(settings_done) struct settings settings = {};
        char *message = NULL;
        int r;

        r = inheritance_collect(&inheritance);
        if (r < 0)
                return refuse(NULL, r);

        /* After a crash, those that were in force: an edit that nobody reloaded changes nothing. */
        settings_init(&settings);
        if (!adoption_load_settings(&settings, &inheritance)) {
                r = load_settings(&settings, a, &message);
                if (r < 0)
                        return refuse(message, r);
        }
        adoption_store_settings(&settings);

        r = notify_open();
        if (r < 0)
                return refuse(NULL, r);
        set_up_signals();
        oom_open(NULL);
        return serve(&settings, a, &inheritance);
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
                arguments.instance = name_instance(arguments.file);
                journal_open(arguments.instance);
                r = arguments.check ? check(&arguments) : run(&arguments);
        }

        free(arguments.instance);
        free(arguments.assignments);
        return r;
}
