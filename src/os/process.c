/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Starting, signalling and reaping worker processes. Knows nothing of pools.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/pidfd-info.h"
#include "os/process.h"

/* Set by the service manager for the dispatcher, or by whoever started it: nothing for workers. */
static const char *const private_variables[] = {
        "LISTEN_FDS=",
        "LISTEN_FDNAMES=",
        "LISTEN_PID=",
        "LISTEN_PIDFDID=",
        "NOTIFY_SOCKET=",
        "WATCHDOG_PID=",
        "WATCHDOG_USEC=",
        "FDSTORE=",
        "SYSTEMD_EXEC_PID=",
        "JOURNAL_STREAM=",
        "ACCEPTD_ADOPT=",
        "ACCEPTD_CHECK_LEDGER=",
        "ACCEPTD_CHANNEL=",
        "ACCEPTD_FEATURES=",
        "ACCEPTD_LISTENERS=",
        "ACCEPTD_LISTEN_FDS=",
        "ACCEPTD_LISTEN_FDNAMES=",
        "ACCEPTD_WORKER=",
        "ACCEPTD_INSTANCE=",
};

static bool is_private(const char *assignment)
{
        for (size_t i = 0; i < ELEMENTSOF(private_variables); i++)
                if (startswith(assignment, private_variables[i]))
                        return true;

        return false;
}

int process_template_init(struct process_template *template, char **argv, const char *instance,
        const char *listeners, uint32_t features)
{
        size_t n = 0;
        char **env;

        *template = (struct process_template){ .argv = argv };

        while (environ[n])
                n++;
        env = template->environment = calloc(n + 8, sizeof(char *));
        if (!env)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++) {
                if (is_private(environ[i]))
                        continue;
                *env = strdup(environ[i]);
                if (!*env++)
                        goto fail;
        }
        if (asprintf(env++, "ACCEPTD_CHANNEL=%d", PROCESS_CHANNEL_FD) < 0 ||
                asprintf(env++, "ACCEPTD_FEATURES=%" PRIu32, features) < 0 ||
                asprintf(env++, "ACCEPTD_LISTENERS=%s", listeners) < 0 ||
                asprintf(env++, "ACCEPTD_INSTANCE=%s", instance) < 0)
                goto fail;

        /* The last place is filled at each start. */
        template->worker_at = (size_t)(env - template->environment);
        return 0;

fail:
        env[-1] = NULL;
        process_template_done(template);
        return -ENOMEM;
}

int process_template_lend(
        struct process_template *template, const int *fds, size_t n, const char *names)
{
        char **env = template->environment + template->worker_at;
        int r;

        template->listeners = calloc(n, sizeof(*template->listeners));
        if (!template->listeners)
                return -ENOMEM;

        /* Beyond all places in the worker: none of them is overwritten before it has got there. */
        for (; template->n_listeners < n; template->n_listeners++) {
                r = fcntl(fds[template->n_listeners], F_DUPFD_CLOEXEC, PROCESS_LISTEN_FD + (int)n);
                if (r < 0)
                        return -errno;
                template->listeners[template->n_listeners] = r;
        }

        if (asprintf(&env[0], "ACCEPTD_LISTEN_FDS=%zu", n) < 0) {
                env[0] = NULL;
                return -ENOMEM;
        }
        template->worker_at++;
        if (asprintf(&env[1], "ACCEPTD_LISTEN_FDNAMES=%s", names) < 0) {
                env[1] = NULL;
                return -ENOMEM;
        }
        template->worker_at++;
        return 0;
}

void process_template_done(struct process_template *template)
{
        for (size_t i = 0; i < template->n_listeners; i++)
                fd_close(template->listeners[i]);
        free(TAKE_PTR(template->listeners));
        template->n_listeners = 0;
        for (char **e = template->environment; e && *e; e++)
                free(*e);
        free(TAKE_PTR(template->environment));
}

/* Own process group, default signal handlers, empty mask. Not an own session: the scheduler would
 * take each worker for a group of its own (autogroup: sched(7)), with as much weight as all else
 * together, and let it preempt the dispatcher for every single connection. */
