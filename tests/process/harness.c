/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of one dispatcher under test. Called by the tests of this folder; knows the interface of
 * the program (its command line, its environment, what it writes), and nothing of its insides.
 *
 * The test process is the subreaper of everything that it starts, so that whatever outlives the
 * dispatcher becomes its child: nothing can escape the check at the end.
 */

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "harness.h"
#include "procfs.h"

#define ARGUMENTS_MAX 64
#define CHILDREN_MAX  256

/* A user of this test's own, by chance: the kernel counts descriptors in flight by user, over all
 * containers. Of those that also exist in a container of an ordinary user, and nobody has. */
static uid_t any_user(void)
{
        uint32_t random;

        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
                _exit(126);
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

static int open_pidfd(pid_t pid)
{
        return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* What was written */

static void append(struct transcript *t, const char *data, size_t size)
{
        t->text = realloc(t->text, t->size + size + 1);
        assert_non_null(t->text);
        memcpy(t->text + t->size, data, size);
        t->size += size;
        t->text[t->size] = '\0';
}

static bool line_has(const char *line, size_t length, const char *const *words)
{
        for (; *words; words++)
                if (!memmem(line, length, *words, strlen(*words)))
                        return false;

        return true;
}

/* Finds the first whole line at or after *at that has all of the words, and moves *at past it. */
static const char *find_line(const struct transcript *t, size_t *at, const char *const *words)
{
        static char found[4096];

        while (*at < t->size) {
                const char *line = t->text + *at;
                const char *end = memchr(line, '\n', t->size - *at);
                size_t length;

                if (!end)
                        return NULL;
                length = (size_t)(end - line);
                *at += length + 1;
                if (line_has(line, length, words)) {
                        (void)snprintf(found, sizeof(found), "%.*s", (int)length, line);
                        return found;
                }
        }

        return NULL;
}

unsigned harness_count(const struct transcript *t, const char *const *words)
{
        size_t at = 0;
        unsigned n = 0;

        while (find_line(t, &at, words))
                n++;

        return n;
}

/* Returns false at end of file. */
static bool read_log(struct harness *h)
{
        char data[65536];
        ssize_t n;

        while ((n = read(h->log_fd, data, sizeof(data))) > 0)
                append(&h->log, data, (size_t)n);

        return n != 0;
}

static void read_notify(struct harness *h)
{
        char data[8192];
        ssize_t n;

        while ((n = recv(h->notify_fd, data, sizeof(data), MSG_DONTWAIT)) >= 0) {
                append(&h->notify, data, (size_t)n);
                append(&h->notify, "\n", 1);
        }
}

/* One round of reading. Returns the events on `fd`. */
static short pump(struct harness *h, int fd, short events, int timeout)
{
        struct pollfd fds[] = {
                { .fd = h->log_fd, .events = POLLIN },
                { .fd = h->notify_fd, .events = POLLIN },
                { .fd = fd, .events = events },
        };

        if (poll(fds, ELEMENTSOF(fds), timeout) < 0 && errno != EINTR)
                fail_msg("poll: %s", strerror(errno));
        if (fds[0].revents && !read_log(h))
                h->log_fd = fd_close(h->log_fd); /* all who could write are gone */
        if (fds[1].revents)
                read_notify(h);

        return fds[2].revents;
}

static int milliseconds_until(usec_t deadline)
{
        usec_t now = usec_now();

        return now >= deadline ? 0 : (int)((deadline - now) / USEC_PER_MSEC) + 1;
}

short harness_wait(struct harness *h, int fd, short events)
{
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);

        if (fd < 0)
                return pump(h, -1, 0, 0);

        while (usec_now() < deadline) {
                short got = pump(h, fd, events, milliseconds_until(deadline));

                if (got)
                        return got;
        }

        fail_msg("nothing happened on descriptor %d until the deadline", fd);
        return 0;
}

static void fail_without(const struct transcript *t, const char *const *words, const char *why)
{
        char text[512] = "";

        for (; *words; words++) {
                size_t used = strlen(text);

                (void)snprintf(text + used, sizeof(text) - used, " \"%s\"", *words);
        }
        fail_msg("no line with%s after byte %zu: %s", text, t->cursor, why);
}

const char *harness_await(struct harness *h, struct transcript *t, const char *const *words)
{
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);
        size_t at = t->cursor;
        const char *line;

        while (!(line = find_line(t, &at, words))) {
                if (h->log_fd < 0)
                        fail_without(t, words, "all processes ended");
                if (usec_now() >= deadline)
                        fail_without(t, words, "deadline");
                (void)pump(h, -1, 0, milliseconds_until(deadline));
        }

        t->cursor = at;
        return line;
}

void harness_await_ready(struct harness *h)
{
        harness_await_notify(h, "READY=1");
}

