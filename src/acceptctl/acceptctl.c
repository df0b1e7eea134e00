/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptctl(1): looks at running instances, and steers them. main and the command line; each
 * command has a file, instance.c does the talking and show.c the printing.
 */

#include <getopt.h>

#include "acceptctl/ask.h"
#include "base/words.h"

#define LINES_DEFAULT 10
#define INTERVAL_MIN  (100 * USEC_PER_MSEC)

static void print_help(void)
{
        printf("Usage: acceptctl [OPTIONS] COMMAND\n"
               "\n"
               "Looks at the worker pools of acceptd(8), and steers them. Looking never starts one.\n"
               "\n"
               "Looking:\n"
               "  list [NAME...]       all instances, a line each\n"
               "  status [NAME...]     one or all that run, with listeners, workers and counters\n"
               "  connections NAME     the open connections\n"
               "  sources NAME         who has most connections, and who was refused most\n"
               "  monitor [NAME...]    what happens, as it happens, a line each\n"
               "  top [NAME...]        rates a second, and what workers use, live\n"
               "  metrics [NAME...]    for Prometheus; --openmetrics, or --http on stdin and stdout\n"
               "  settings NAME        those in force, and where each comes from\n"
               "  is-ready NAME...     exit status 0 where it is ready\n"
               "  wait NAME...         until it is --ready, --idle, --no-old, of --generation=N\n"
               "\n"
               "Steering:\n"
               "  reload NAME...       new workers with the settings read again, nothing is lost\n"
               "  drain NAME WORKER    this worker gets nothing new and ends, another one comes\n"
               "  pause NAME...        new connections wait in the kernel\n"
               "  resume NAME...       they are accepted again\n"
               "\n"
               "  --cancel             with reload: give up the one that is under way\n"
               "  --worker=N --listener=NAME\n"
               "                       with status and connections: only those\n"
               "  -n, --lines=N        with status: so many lines of the journal (10)\n"
               "  --timeout=TIME       with wait: give up then\n"
               "  --interval=TIME --sort=rate|open|cpu|memory|age\n"
               "                       with top: look so often (1s), sort workers by this\n"
               "  --iterations=N       with top and monitor: end after so many pictures, or events\n"
               "  --json[=pretty|short|off], -j\n"
               "                       print JSON, errors too\n"
               "  --no-legend --plain --no-pager\n"
               "                       no heads; columns and nothing else; as it is anyway\n"
               "  --root=DIR           look below DIR for /run/acceptd and /etc/acceptd\n"
               "  -h, --help           print this\n"
               "  --version            print the version\n"
               "\n"
               "NAME is that of acceptd@NAME.service, or a pattern: 'web*'.\n");
}

/* --- Commands --- */

enum {
        LOOKS = 1 << 0,   /* without an instance, the exit status is EXIT_UNKNOWN */
        CANCELS = 1 << 1, /* and what options it has */
        FILTERS = 1 << 2,
        WAITS = 1 << 3,
        LINES = 1 << 4,
        REPEATS = 1 << 5,
        SORTS = 1 << 6,
        SCRAPES = 1 << 7,
        WORKER = 1 << 8, /* its last argument is the number of a worker */
};

static const struct command {
        const char *name;
        size_t min, max; /* names */
        unsigned flags;
        int (*run)(const struct arguments *a, char **names);
} commands[] = {
        { "list", 0, SIZE_MAX, LOOKS, command_list },
        { "status", 0, SIZE_MAX, LOOKS | FILTERS | LINES, command_status },
        { "connections", 1, 1, LOOKS | FILTERS, command_connections },
        { "sources", 1, 1, LOOKS, command_sources },
        { "settings", 1, 1, LOOKS, command_settings },
        { "is-ready", 1, SIZE_MAX, LOOKS, command_is_ready },
        { "wait", 1, SIZE_MAX, LOOKS | WAITS, command_wait },
        { "monitor", 0, SIZE_MAX, LOOKS | REPEATS, command_monitor },
        { "top", 0, SIZE_MAX, LOOKS | REPEATS | SORTS, command_top },
        { "metrics", 0, SIZE_MAX, LOOKS | SCRAPES, command_metrics },
        { "reload", 1, SIZE_MAX, CANCELS, command_reload },
        { "drain", 1, 1, WORKER, command_drain },
        { "pause", 1, SIZE_MAX, 0, command_pause },
        { "resume", 1, SIZE_MAX, 0, command_resume },
};

static const struct command *find_command(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(commands); i++)
                if (streq(name, commands[i].name))
                        return &commands[i];

        return NULL;
}

