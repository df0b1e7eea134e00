/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Starting a dispatcher under test: its command line, its environment, its descriptors. The rest of
 * its life is in harness.c.
 */

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "harness.h"

#define ARGUMENTS_MAX 64
#define PASSED_MAX    (HARNESS_SOCKETS + STORE_ENTRIES_MAX)

/* A user of this test's own, by chance: the kernel counts descriptors in flight by user, over all
 * containers. Of those that also exist in a container of an ordinary user, and nobody has. */
static uid_t any_user(void)
{
        uint32_t random;

        assert_int_equal(getrandom(&random, sizeof(random), 0), sizeof(random));
        return 20000 + random % 40000;
}

/* Returns 0 or -errno. */
static int become(uid_t user)
{
        if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
                setresuid(user, user, user) < 0)
                return -errno;

        return 0;
}

const char *harness_path(const char *relative)
{
        static char path[PATH_MAX + 128];
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        assert_true(n > 0);
        self[n] = '\0';
        *strrchr(self, '/') = '\0';
        (void)snprintf(path, sizeof(path), "%s/%s", self, relative);

        return path;
}

void harness_pass(struct harness *h, int fd_consume, const char *name)
{
        assert_true(fd_consume >= 0);
        assert_true(h->n_sockets < HARNESS_SOCKETS);
        h->sockets[h->n_sockets] = fd_consume;
        (void)snprintf(h->names[h->n_sockets], sizeof(h->names[0]), "%s", name);
        h->n_sockets++;
}

/* Sockets first, then what is stored, in another order than it came: names are all that counts. */
static size_t collect_passed(const struct harness *h, int *fds, const char **names)
{
        size_t n = 0;

        for (size_t i = 0; i < h->n_sockets; i++, n++) {
                fds[n] = h->sockets[i];
                names[n] = h->names[i];
        }
        for (size_t i = h->store.n; i-- > 0; n++) {
                fds[n] = h->store.entries[i].fd;
                names[n] = h->store.entries[i].name;
        }

        return n;
}

static void set_passed(const char *const *names, size_t n)
{
        static char text[PASSED_MAX * 64];
        char number[32];

        if (n == 0)
                return;

        for (size_t i = 0; i < n; i++) {
                size_t used = strlen(text);

                (void)snprintf(
                        text + used, sizeof(text) - used, "%s%s", i > 0 ? ":" : "", names[i]);
        }
        (void)setenv("LISTEN_FDNAMES", text, 1);
        (void)snprintf(number, sizeof(number), "%zu", n);
        (void)setenv("LISTEN_FDS", number, 1);
        (void)snprintf(number, sizeof(number), "%d", (int)getpid());
        (void)setenv("LISTEN_PID", number, 1);
}

/* Standard error is a pipe, and the test reads it as the journal would: with priorities. */
static void set_journal_stream(void)
{
        struct stat st;
        char text[64];

        if (fstat(STDERR_FILENO, &st) < 0)
                _exit(126);
        (void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        (void)setenv("JOURNAL_STREAM", text, 1);
}

static void set_environment(const struct harness *h, const struct harness_config *config,
        const char *const *names, size_t n_passed)
{
        static const char *const kept[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                "TSAN_OPTIONS" };
        const char *values[ELEMENTSOF(kept)];
        char text[128];

        for (size_t i = 0; i < ELEMENTSOF(kept); i++)
                values[i] = getenv(kept[i]);
        (void)clearenv();
        for (size_t i = 0; i < ELEMENTSOF(kept); i++)
                if (values[i])
                        (void)setenv(kept[i], values[i], 1);

        (void)setenv("PATH", "/usr/bin:/bin", 1);
        set_passed(names, n_passed);
        (void)snprintf(text, sizeof(text), "%d", (int)getpid());
        (void)setenv("SYSTEMD_EXEC_PID", text, 1);
        if (config->watchdog > 0)
                (void)setenv("WATCHDOG_PID", text, 1);
        (void)snprintf(text, sizeof(text), "%" PRIu64, config->watchdog);
        if (config->watchdog > 0)
                (void)setenv("WATCHDOG_USEC", text, 1);
        (void)snprintf(text, sizeof(text), "%zu", config->store);
        if (config->store > 0)
                (void)setenv("FDSTORE", text, 1);
        (void)snprintf(text, sizeof(text), "%s/notify", h->dir);
        (void)setenv("NOTIFY_SOCKET", text, 1);
        set_journal_stream();

        for (const char *const *e = config->environment; e && *e; e++)
                (void)putenv((char *)(uintptr_t)*e);
}

/* Puts the sockets on 3 and up, the pipe on 1 and 2, as a service gets them; all else is closed. */
static void set_descriptors(const int *fds, size_t n, int pipe_fd)
{
        int high[PASSED_MAX], log_fd, null_fd;

        log_fd = fcntl(pipe_fd, F_DUPFD_CLOEXEC, PASSED_MAX + 100);
        for (size_t i = 0; i < n; i++)
                high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, PASSED_MAX + 100);

        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd != STDIN_FILENO)
                (void)dup2(null_fd, STDIN_FILENO);
        (void)dup2(log_fd, STDOUT_FILENO);
        (void)dup2(log_fd, STDERR_FILENO);
        for (size_t i = 0; i < n; i++)
                (void)dup2(high[i], 3 + (int)i);

        (void)syscall(SYS_close_range, 3 + (unsigned)n, ~0U, 0);
}