struct stub_id harness_await_stub(struct harness *h, const char *says)
{
        const char *line = harness_await_line(h, "stub worker=", says);
        struct stub_id id;

        if (sscanf(line, "stub worker=%u pid=%d", &id.worker, &id.pid) != 2)
                fail_msg("\"%s\" does not say which worker it is", line);

        return id;
}

/* By what the dispatcher says, from the begin and not from the cursor: lines of several workers
 * come in any order. */
void harness_await_workers(struct harness *h, unsigned n)
{
        size_t cursor = h->log.cursor;

        h->log.cursor = 0;
        for (; n > 0; n--)
                harness_await_line(h, "orker ", " is ready");
        h->log.cursor = cursor;
}

void harness_release(struct harness *h)
{
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);
        int fd;

        /* Without O_NONBLOCK it would wait for a reader, but also for one that never comes. */
        while ((fd = open(h->fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
                assert_int_equal(errno, ENXIO);
                if (usec_now() >= deadline)
                        fail_msg("no worker waits at the FIFO");
                (void)pump(h, -1, 0, 1);
        }
        (void)fd_close(fd);
}

/* Counters */

static uint64_t parse_counter(const char *line, const char *key)
{
        char pattern[32];
        const char *at;

        (void)snprintf(pattern, sizeof(pattern), " %s=", key);
        at = strstr(line, pattern);
        if (!at)
                fail_msg("no %s in \"%s\"", key, line);

        return strtoull(at + strlen(pattern), NULL, 10);
}

struct counters harness_counters(struct harness *h)
{
        size_t cursor = h->log.cursor;
        struct counters c;
        const char *line;

        (void)harness_wait(h, -1, 0);
        h->log.cursor = h->log.size;
        assert_int_equal(kill(h->pid, SIGUSR1), 0);
        line = harness_await_line(h, "counters: ");
        h->log.cursor = cursor; /* what came in between is still to be found */

        line = strstr(line, "counters: ") + strlen("counters:");
        c = (struct counters){
                .accepted = parse_counter(line, "accepted"),
                .open = parse_counter(line, "open"),
                .done = parse_counter(line, "done"),
                .lost = parse_counter(line, "lost"),
                .refused = parse_counter(line, "refused"),
                .taken_back = parse_counter(line, "taken-back"),
        };
        if (c.accepted != c.open + c.done + c.lost + c.refused)
                fail_msg("accepted = open + done + lost + refused does not hold:%s", line);

        return c;
}

struct counters harness_await_counter_at(
        struct harness *h, const char *name, size_t offset, uint64_t value)
{
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);

        for (int pause = 1;; pause = MIN(2 * pause, 100)) {
                struct counters c = harness_counters(h);
                uint64_t now;

                memcpy(&now, (const char *)&c + offset, sizeof(now));
                if (now == value)
                        return c;
                if (usec_now() >= deadline)
                        fail_msg("counter %s is %" PRIu64 ", not %" PRIu64, name, now, value);
                (void)pump(h, -1, 0, pause);
        }
}

/* Start */

void harness_pass(struct harness *h, int fd_consume, const char *name)
{
        assert_true(fd_consume >= 0);
        assert_true(h->n_sockets < HARNESS_SOCKETS);
        h->sockets[h->n_sockets] = fd_consume;
        (void)snprintf(h->names[h->n_sockets], sizeof(h->names[0]), "%s", name);
        h->n_sockets++;
}

static void set_environment(const struct harness *h, const struct harness_config *config)
{
        static const char *const kept[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                "TSAN_OPTIONS" };
        const char *values[ELEMENTSOF(kept)];
        char text[HARNESS_SOCKETS * 64] = "";

        for (size_t i = 0; i < ELEMENTSOF(kept); i++)
                values[i] = getenv(kept[i]);
        (void)clearenv();
        for (size_t i = 0; i < ELEMENTSOF(kept); i++)
                if (values[i])
                        (void)setenv(kept[i], values[i], 1);

        (void)setenv("PATH", "/usr/bin:/bin", 1);
        for (size_t i = 0; i < h->n_sockets; i++) {
                size_t used = strlen(text);

                (void)snprintf(
                        text + used, sizeof(text) - used, "%s%s", i > 0 ? ":" : "", h->names[i]);
        }
        if (h->n_sockets > 0)
                (void)setenv("LISTEN_FDNAMES", text, 1);
        (void)snprintf(text, sizeof(text), "%zu", h->n_sockets);
        if (h->n_sockets > 0)
                (void)setenv("LISTEN_FDS", text, 1);
        (void)snprintf(text, sizeof(text), "%d", (int)getpid());
        if (h->n_sockets > 0)
                (void)setenv("LISTEN_PID", text, 1);
        if (config->watchdog > 0)
                (void)setenv("WATCHDOG_PID", text, 1);
        (void)snprintf(text, sizeof(text), "%" PRIu64, config->watchdog);
        if (config->watchdog > 0)
                (void)setenv("WATCHDOG_USEC", text, 1);
        (void)snprintf(text, sizeof(text), "%s/notify", h->dir);
        (void)setenv("NOTIFY_SOCKET", text, 1);

        for (const char *const *e = config->environment; e && *e; e++)
                (void)putenv((char *)(uintptr_t)*e);
}