static int set_attributes(posix_spawnattr_t *attributes, bool leave_batch)
{
        const struct sched_param parameters = {};
        short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
        sigset_t all, none;
        int r;

        sigfillset(&all);
        sigemptyset(&none);

        r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setpgroup(attributes, 0);
        if (r == 0 && leave_batch) {
                flags |= POSIX_SPAWN_SETSCHEDULER;
                r = posix_spawnattr_setschedpolicy(attributes, SCHED_OTHER);
                if (r == 0)
                        r = posix_spawnattr_setschedparam(attributes, &parameters);
        }
        if (r == 0)
                r = posix_spawnattr_setflags(attributes, flags);

        return r;
}

/* 0 from /dev/null, 1 and 2 as they are, the channel, listeners that are lent, nothing else. The
 * channel goes first: it may be where a listener goes. */
static int set_descriptors(posix_spawn_file_actions_t *actions,
        const struct process_template *template, const int *channel_fd)
{
        int n = (int)template->n_listeners, r;

        r = posix_spawn_file_actions_addopen(
                actions, STDIN_FILENO, "/dev/null", O_RDONLY | O_NOCTTY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(actions, *channel_fd, PROCESS_CHANNEL_FD);
        for (int i = 0; r == 0 && i < n; i++)
                r = posix_spawn_file_actions_adddup2(
                        actions, template->listeners[i], PROCESS_LISTEN_FD + i);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(actions, PROCESS_LISTEN_FD + n);

        return r;
}

/* What it finds, what is wrong, the ledger, and nothing else. Each of these has a higher number
 * here: those up to 2 are always open. */
#define CHECK_LEDGER_FD 3
static int set_descriptors_of_check(posix_spawn_file_actions_t *actions,
        const struct process_template *template _unused_, const int *fds)
{
        int r;

        r = posix_spawn_file_actions_addopen(
                actions, STDIN_FILENO, "/dev/null", O_RDONLY | O_NOCTTY, 0);
        for (int i = 0; r == 0 && i < 3; i++)
                r = posix_spawn_file_actions_adddup2(actions, fds[i], STDOUT_FILENO + i);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(actions, CHECK_LEDGER_FD + 1);

        return r;
}

static bool set_batch(void)
{
        const struct sched_param parameters = {};

        return sched_setscheduler(0, SCHED_BATCH, &parameters) == 0;
}

void process_set_batch(void)
{
        if (sched_getscheduler(0) == SCHED_OTHER)
                (void)set_batch();
}

/* A system call filter that forbids a change of policy would make posix_spawn() fail. To set what
 * is set already shows whether there is one. */
static bool can_leave_batch(void)
{
        return sched_getscheduler(0) == SCHED_BATCH && set_batch();
}

/* Returns the command line of what confines a process, and then executes it; for the caller to
 * free. NULL without memory. */
static char **make_confined_argv(const struct process_template *template, char **argv_behind)
{
        size_t n = 0;
        char **argv;

        while (argv_behind[n])
                n++;
        argv = calloc(n + 2, sizeof(char *));
        if (!argv)
                return NULL;

        argv[0] = template->confine;
        memcpy(argv + 1, argv_behind, n * sizeof(char *));
        return argv;
}

/* Returns the pid, or -errno. This process stands still until the program is executed. What
 * confines it lies beside this program, and then waits alone for the program itself. */
static pid_t spawn(const struct process_template *template, char **argv,
        int (*set)(posix_spawn_file_actions_t *actions, const struct process_template *template,
                const int *fds),
        const int *fds)
{
        _cleanup_(freep) char **confined = NULL;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        pid_t pid;
        int r;

        if (template->confine) {
                confined = make_confined_argv(template, argv);
                if (!confined)
                        return -ENOMEM;
                argv = confined;
        }

        r = posix_spawnattr_init(&attributes);
        if (r != 0)
                return -r;
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0) {
                posix_spawnattr_destroy(&attributes);
                return -r;
        }

        r = set_attributes(&attributes, template->leave_batch && can_leave_batch());
        if (r == 0)
                r = set(&actions, template, fds);
        if (r == 0)
                r = posix_spawn(&pid, argv[0], &actions, &attributes, argv, template->environment);

        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        return r == 0 ? pid : -r;
}

/* Descriptors in flight are counted over all processes of a user, against the limit of the one that
 * sends: unix(7), ETOOMANYREFS. A worker that floods itself with them reaches its own limit before
 * it comes to the dispatcher's. The soft one is inherited: the worker never sees another. */
