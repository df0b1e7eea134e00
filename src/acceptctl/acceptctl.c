/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptctl(1): looks at running instances, and steers them. main, its commands and what their exit
 * statuses are; instance.c does the talking and show.c the printing.
 */

#include <getopt.h>
#include <stdarg.h>
#include <time.h>

#include "acceptctl/instance.h"
#include "acceptctl/show.h"
#include "base/words.h"
#include "varlink/interfaces.h"
#include "varlink/message.h"

/* For a status of all that hang together; each gets a moment in any case. */
#define STATUS_TIMEOUT (5 * USEC_PER_SEC)
#define STATUS_MOMENT  (500 * USEC_PER_MSEC)
#define RELOAD_TIMEOUT (90 * USEC_PER_SEC) /* as long as systemctl reload waits by default */

/* A status is asked for so often, where it is hung up on. */
#define HANG_UPS_MAX 5

/* As systemctl's, which are those of init scripts. */
enum exit_status {
        EXIT_NOT_RUNNING = 3,
        EXIT_UNKNOWN = 4,     /* no such instance, or its status cannot be had */
        EXIT_NO_INSTANCE = 5, /* of commands other than status */
};

struct arguments {
        struct places places;
        bool json;
        bool cancel;
        usec_t deadline; /* of statuses */
};

static void print_help(void)
{
        printf("Usage: acceptctl [OPTIONS] COMMAND\n"
               "\n"
               "Looks at the worker pools of acceptd(8), and steers them. Looking never starts one.\n"
               "\n"
               "  list              all instances\n"
               "  status [NAME...]  one or all that run, with listeners, workers and counters\n"
               "  reload NAME       new workers with the settings read again, nothing is lost\n"
               "\n"
               "  --cancel          with reload: give up the one that is under way\n"
               "  --json            print JSON\n"
               "  --root=DIR        look below DIR for /run/acceptd and /etc/acceptd\n"
               "  -h, --help        print this\n"
               "  --version         print the version\n"
               "\n"
               "NAME is that of acceptd@NAME.service.\n");
}

/* Says what is wrong, in one line, whatever is in it. */
_printf_(1, 2) static void complain(const char *format, ...)
{
        _cleanup_(freep) char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);

        fputs("acceptctl: ", stderr);
        words_print_safely(text ?: "Out of memory", SIZE_MAX, stderr);
        fputc('\n', stderr);
}

static int out_of_memory(void)
{
        complain("Out of memory");
        return EXIT_FAILURE;
}

static void complain_of_root(const struct arguments *a)
{
        complain("No running instance can be seen below %s: there is no /run of a running system. "
                 "For a container, give /proc/PID/root, with the PID of its init.",
                a->places.root);
}

/* Says why an instance cannot be talked to. Returns the exit status of `status`. */
static int explain(const struct arguments *a, const char *name, int error)
{
        switch (error) {
        case INSTANCE_STOPPED:
                if (!instance_is_configured(&a->places, name)) {
                        complain("There is no instance %s: %s/etc/acceptd/%s.conf does not exist.",
                                name, a->places.root, name);
                        return EXIT_UNKNOWN;
                }
                if (!instance_can_be_seen(&a->places)) {
                        complain_of_root(a);
                        return EXIT_UNKNOWN;
                }
                complain("Instance %s is not running. A connection to its socket starts it, or: "
                         "systemctl start acceptd@%s.service",
                        name, name);
                return EXIT_NOT_RUNNING;
        case INSTANCE_DEAF:
                complain("Instance %s runs, but its control socket is gone, so it cannot be asked. "
                         "A restart makes it again. See: systemctl status "
                         "acceptd@%s.service acceptd-control@%s.socket",
                        name, name, name);
                return EXIT_UNKNOWN;
        case -EACCES:
        case -EPERM:
                complain("Instance %s answers root only: try it as root.", name);
                return EXIT_UNKNOWN;
        case -ETIMEDOUT:
                complain("Instance %s does not answer. See: systemctl status acceptd@%s.service",
                        name, name);
                return EXIT_UNKNOWN;
        case -ECONNRESET:
                complain("Instance %s hung up. See: journalctl -u acceptd@%s.service", name, name);
                return EXIT_UNKNOWN;
        case -EBADMSG:
                complain("Instance %s answered what is not understood. Is it of another version?",
                        name);
                return EXIT_UNKNOWN;
        default:
                complain("Cannot talk to instance %s: %s", name, strerror(-error));
                return EXIT_UNKNOWN;
        }
}

/* Calls, and takes the reply apart. Returns 0 and the reply's parameters, lent by `ret_reply`; or
 * -errno, with the error in `ret_error` (lent, too) where it is one that the instance reported. */
static int call(const struct arguments *a, const char *name, const char *method, usec_t timeout,
        json_t **ret_reply, const json_t **ret_parameters, const char **ret_error)
{
        int r;

        *ret_error = NULL;
        r = instance_call(&a->places, name, method, timeout, ret_reply);
        if (r < 0)
                return r;
        if (!varlink_reply_parse(*ret_reply, ret_error, ret_parameters))
                return -EBADMSG;

        return *ret_error ? -EREMOTEIO : 0;
}