static void run_dispatcher(const struct harness *h, const struct harness_config *config,
        const char *program, const char *const *argv, int pipe_fd)
{
        const char *names[PASSED_MAX];
        int fds[PASSED_MAX];
        size_t n = collect_passed(h, fds, names);
        sigset_t none;

        (void)setpgid(0, 0); /* a signal from the terminal is for the test */
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        set_descriptors(fds, n, pipe_fd);
        set_environment(h, config, names, n);
        if (config->nofile > 0)
                (void)setrlimit(RLIMIT_NOFILE,
                        &(struct rlimit){ .rlim_cur = config->nofile, .rlim_max = config->nofile });

        if (config->subreaper)
                (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        if (config->unprivileged && geteuid() == 0 && become(h->user) < 0)
                _exit(126);

        execv(program, (char *const *)(uintptr_t)argv);
        dprintf(STDERR_FILENO, "harness: %s: %s\n", program, strerror(errno));
        _exit(127);
}

static size_t add_words(const char **argv, size_t n, const char *before, const char *const *words)
{
        for (; words && *words; words++) {
                assert_true(n + 3 < ARGUMENTS_MAX);
                if (before)
                        argv[n++] = before;
                argv[n++] = *words;
        }

        return n;
}

/* Another user may not get to where these were built. `path` becomes that of the copy. */
void harness_copy_program(const struct harness *h, const char *name, char path[static PATH_MAX])
{
        _cleanup_(fd_closep) int from = open(path, O_RDONLY | O_CLOEXEC), to = -1;
        struct stat st;

        assert_true(from >= 0);
        assert_int_equal(fstat(from, &st), 0);
        (void)snprintf(path, PATH_MAX, "%s/%s", h->dir, name);
        (void)unlink(path); /* workers of an earlier dispatcher may still run it */
        to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        assert_true(to >= 0);
        assert_int_equal(fchmod(to, 0755), 0);
        assert_int_equal(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
}

/* As they are installed, unless the test wants less. */
static void copy_programs(struct harness *h, const struct harness_config *config,
        char program[static PATH_MAX], char stub[static PATH_MAX])
{
        char confine[PATH_MAX];

        harness_copy_program(h, "acceptd", program);
        assert_int_equal(chmod(program, config->readable ? 0755 : 0711), 0);
        harness_copy_program(h, "stub-worker", stub);
        (void)snprintf(confine, sizeof(confine), "%s", harness_path("../../acceptd-confine"));
        if (!config->unconfined)
                harness_copy_program(h, "acceptd-confine", confine);
        if (h->user == 0)
                h->user = any_user();
}

/* What a dispatcher of another user needs of this test's folder. */
static void admit_everybody(const struct harness *h)
{
        char notify[128];

        (void)snprintf(notify, sizeof(notify), "%s/notify", h->dir);
        assert_int_equal(chmod(h->dir, 0755), 0);
        assert_int_equal(chmod(notify, 0666), 0);
        assert_int_equal(chmod(h->marks + strlen("--marks="), 0777), 0);
        assert_int_equal(chmod(h->fifo, 0666), 0);
}

/* Makes the pipe for what is written, or takes the one that workers of a dispatcher that was killed
 * write to. Returns the end to write to. */
static int open_log(struct harness *h)
{
        char path[64];
        int ends[2], fd;

        if (h->log_fd >= 0) {
                (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", h->log_fd);
                fd = open(path, O_WRONLY | O_CLOEXEC);
                assert_true(fd >= 0);
                return fd;
        }

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        (void)fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
        assert_int_equal(fd_set_nonblock(ends[0]), 0);
        h->log_fd = ends[0];
        return ends[1];
}

void harness_start_config(struct harness *h, const struct harness_config *config)
{
        char program[PATH_MAX], stub[PATH_MAX];
        const char *argv[ARGUMENTS_MAX] = { program };
        size_t n = 1;
        int log_fd;

        (void)snprintf(program, sizeof(program), "%s",
                config->program && config->program[0] == '/'
                        ? config->program
                        : harness_path(config->program ?: "../../acceptd"));
        (void)snprintf(stub, sizeof(stub), "%s", harness_path("stub-worker"));

        if (config->unprivileged)
                copy_programs(h, config, program, stub);
        n = add_words(argv, n, NULL, config->arguments);
        n = add_words(argv, n, "-o", config->options);
        if (config->command)
                n = add_words(argv, n, NULL, config->command[0] ? WORDS("--") : NULL);
        else
                n = add_words(argv, n, NULL, WORDS("--", stub));
        n = add_words(argv, n, NULL, config->command ?: config->stub);
        argv[n] = NULL;

        if (config->unprivileged)
                admit_everybody(h);

        if (h->store.max == 0)
                h->store.max = config->store;
        log_fd = open_log(h);
        h->pid = fork();
        assert_true(h->pid >= 0);
        if (h->pid == 0)
                run_dispatcher(h, config, program, argv, log_fd);

        (void)fd_close(log_fd);
        h->pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0);
        assert_true(h->pidfd >= 0);
}