static size_t count(char *const *words)
{
        size_t n = 0;

        while (words[n])
                n++;

        return n;
}

static bool check_count(const struct command *command, size_t n)
{
        if (n >= command->min && n <= command->max)
                return true;

        complain("%s wants %s. Try acceptctl --help.", command->name,
                command->flags & WORKER ? "the name of one instance and the number of a worker"
                                        : "the name of an instance");
        return false;
}

/* Replaces the arguments by the instances in them. Returns 0 or an exit status. */
static int expand(const struct arguments *a, const struct command *command, char *const *texts,
        char ***ret_names)
{
        const char *wrong = "";
        int r = instance_expand(&a->places, texts, ret_names, &wrong);

        if (r >= 0)
                return check_count(command, count(*ret_names)) ? 0 : EXIT_FAILURE;
        if (r == -EINVAL) {
                complain("\"%s\" cannot be the name of an instance.", wrong);
                return EXIT_FAILURE;
        }
        if (r == -ESRCH) {
                say_error("NoSuchInstance", wrong, "No instance matches \"%s\".", wrong);
                return command->flags & LOOKS ? EXIT_UNKNOWN : EXIT_NO_INSTANCE;
        }

        complain("Cannot look for instances: %s", strerror(-r));
        return EXIT_FAILURE;
}

/* Takes the number of a worker from the end of the arguments. */
static bool take_worker(struct arguments *a, char **texts)
{
        size_t n = count(texts);

        if (n < 2 || !words_parse_number(texts[n - 1], 1, INT64_MAX, &a->worker)) {
                complain("drain wants the name of one instance and the number of a worker. Try "
                         "acceptctl --help.");
                return false;
        }

        texts[n - 1] = NULL;
        return true;
}

static int run(struct arguments *a, const struct command *command, char **texts)
{
        _cleanup_(words_freep) char **names = NULL;
        int status;

        if (command->flags & WORKER && !take_worker(a, texts))
                return EXIT_FAILURE;
        if (!check_count(command, count(texts)))
                return EXIT_FAILURE;
        status = expand(a, command, texts, &names);
        if (status != 0)
                return status;

        status = command->run(a, names);
        if (fflush(stdout) != 0 || ferror(stdout)) {
                complain("Cannot write: %s", strerror(errno));
                return EXIT_FAILURE;
        }

        return status;
}

/* --- Options --- */

enum {
        OPTION_VERSION = 256,
        OPTION_JSON,
        OPTION_NO_PAGER,
        OPTION_NO_LEGEND,
        OPTION_PLAIN,
        OPTION_ROOT,
        OPTION_CANCEL,
        OPTION_WORKER,
        OPTION_LISTENER,
        OPTION_READY,
        OPTION_IDLE,
        OPTION_NO_OLD,
        OPTION_GENERATION,
        OPTION_TIMEOUT,
        OPTION_ITERATIONS,
        OPTION_INTERVAL,
        OPTION_SORT,
        OPTION_HTTP,
        OPTION_OPENMETRICS,
};

/* clang-format off */
static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "json", optional_argument, NULL, OPTION_JSON },
        { "no-pager", no_argument, NULL, OPTION_NO_PAGER },
        { "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
        { "plain", no_argument, NULL, OPTION_PLAIN },
        { "root", required_argument, NULL, OPTION_ROOT },
        { "cancel", no_argument, NULL, OPTION_CANCEL },
        { "worker", required_argument, NULL, OPTION_WORKER },
        { "listener", required_argument, NULL, OPTION_LISTENER },
        { "lines", required_argument, NULL, 'n' },
        { "ready", no_argument, NULL, OPTION_READY },
        { "idle", no_argument, NULL, OPTION_IDLE },
        { "no-old", no_argument, NULL, OPTION_NO_OLD },
        { "generation", required_argument, NULL, OPTION_GENERATION },
        { "timeout", required_argument, NULL, OPTION_TIMEOUT },
        { "iterations", required_argument, NULL, OPTION_ITERATIONS },
        { "interval", required_argument, NULL, OPTION_INTERVAL },
        { "sort", required_argument, NULL, OPTION_SORT },
        { "http", no_argument, NULL, OPTION_HTTP },
        { "openmetrics", no_argument, NULL, OPTION_OPENMETRICS },
        {},
};
/* clang-format on */