/* Returns 0 and the status, for the caller to release, or -errno. */
static int get_status(const struct arguments *a, const char *name, json_t **ret_status)
{
        static const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
        json_auto_t *reply = NULL;
        const json_t *parameters;
        const char *error;
        usec_t now = usec_now(), left = a->deadline - MIN(a->deadline, now);
        json_t *status;
        int r;

        /* An instance that has just ended hangs up before its socket goes; one that crashed will
         * be there again. */
        for (int i = 0; i < HANG_UPS_MAX; i++) {
                r = call(a, name, VARLINK_GET_STATUS, MAX(left, STATUS_MOMENT), &reply, &parameters,
                        &error);
                if (r != -ECONNRESET)
                        break;
                (void)nanosleep(&pause, NULL);
        }
        if (r < 0)
                return r == -EREMOTEIO ? -EBADMSG : r;

        status = json_object_get(parameters, "status");
        if (!json_is_object(status))
                return -EBADMSG;

        *ret_status = json_incref(status);
        return 0;
}

/* Returns an exit status. */
static int print_json(const json_t *json)
{
        if (!json || json_dumpf(json, stdout, JSON_INDENT(2)) < 0)
                return out_of_memory();
        fputc('\n', stdout);

        return 0;
}

/* --- list --- */

static int print_lines_as_json(const struct show_line *lines, size_t n)
{
        json_auto_t *list = json_array();

        for (size_t i = 0; list && i < n; i++) {
                const struct show_line *l = &lines[i];
                const char *state = json_string_value(json_object_get(l->status, "state"));

                (void)json_array_append_new(
                        list, json_pack("{s:o, s:s, s:b, s:O?}", "name", varlink_make_text(l->name),
                                      "state", state ?: l->state, "configured", l->configured,
                                      "status", l->status));
        }

        return print_json(list);
}

static int print_lines(const struct arguments *a, const struct show_line *lines, size_t n)
{
        if (a->json)
                return print_lines_as_json(lines, n);
        if (show_list(lines, n) < 0)
                return out_of_memory();
        for (size_t i = 0; i < n; i++)
                if (streq(lines[i].state, "running")) {
                        complain("Only root can see more.");
                        break;
                }

        return 0;
}

static int do_list(const struct arguments *a, char **names _unused_)
{
        _cleanup_(words_freep) char **all = NULL;
        bool seen = instance_can_be_seen(&a->places);
        struct show_line *lines;
        size_t n = 0;
        int r;

        r = instance_list(&a->places, &all);
        if (r < 0) {
                complain("Cannot look for instances: %s", strerror(-r));
                return EXIT_FAILURE;
        }

        while (all[n])
                n++;
        lines = calloc(n + 1, sizeof(*lines));
        if (!lines)
                return out_of_memory();
        for (size_t i = 0; i < n; i++) {
                json_t *status = NULL;

                r = get_status(a, all[i], &status);
                lines[i] = (struct show_line){
                        .name = all[i],
                        .state =
                                r == INSTANCE_STOPPED && !seen ? "unknown" : instance_name_error(r),
                        .status = status,
                        .configured = instance_is_configured(&a->places, all[i]),
                };
        }

        r = print_lines(a, lines, n);
        if (!seen)
                complain_of_root(a);
        for (size_t i = 0; i < n; i++)
                json_decref((json_t *)(uintptr_t)lines[i].status);
        free(lines);
        return r;
}

/* --- status --- */

/* Shows one; with JSON, adds it to `list`. Returns an exit status. */
static int show_one(const struct arguments *a, const char *name, bool only_running, json_t *list)
{
        json_auto_t *status = NULL;
        int r = get_status(a, name, &status);

        if (r == INSTANCE_STOPPED && only_running)
                return EXIT_NOT_RUNNING;
        if (r < 0)
                return explain(a, name, r);

        if (json_array_append(list, status) < 0)
                return out_of_memory();
        if (a->json)
                return 0;

        if (json_array_size(list) > 1)
                fputc('\n', stdout);
        return show_status(name, status) < 0 ? out_of_memory() : 0;
}

/* All that run. */
static int show_all(const struct arguments *a)
{
        json_auto_t *list = json_array();
        _cleanup_(words_freep) char **all = NULL;
        int r, status = EXIT_NOT_RUNNING;

        r = instance_list(&a->places, &all);
        if (r < 0) {
                complain("Cannot look for instances: %s", strerror(-r));
                return EXIT_FAILURE;
        }

        for (size_t i = 0; all[i]; i++) {
                r = show_one(a, all[i], true, list);
                if (r != EXIT_NOT_RUNNING)
                        status = status == EXIT_NOT_RUNNING ? r : MAX(status, r);
        }

        if (a->json)
                (void)print_json(list);
        if (status == EXIT_NOT_RUNNING && !instance_can_be_seen(&a->places)) {
                complain_of_root(a);
                return EXIT_UNKNOWN;
        }
        if (!a->json && status == EXIT_NOT_RUNNING)
                complain("No instance is running. See: acceptctl list");
        return status;
}