static pid_t spawn_with_lower_limit(const struct process_template *template, int channel_fd)
{
        struct rlimit limit, lower;
        pid_t pid;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;

        lower = limit;
        lower.rlim_cur -= lower.rlim_cur / 8;
        (void)setrlimit(RLIMIT_NOFILE, &lower);
        pid = spawn(template, template->argv, set_descriptors, &channel_fd);
        (void)setrlimit(RLIMIT_NOFILE, &limit);

        if (pid > 0) {
                lower.rlim_max = lower.rlim_cur;
                (void)prlimit(pid, RLIMIT_NOFILE, &lower, NULL);
        }
        return pid;
}

/* Children that were killed, and had not ended when they were looked at. That can take long: in a
 * debugger, or asleep where no signal reaches them. */
#define LEFT_MAX 64

static struct {
        pid_t pids[LEFT_MAX];
        size_t n;
} left;

void process_reap_left(void)
{
        for (size_t i = 0; i < left.n;)
                if (waitpid(left.pids[i], NULL, WNOHANG) == 0)
                        i++;
                else
                        left.pids[i] = left.pids[--left.n];
}

static void leave(pid_t pid)
{
        process_reap_left();
        if (left.n < LEFT_MAX) /* else its zombie stays */
                left.pids[left.n++] = pid;
}

/* Gives a child away, with a pidfd. Where there is none, the child is ended. `pid` may be -errno.
 * Returns 0 or -errno. */
static int give(pid_t pid, pid_t *ret_pid, int *ret_pidfd)
{
        int pidfd;

        if (pid < 0)
                return pid;

        pidfd = pidfd_open(pid, 0);
        if (pidfd < 0) {
                int r = -errno;

                /* Not reaped yet, so the number is still this process'. */
                (void)kill(pid, SIGKILL);
                leave(pid);
                return r;
        }

        *ret_pid = pid;
        *ret_pidfd = pidfd;
        return 0;
}

int process_spawn(const struct process_template *template, uint64_t number, int channel_fd,
        pid_t *ret_pid, int *ret_pidfd)
{
        char worker[sizeof("ACCEPTD_WORKER=18446744073709551615")];
        pid_t pid;

        process_reap_left();
        (void)snprintf(worker, sizeof(worker), "ACCEPTD_WORKER=%" PRIu64, number);
        template->environment[template->worker_at] = worker;
        pid = spawn_with_lower_limit(template, channel_fd);
        template->environment[template->worker_at] = NULL;

        return give(pid, ret_pid, ret_pidfd);
}

int process_spawn_check(const struct process_template *template, char **argv,
        const struct process_check_fds *fds, pid_t *ret_pid, int *ret_pidfd)
{
        const int numbers[] = { fds->out, fds->err, fds->ledger };
        char ledger[] = PROCESS_CHECK_LEDGER "=3";
        pid_t pid;

        template->environment[template->worker_at] = ledger;
        pid = spawn(template, argv, set_descriptors_of_check, numbers);
        template->environment[template->worker_at] = NULL;

        return give(pid, ret_pid, ret_pidfd);
}

pid_t process_get_pid(int pidfd)
{
        char path[48], line[128];
        _cleanup_(fclosep) FILE *f = NULL;
        int pid = 0;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "Pid: %d", &pid) == 1)
                        break;

        return MAX(pid, 0);
}

void process_signal(int pidfd, int signal)
{
        (void)pidfd_send_signal(pidfd, signal, NULL, 0);
}

struct process_end process_reap(pid_t pid, int pidfd)
{
        siginfo_t info = {};

        /* A worker that an earlier process of this program started is not a child of this one. */
        if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
                pidfd_info_signal_group(pidfd, SIGKILL);
                return pidfd_info_get_end(pidfd);
        }

        /* While it is a zombie its number, and so its group's, belongs to nobody else. */
        (void)kill(-pid, SIGKILL);

        /* What is slow to end must not hold up the dispatcher. */
        info.si_pid = 0;
        if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
                return (struct process_end){};
        if (info.si_pid == 0)
                leave(pid);

        return (struct process_end){ .code = info.si_code, .status = info.si_status };
}
