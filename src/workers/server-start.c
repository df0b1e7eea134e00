/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the program behind acceptd-listen finds when it starts: listening sockets, and an
 * environment as the service manager would have made it. It must not know what comes after the
 * start.
 */

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/executable.h"
#include "base/fd.h"
#include "base/words.h"
#include "workers/family.h"
#include "workers/program.h"
#include "workers/server.h"

#define LISTENERS_MAX 1024
#define NEW_VARIABLES 6

/* What is between the dispatcher and this process, or will be between this process and the program
 * and is made anew. */
static const char *const private_variables[] = { "ACCEPTD_", "LISTEN_FDS=", "LISTEN_FDNAMES=",
        "LISTEN_PID=", "LISTEN_PIDFDID=", "NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC=" };

/* Strings of an environment: those in `own` are not to be freed. */
struct environment {
        char **strings; /* NULL-terminated */
        size_t n;
        char listen_pid[PROGRAM_OWN_PID_MAX], watchdog_pid[PROGRAM_OWN_PID_MAX];
        char *own_pid[3];
        char notify[sizeof("NOTIFY_SOCKET=") + NOTIFY_SOCKET_NAME_MAX];
        char watchdog[sizeof("WATCHDOG_USEC=") + 20];
        char n_listeners[sizeof("LISTEN_FDS=") + 10];
        char *names;
};

static void environment_done(struct environment *environment)
{
        free(environment->strings);
        free(environment->names);
}

static bool is_private(const char *assignment)
{
        for (size_t i = 0; i < ELEMENTSOF(private_variables); i++)
                if (startswith(assignment, private_variables[i]))
                        return true;

        return false;
}

static void add(struct environment *environment, char *string)
{
        environment->strings[environment->n++] = string;
}

static int copy_variables(struct environment *environment)
{
        size_t n = 0;

        while (environ[n])
                n++;
        environment->strings = calloc(n + NEW_VARIABLES + 1, sizeof(char *));
        if (!environment->strings)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++)
                if (!is_private(environ[i]))
                        add(environment, environ[i]);
        return 0;
}

/* Returns 0 or -ENOMEM. */
static int environment_init(struct environment *environment, const struct server_options *options,
        unsigned n_listeners, const char *notify_name)
{
        const char *names = getenv("ACCEPTD_LISTEN_FDNAMES") ?: "";
        char **own_pid = environment->own_pid;

        if (copy_variables(environment) < 0)
                return -ENOMEM;

        (void)snprintf(
                environment->notify, sizeof(environment->notify), "NOTIFY_SOCKET=%s", notify_name);
        add(environment, environment->notify);

        if (options->watchdog != USEC_INFINITY) {
                (void)snprintf(environment->watchdog, sizeof(environment->watchdog),
                        "WATCHDOG_USEC=%" PRIu64, options->watchdog);
                add(environment, environment->watchdog);
                add(environment, strcpy(environment->watchdog_pid, "WATCHDOG_PID="));
                *own_pid++ = environment->watchdog_pid;
        }

        if (options->on_stdin)
                return 0;

        (void)snprintf(environment->n_listeners, sizeof(environment->n_listeners), "LISTEN_FDS=%u",
                n_listeners);
        add(environment, environment->n_listeners);
        if (asprintf(&environment->names, "LISTEN_FDNAMES=%s", names) < 0) {
                environment->names = NULL;
                return -ENOMEM;
        }
        add(environment, environment->names);
        add(environment, strcpy(environment->listen_pid, "LISTEN_PID="));
        *own_pid = environment->listen_pid;
        return 0;
}

