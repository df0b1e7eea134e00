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
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "harness.h"
#include "procfs.h"
#include "sanitized.h"

#define CHILDREN_MAX 256

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

        while ((n = descriptor_store_receive(&h->store, h->notify_fd, data, sizeof(data))) >= 0) {
                append(&h->notify, data, (size_t)n);
                append(&h->notify, "\n", 1);
        }
}

/* One round of reading. Returns the events on `fd`. */
static short pump(struct harness *h, int fd, short events, int timeout)
{
        struct pollfd fds[] = {
                { .fd = h->log_fd, .events = POLLIN },
                { .fd = h->is_deaf ? -1 : h->notify_fd, .events = POLLIN },
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

/* End */

void harness_await_death(struct harness *h, pid_t pid)
{
        int pidfd = open_pidfd(pid);

        if (pidfd < 0)
                return; /* dead, and waited for */
        (void)harness_wait(h, pidfd, POLLIN);
        (void)fd_close(pidfd);
}

/* Waits for the dispatcher's end. */
static siginfo_t await_end(struct harness *h)
{
        siginfo_t info = {};

        (void)harness_wait(h, h->pidfd, POLLIN);
        assert_int_equal(waitid(P_PID, (id_t)h->pid, &info, WEXITED), 0);
        h->pid = 0;
        h->pidfd = fd_close(h->pidfd);
        (void)pump(h, -1, 0, 0);

        return info;
}

/* Those that a dispatcher that was killed left behind, and that have ended, are the test's to wait
 * for, as they are the service manager's. */
static void reap_orphans(void)
{
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
}

void harness_await_crash(struct harness *h)
{
        siginfo_t info = await_end(h);

        if (info.si_code != CLD_KILLED || info.si_status != SIGKILL)
                fail_msg("the dispatcher ended with %s %d, not of SIGKILL",
                        info.si_code == CLD_EXITED ? "status" : "signal", info.si_status);
        h->n_crashes++;
        reap_orphans();
}

void harness_crash(struct harness *h)
{
        assert_int_equal(kill(h->pid, SIGKILL), 0);
        harness_await_crash(h);
}

/*
 * Whatever the dispatcher left is a child of the test now. Only two may still be on their way out:
 * what a test's worker started itself and called "grandchild"; and, of a worker that was ended
 * while the sanitizer looked for leaks at its exit, the child that it does so from, which is in the
 * worker's session and which the kernel kills (PR_SET_PDEATHSIG).
 */
static bool may_be_ending(pid_t pid, const struct procfs_stat *stat)
{
        return streq(stat->name, "grandchild") || (SANITIZED && stat->session != pid);
}

static void check_processes(struct harness *h)
{
        pid_t children[CHILDREN_MAX];
        size_t n = procfs_children(getpid(), children, CHILDREN_MAX);

        for (size_t i = 0; i < n; i++) {
                struct procfs_stat stat;

                if (procfs_stat(children[i], &stat) < 0)
                        continue;
                if (!may_be_ending(children[i], &stat))
                        fail_msg("%s: process %d (%s, state %c) was left behind", __func__,
                                (int)children[i], stat.name, stat.state);
                harness_await_death(h, children[i]);
                assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
        }

        assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static void check_store(const struct harness *h)
{
        for (size_t i = 0; i < h->store.n; i++)
                print_message("still in the store: %s\n", h->store.entries[i].name);
        assert_int_equal(h->store.n, 0);
}

static void close_all(struct harness *h)
{
        descriptor_store_done(&h->store);
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
        siginfo_t info = await_end(h);

        if (info.si_code != CLD_EXITED || info.si_status != status)
                fail_msg("the dispatcher ended with %s %d, not with status %d",
                        info.si_code == CLD_EXITED ? "status" : "signal", info.si_status, status);
        if (h->n_crashes > 0)
                reap_orphans();
        check_processes(h);
        check_store(h);
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