/* Puts the sockets on 3 and up, the pipe on 1 and 2, as a service gets them; all else is closed. */
static void set_descriptors(const struct harness *h, int pipe_fd)
{
        int high[HARNESS_SOCKETS], log_fd, null_fd;

        log_fd = fcntl(pipe_fd, F_DUPFD_CLOEXEC, 100);
        for (size_t i = 0; i < h->n_sockets; i++)
                high[i] = fcntl(h->sockets[i], F_DUPFD_CLOEXEC, 100);

        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd != STDIN_FILENO)
                (void)dup2(null_fd, STDIN_FILENO);
        (void)dup2(log_fd, STDOUT_FILENO);
        (void)dup2(log_fd, STDERR_FILENO);
        for (size_t i = 0; i < h->n_sockets; i++)
                (void)dup2(high[i], 3 + (int)i);

        (void)syscall(SYS_close_range, 3 + (unsigned)h->n_sockets, ~0U, 0);
}

static void run_dispatcher(const struct harness *h, const struct harness_config *config,
        const char *program, const char *const *argv, int pipe_fd)
{
        sigset_t none;

        (void)setpgid(0, 0); /* a signal from the terminal is for the test */
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        set_environment(h, config);
        set_descriptors(h, pipe_fd);
        if (config->nofile > 0)
                (void)setrlimit(RLIMIT_NOFILE,
                        &(struct rlimit){ .rlim_cur = config->nofile, .rlim_max = config->nofile });

        if (config->unprivileged && geteuid() == 0 && become(any_user()) < 0)
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

/* What a dispatcher of another user needs of this test's folder. */
/* Another user may not get to where these were built. `path` becomes that of the copy. */
static void copy_program(const struct harness *h, const char *name, char *path)
{
        _cleanup_(fd_closep) int from = open(path, O_RDONLY | O_CLOEXEC), to = -1;
        struct stat st;

        assert_true(from >= 0);
        assert_int_equal(fstat(from, &st), 0);
        (void)snprintf(path, PATH_MAX, "%s/%s", h->dir, name);
        to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        assert_true(to >= 0);
        assert_int_equal(fchmod(to, 0755), 0);
        assert_int_equal(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
}

static void admit_everybody(const struct harness *h)
{
        char notify[128];

        (void)snprintf(notify, sizeof(notify), "%s/notify", h->dir);
        assert_int_equal(chmod(h->dir, 0755), 0);
        assert_int_equal(chmod(notify, 0666), 0);
        assert_int_equal(chmod(h->marks + strlen("--marks="), 0777), 0);
        assert_int_equal(chmod(h->fifo, 0666), 0);
}

void harness_start_config(struct harness *h, const struct harness_config *config)
{
        char program[PATH_MAX], stub[PATH_MAX];
        const char *argv[ARGUMENTS_MAX] = { program };
        int ends[2];
        size_t n = 1;

        (void)snprintf(program, sizeof(program), "%s", harness_path("../../acceptd"));
        (void)snprintf(stub, sizeof(stub), "%s", harness_path("stub-worker"));

        if (config->unprivileged) {
                copy_program(h, "acceptd", program);
                copy_program(h, "stub-worker", stub);
        }
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

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        (void)fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
        assert_int_equal(fd_set_nonblock(ends[0]), 0);
        h->log_fd = ends[0];

        h->pid = fork();
        assert_true(h->pid >= 0);
        if (h->pid == 0)
                run_dispatcher(h, config, program, argv, ends[1]);

        (void)fd_close(ends[1]);
        h->pidfd = open_pidfd(h->pid);
        assert_true(h->pidfd >= 0);
}

/* End */

void harness_await_death(struct harness *h, pid_t pid)
{
        int pidfd = open_pidfd(pid);

        if (pidfd < 0)
                return; /* dead, and waited for */
        (void)harness_wait(h, pidfd, POLLIN);
        (void)fd_close(pidfd);
}

/* Whatever the dispatcher left is a child of the test now. Only what a test's worker started itself
 * and called "grandchild" may still be on its way out. */
static void check_processes(struct harness *h)
{
        pid_t children[CHILDREN_MAX];
        size_t n = procfs_children(getpid(), children, CHILDREN_MAX);

        for (size_t i = 0; i < n; i++) {
                struct procfs_stat stat;

                if (procfs_stat(children[i], &stat) < 0)
                        continue;
                if (!streq(stat.name, "grandchild"))
                        fail_msg("%s: process %d (%s, state %c) was left behind", __func__,
                                (int)children[i], stat.name, stat.state);
                harness_await_death(h, children[i]);
                assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
        }

        assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static void close_all(struct harness *h)
{
        h->pidfd = fd_close(h->pidfd);
        h->log_fd = fd_close(h->log_fd);
        h->notify_fd = fd_close(h->notify_fd);
        while (h->n_sockets > 0)
                fd_close(h->sockets[--h->n_sockets]);
}

static void check_descriptors(struct harness *h)
{
        char *after;

        close_all(h);
        after = procfs_descriptors(getpid());
        assert_non_null(after);
        assert_string_equal(after, h->descriptors_before);
        free(after);
}

void harness_expect_exit(struct harness *h, int status)
{
        siginfo_t info = {};

        (void)harness_wait(h, h->pidfd, POLLIN);
        assert_int_equal(waitid(P_PID, (id_t)h->pid, &info, WEXITED), 0);
        h->pid = 0;
        (void)pump(h, -1, 0, 0);

        if (info.si_code != CLD_EXITED || info.si_status != status)
                fail_msg("the dispatcher ended with %s %d, not with status %d",
                        info.si_code == CLD_EXITED ? "status" : "signal", info.si_status, status);
        check_processes(h);
        check_descriptors(h);
        h->finished = true;
}

void harness_stop(struct harness *h)
{
        assert_int_equal(kill(h->pid, SIGTERM), 0);
        harness_expect_exit(h, 0);
}

/* Ends everything that the test started, in whatever state that is. */
static void kill_all(void)
{
        pid_t children[CHILDREN_MAX];
        size_t n;

        while ((n = procfs_children(getpid(), children, CHILDREN_MAX)) > 0)
                for (size_t i = 0; i < n; i++) {
                        (void)kill(children[i], SIGKILL);
                        (void)waitpid(children[i], NULL, 0);
                }
}

void harness_skip(struct harness *h, const char *why)
{
        print_message("skipped: %s\n", why);
        kill_all();
        h->finished = true;
        skip();
        abort(); /* not reached: skip() leaves the test */
}

static void bind_notify(struct harness *h)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.64s/notify", h->dir);
        h->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_true(h->notify_fd >= 0);
        assert_int_equal(bind(h->notify_fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

int harness_setup(void **state)
{
        struct harness *h = calloc(1, sizeof(*h));

        assert_non_null(h);
        *state = h;
        h->pidfd = h->log_fd = h->notify_fd = -1;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        h->descriptors_before = procfs_descriptors(getpid());
        assert_non_null(h->descriptors_before);

        (void)snprintf(h->dir, sizeof(h->dir), "/tmp/acceptd-test.XXXXXX");
        assert_non_null(mkdtemp(h->dir));
        (void)snprintf(h->marks, sizeof(h->marks), "--marks=%s/marks", h->dir);
        assert_int_equal(mkdir(h->marks + strlen("--marks="), 0700), 0);
        (void)snprintf(h->fifo, sizeof(h->fifo), "%s/fifo", h->dir);
        assert_int_equal(mkfifo(h->fifo, 0600), 0);
        bind_notify(h);

        return 0;
}

/* The begin and the end of what was written. */
static void dump(const char *what, const struct transcript *t)
{
        size_t n = t->text ? procfs_lines(t->text) : 0, number = 0;

        print_message("---- %s: %zu lines ----\n", what, n);
        for (const char *p = t->text; p && *p; number++) {
                int length = (int)strcspn(p, "\n");

                if (number < 20 || number + 60 >= n)
                        print_message("| %.*s\n", length, p);
                else if (number == 20)
                        print_message("| ...\n");
                p += length;
                p += *p == '\n';
        }
}

static int on_file(const char *path, const struct stat *stat _unused_, int type _unused_,
        struct FTW *ftw _unused_)
{
        return remove(path);
}

int harness_teardown(void **state)
{
        struct harness *h = *state;
        bool failed = !h->finished;

        if (failed)
                (void)pump(h, -1, 0, 0);
        /* what a test looks at after the end of the dispatcher does not count as failed here */
        if (failed || getenv("HARNESS_DUMP")) {
                dump("log", &h->log);
                dump("notifications", &h->notify);
        }
        kill_all();

        close_all(h);
        (void)nftw(h->dir, on_file, 8, FTW_DEPTH | FTW_PHYS);
        free(h->log.text);
        free(h->notify.text);
        free(h->descriptors_before);
        free(h);

        return failed ? -1 : 0;
}