/* Returns how many there are, or the negative status to exit with. */
static int count_listeners(bool on_stdin)
{
        const char *text = getenv("ACCEPTD_LISTEN_FDS");
        uint64_t n;

        if (!text) {
                server_say("no listening sockets were passed on: Accept=no belongs into [Pool]");
                return -EX_CONFIG;
        }

        if (!words_parse_number(text, 1, LISTENERS_MAX, &n)) {
                server_say("$ACCEPTD_LISTEN_FDS is %s", text);
                return -EX_USAGE;
        }
        if (on_stdin && n != 1) {
                server_say("--stdin: the instance has %" PRIu64 " listening sockets, descriptor 0 "
                           "can be only one",
                        n);
                return -EX_CONFIG;
        }

        return (int)n;
}

/* Returns how many descriptors the program has, and which, of `fds` with `n` listening sockets. */
static size_t place_descriptors(int *places, const int *fds, unsigned n, bool on_stdin)
{
        places[STDIN_FILENO] = on_stdin ? fds[0] : -1;
        places[STDOUT_FILENO] = places[STDERR_FILENO] = -1;
        if (on_stdin)
                return STDERR_FILENO + 1;

        memcpy(places + STDERR_FILENO + 1, fds, n * sizeof(int));
        return STDERR_FILENO + 1 + n;
}

/* FastCGI programs wait in accept(), and end when they cannot. Where it is not possible it shows.
 */
static void set_blocking(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        if (flags >= 0 && flags & O_NONBLOCK)
                (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* The program gets what is open at `fds`; nothing of it stays open here. */
static int start(struct server *server, int *fds, unsigned n, const char *notify_name)
{
        __attribute__((cleanup(environment_done))) struct environment environment = {};
        _cleanup_(freep) char *path = NULL;
        const struct server_options *options = &server->options;
        int places[STDERR_FILENO + 1 + LISTENERS_MAX], r;
        struct program program = {
                .argv = options->command,
                .own_pid = environment.own_pid,
                .fds = places,
                .n_fds = place_descriptors(places, fds, n, options->on_stdin),
                .own_group = true,
        };

        r = environment_init(&environment, options, n, notify_name);
        if (r >= 0)
                r = executable_find(options->command[0], EXECUTABLE_SEARCH_PATH, &path);
        if (r >= 0)
                r = guard_init(&server->guard, SERVER_GROUPS);
        if (r < 0)
                return r;

        program.path = path;
        program.environment = environment.strings;
        program.note = &server->guard.groups[SERVER_GROUP];
        if (options->on_stdin)
                set_blocking(fds[0]);
        r = program_start(&program, &server->pid);
        for (unsigned i = 0; i < n; i++)
                fd_close(fds[i]);
        if (r < 0)
                return r;

        server->pidfd = pidfd_open(server->pid, 0);
        return server->pidfd < 0 ? -errno : 0;
}

int server_start(struct server *server, const struct server_options *options)
{
        int fds[LISTENERS_MAX], n, r;
        char notify_name[NOTIFY_SOCKET_NAME_MAX];
        usec_t now = usec_now();

        *server = (struct server){
                .options = *options,
                .notify_fd = -1,
                .pidfd = -1,
                .ready_at = usec_add(now, options->ready_after),
                .watchdog = options->watchdog,
                .watchdog_at = USEC_INFINITY,
                .kill_at = USEC_INFINITY,
                .status_told = true,
        };

        n = count_listeners(options->on_stdin);
        if (n < 0)
                return -n;
        assert(n >= 1);
        for (int i = 0; i < n; i++) {
                fds[i] = SERVER_FIRST_LISTENER + i;
                r = fd_set_cloexec(fds[i], true);
                if (r < 0) {
                        server_say("descriptor %d should be a listening socket: %s", fds[i],
                                strerror(-r));
                        return EX_USAGE;
                }
        }

        server->notify_fd = r = notify_socket_open(notify_name);
        if (r >= 0)
                r = family_adopt();
        if (r >= 0)
                r = start(server, fds, (unsigned)n, notify_name);
        if (r < 0) {
                server_end(server);
                server_say("cannot start %s: %s", options->command[0], strerror(-r));
                return r == -ENOENT ? 127 : 126;
        }

        return 0;
}