static int do_status(const struct arguments *a, char **names)
{
        json_auto_t *list = json_array();
        bool one = names[0] && !names[1];
        int status = 0;

        if (!names[0])
                return show_all(a);

        for (size_t i = 0; names[i]; i++)
                status = MAX(status, show_one(a, names[i], false, list));
        /* One that was asked for by its name is not put into a list. */
        if (a->json && (!one || status == 0) &&
                print_json(one ? json_array_get(list, 0) : list) != 0)
                return EXIT_FAILURE;

        return status;
}

/* --- reload --- */

static int explain_reload(const struct arguments *a, const char *name, int error)
{
        (void)explain(a, name, error);
        return error == INSTANCE_STOPPED && !instance_is_configured(&a->places, name)
                       ? EXIT_NO_INSTANCE
                       : EXIT_FAILURE;
}

static int cancel_reload(const struct arguments *a, const char *name)
{
        const json_t *parameters;
        json_auto_t *reply = NULL;
        const char *error;
        int r = call(a, name, VARLINK_CANCEL_RELOAD, STATUS_TIMEOUT, &reply, &parameters, &error);

        if (r >= 0)
                return a->json ? print_json(parameters) : 0;
        if (r != -EREMOTEIO)
                return explain_reload(a, name, r);

        error = streq(error, VARLINK_NO_RELOAD) ? "no reload is under way" : error;
        complain("Instance %s: %s", name, error);
        return EXIT_FAILURE;
}

static int do_reload(const struct arguments *a, char **names)
{
        const char *name = names[0], *error;
        const json_t *parameters = NULL;
        json_auto_t *reply = NULL;
        int r;

        if (a->cancel)
                return cancel_reload(a, name);

        r = call(a, name, VARLINK_RELOAD, RELOAD_TIMEOUT, &reply, &parameters, &error);
        if (r == -EREMOTEIO) {
                complain("Instance %s did not reload: %s", name,
                        json_string_value(json_object_get(parameters, "reason")) ?: error);
                return EXIT_FAILURE;
        }
        if (r < 0)
                return explain_reload(a, name, r);
        if (a->json)
                return print_json(parameters);
        printf("Generation %" JSON_INTEGER_FORMAT " of the workers is starting.\n",
                json_integer_value(json_object_get(parameters, "generation")));
        show_keys("Settings that changed:", json_object_get(parameters, "changed"));
        return 0;
}

static const struct command {
        const char *name;
        size_t names_min, names_max;
        int (*run)(const struct arguments *a, char **names);
} commands[] = {
        { "list", 0, 0, do_list },
        { "status", 0, SIZE_MAX, do_status },
        { "reload", 1, 1, do_reload },
};

/* Replaces each argument by the name of the instance in it. */
static bool parse_names(char **names, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                char *name = instance_parse_name(names[i]);

                if (!name) {
                        complain("\"%s\" cannot be the name of an instance.", names[i]);
                        while (i > 0)
                                free(names[--i]);
                        return false;
                }
                names[i] = name;
        }

        return true;
}

static int run(const struct arguments *a, const struct command *command, char **names, size_t n)
{
        int status;

        if (n < command->names_min || n > command->names_max) {
                complain("%s wants %s. Try acceptctl --help.", command->name,
                        command->names_max == 0 ? "no name" : "the name of one instance");
                return EXIT_FAILURE;
        }
        if (a->cancel && command->run != do_reload) {
                complain("--cancel is for reload. Try acceptctl --help.");
                return EXIT_FAILURE;
        }
        if (!parse_names(names, n))
                return EXIT_FAILURE;

        status = command->run(a, names);
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        if (fflush(stdout) != 0 || ferror(stdout)) {
                complain("Cannot write: %s", strerror(errno));
                return EXIT_FAILURE;
        }

        return status;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'V' },
                { "json", no_argument, NULL, 'j' },
                { "cancel", no_argument, NULL, 'c' },
                { "root", required_argument, NULL, 'r' },
                {},
        };
        struct arguments arguments = {
                .places.root = "",
                .deadline = usec_add(usec_now(), STATUS_TIMEOUT),
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        print_help();
                        return 0;
                case 'V':
                        printf("acceptctl " ACCEPTD_VERSION "\n");
                        return 0;
                case 'j':
                        arguments.json = true;
                        break;
                case 'c':
                        arguments.cancel = true;
                        break;
                case 'r':
                        arguments.places.root = optarg;
                        break;
                default:
                        fprintf(stderr, "Try acceptctl --help.\n");
                        return EXIT_FAILURE;
                }

        for (size_t i = 0; optind < argc && i < ELEMENTSOF(commands); i++)
                if (streq(argv[optind], commands[i].name))
                        return run(&arguments, &commands[i], argv + optind + 1,
                                (size_t)(argc - optind - 1));

        complain("%s. Try acceptctl --help.",
                optind < argc ? "There is no such command" : "A command is missing");
        return EXIT_FAILURE;
}