/* What an option is for; 0: all commands. */
static unsigned get_use(int option)
{
        switch (option) {
        case OPTION_CANCEL:
                return CANCELS;
        case OPTION_WORKER:
        case OPTION_LISTENER:
                return FILTERS;
        case 'n':
                return LINES;
        case OPTION_READY:
        case OPTION_IDLE:
        case OPTION_NO_OLD:
        case OPTION_GENERATION:
        case OPTION_TIMEOUT:
                return WAITS;
        case OPTION_ITERATIONS:
                return REPEATS;
        case OPTION_INTERVAL:
        case OPTION_SORT:
                return SORTS;
        case OPTION_HTTP:
        case OPTION_OPENMETRICS:
                return SCRAPES;
        default:
                return 0;
        }
}

static bool parse_json(const char *text)
{
        static const struct {
                const char *name;
                enum say_json json;
        } kinds[] = { { "pretty", SAY_PRETTY }, { "short", SAY_SHORT }, { "off", SAY_NO_JSON } };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (streq(text, kinds[i].name)) {
                        say.json = kinds[i].json;
                        return true;
                }

        complain("--json=%s is not among pretty, short, off.", text);
        return false;
}

static bool parse_number(const char *option, uint64_t min, uint64_t *ret)
{
        if (words_parse_number(optarg, min, INT64_MAX, ret))
                return true;

        complain("%s=%s is no number that it can be.", option, optarg);
        return false;
}

static bool parse_time(const char *option, usec_t *ret)
{
        if (usec_parse(optarg, ret) >= 0)
                return true;

        complain("%s=%s is no time span as in systemd.time(7).", option, optarg);
        return false;
}

/* Returns false after a message. */
static bool parse_option(struct arguments *a, int option)
{
        switch (option) {
        case OPTION_JSON:
                return parse_json(optarg ?: "pretty");
        case 'j':
                return parse_json("pretty");
        case OPTION_NO_PAGER: /* there is none */
                return true;
        case OPTION_NO_LEGEND:
                return (say.no_legend = true);
        case OPTION_PLAIN:
                return (say.plain = true);
        case OPTION_ROOT:
                a->places.root = optarg;
                return true;
        case OPTION_CANCEL:
                return (a->cancel = true);
        case OPTION_WORKER:
                return parse_number("--worker", 1, &a->worker);
        case OPTION_LISTENER:
                a->listener = optarg;
                return true;
        case 'n':
                return parse_number("--lines", 0, &a->lines);
        case OPTION_READY:
                return (a->until_ready = true);
        case OPTION_IDLE:
                return (a->until_idle = true);
        case OPTION_NO_OLD:
                return (a->until_no_old = true);
        case OPTION_GENERATION:
                return parse_number("--generation", 1, &a->generation);
        case OPTION_TIMEOUT:
                return parse_time("--timeout", &a->timeout);
        case OPTION_ITERATIONS:
                return parse_number("--iterations", 1, &a->iterations);
        case OPTION_INTERVAL:
                if (!parse_time("--interval", &a->interval))
                        return false;
                a->interval = MAX(a->interval, INTERVAL_MIN);
                return true;
        case OPTION_SORT:
                a->sort = optarg;
                return true;
        case OPTION_HTTP:
                return (a->http = true);
        case OPTION_OPENMETRICS:
                return (a->openmetrics = true);
        default:
                fprintf(stderr, "Try acceptctl --help.\n");
                return false;
        }
}

static const char *name_option(int option)
{
        for (size_t i = 0; options[i].name; i++)
                if (options[i].val == option)
                        return options[i].name;

        return "?";
}

int main(int argc, char **argv)
{
        struct arguments arguments = {
                .places.root = "",
                .deadline = usec_add(usec_now(), ASK_TIMEOUT),
                .lines = LINES_DEFAULT,
                .timeout = USEC_INFINITY,
                .interval = USEC_PER_SEC,
        };
        const struct command *command;
        unsigned used = 0;
        int c, last = 0;

        while ((c = getopt_long(argc, argv, "hjn:", options, NULL)) >= 0) {
                if (c == 'h' || c == OPTION_VERSION) {
                        if (c == 'h')
                                print_help();
                        else
                                printf("acceptctl " ACCEPTD_VERSION "\n");
                        return 0;
                }
                if (!parse_option(&arguments, c))
                        return EXIT_FAILURE;
                last = get_use(c) ? c : last;
                used |= get_use(c);
        }
        say_set_up();

        command = optind < argc ? find_command(argv[optind]) : NULL;
        if (!command) {
                complain("%s. Try acceptctl --help.",
                        optind < argc ? "There is no such command" : "A command is missing");
                return EXIT_FAILURE;
        }
        if (used & ~command->flags) {
                complain("%s has no --%s. Try acceptctl --help.", command->name, name_option(last));
                return EXIT_FAILURE;
        }

        return run(&arguments, command, argv + optind + 1);
}
