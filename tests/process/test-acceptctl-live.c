/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * acceptctl monitor and top, at a dispatcher that has something to show; top also on a terminal of
 * a given size.
 */

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"

struct running {
        pid_t pid;
        int fd; /* what it writes: a pipe or a terminal */
        char text[65536];
        size_t size;
};

static void execute(const struct ctl *ctl, const char *const *words)
{
        const char *argv[16] = { harness_path("../../acceptctl"), ctl->root };

        for (size_t i = 2; *words && i < ELEMENTSOF(argv) - 1; i++)
                argv[i] = *words++;
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
}

static void run_in_pipe(const struct ctl *ctl, struct running *ret, const char *const *words)
{
        int ends[2];

        *ret = (struct running){};
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        ret->pid = fork();
        assert_true(ret->pid >= 0);
        if (ret->pid == 0) {
                (void)dup2(ends[1], STDOUT_FILENO);
                execute(ctl, words);
        }
        (void)fd_close(ends[1]);
        ret->fd = ends[0];
}

static void run_in_terminal(const struct ctl *ctl, struct running *ret, unsigned short columns,
        unsigned short rows, const char *const *words)
{
        struct winsize size = { .ws_col = columns, .ws_row = rows };

        *ret = (struct running){};
        ret->pid = forkpty(&ret->fd, NULL, NULL, &size);
        assert_true(ret->pid >= 0);
        if (ret->pid == 0) {
                (void)setenv("TERM", "xterm", true);
                execute(ctl, words);
        }
        assert_int_equal(fcntl(ret->fd, F_SETFD, FD_CLOEXEC), 0);
}

/* Reads until `words` are there. What came is kept, its end where it becomes too much. */
static void await_text(struct harness *h, struct running *r, const char *words)
{
        usec_t deadline = usec_add(usec_now(), HARNESS_DEADLINE);
        ssize_t n;

        while (!memmem(r->text, r->size, words, strlen(words))) {
                if (usec_now() > deadline)
                        fail_msg("no \"%s\" in %s", words, r->text);
                (void)harness_wait(h, r->fd, POLLIN);
                if (r->size > sizeof(r->text) / 2) {
                        r->size /= 2;
                        memmove(r->text, r->text + r->size, r->size);
                }
                n = read(r->fd, r->text + r->size, sizeof(r->text) - r->size - 1);
                if (n <= 0)
                        fail_msg("it ended before \"%s\": %s", words, r->text);
                r->size += (size_t)n;
                r->text[r->size] = '\0';
        }
}

/* Waits for its end, and returns the exit status. */
static int await_exit(struct harness *h, struct running *r)
{
        char text[4096];
        int status;

        while (harness_wait(h, r->fd, POLLIN) && read(r->fd, text, sizeof(text)) > 0)
                ;
        (void)fd_close(r->fd);
        assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- monitor --- */

/* Says `command` to the instance, again and again, until the monitor has written `words`: it may
 * not be connected yet, or not again. */
static void repeat_until(struct harness *h, const struct ctl *ctl, struct running *r,
        const char *const *commands, const char *words)
{
        for (int i = 0; i < 200 && !memmem(r->text, r->size, words, strlen(words)); i++) {
                struct pollfd pollfd = { .fd = r->fd, .events = POLLIN };
                ssize_t n;

                assert_int_equal(ctl_run(h, ctl, commands[i % 2], "test"), 0);
                if (poll(&pollfd, 1, 100) <= 0)
                        continue;
                n = read(r->fd, r->text + r->size, sizeof(r->text) - r->size - 1);
                r->size += n > 0 ? (size_t)n : 0;
        }
        if (!memmem(r->text, r->size, words, strlen(words)))
                fail_msg("no \"%s\" in %s", words, r->text);
}

static void test_monitor_goes_on_through_a_reload(void **state)
{
        struct harness *h = *state;
        struct running r;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        run_in_pipe(&ctl, &r, WORDS("monitor"));
        repeat_until(h, &ctl, &r, WORDS("pause", "resume"), "test: Accepting is paused by acc");
        repeat_until(h, &ctl, &r, WORDS("reload", "reload"), " of the workers is starting; ");
        repeat_until(h, &ctl, &r, WORDS("pause", "resume"), "Connections are accepted again.\n");
        assert_int_equal(kill(r.pid, SIGTERM), 0);
        assert_int_equal(await_exit(h, &r), -1);
        harness_stop(h);
}

static void test_monitor_as_json_ends_after_so_many_events(void **state)
{
        struct harness *h = *state;
        json_auto_t *event = NULL;
        struct running r;
        struct ctl ctl;

        ctl_start_one(h, &ctl);
        run_in_pipe(&ctl, &r, WORDS("monitor", "test", "--iterations=1", "--json=short"));
        repeat_until(h, &ctl, &r, WORDS("pause", "resume"), "\n");
        event = json_loads(r.text, 0, NULL);
        assert_string_equal(ctl_text(event, "instance"), "test");
        assert_non_null(ctl_text(event, "messageID"));
        assert_int_equal(await_exit(h, &r), 0);
        harness_stop(h);
}

/* --- top --- */

/* Connections that come and go, for the rates. */
static void make_traffic(struct harness *h)
{
        struct client client;

        for (int i = 0; i < 20; i++) {
                client_open_served(h, &client, 0);
                client_close(&client);
        }
}

/* Below the root of the test, one worker has a process whose name is made to be misread. */
static void write_stat(struct harness *h, const struct ctl *ctl)
{
        json_auto_t *status = ctl_status(h, ctl);
        const json_t *worker = json_array_get(json_object_get(status, "workers"), 0);
        _cleanup_(fclosep) FILE *f = NULL;
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/proc", h->dir);
        assert_int_equal(mkdir(path, 0755), 0);
        (void)snprintf(path, sizeof(path), "%s/proc/%lld", h->dir, ctl_number(worker, "pid"));
        assert_int_equal(mkdir(path, 0755), 0);
        strcat(path, "/stat");
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(
                fprintf(f,
                        "1 (a) 9 9 ) S 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 3 0") >
                0);
}

static void test_top_in_a_pipe_is_one_plain_picture(void **state)
{
        struct harness *h = *state;
        struct running r;
        struct ctl ctl;
        char memory[48];

        ctl_start_pool(h, &ctl, "Workers=2", "--serve=line --capacity=10");
        harness_await_workers(h, 2);
        run_in_pipe(&ctl, &r, WORDS("top", "--interval=500ms"));
        make_traffic(h);
        await_text(h, &r, "RUNS FOR\n");
        await_text(h, &r, "test           2");
        assert_null(memchr(r.text, '\033', r.size));
        assert_non_null(strstr(r.text, "test      ready      2/2     0        -"));
        assert_int_equal(await_exit(h, &r), 0);

        assert_int_equal(ctl_run(h, &ctl, "top", "--interval=100ms", "--json"), 0);
        assert_non_null(strstr(ctl_out, "\"rate\":"));
        assert_null(strstr(ctl_out, "\"memory\":3"));
        write_stat(h, &ctl);
        assert_int_equal(ctl_run(h, &ctl, "top", "--interval=100ms", "--json"), 0);
        (void)snprintf(memory, sizeof(memory), "\"memory\":%ld", 3 * sysconf(_SC_PAGESIZE));
        assert_non_null(strstr(ctl_out, memory));
        assert_int_equal(ctl_run(h, &ctl, "top", "--sort=name"), 1);
        harness_stop(h);
}

/* Fails where a line is longer, or where there are more, than fit the terminal. */
static void check_picture(const struct running *r, size_t columns, size_t rows)
{
        const char *begin = NULL, *p = r->text;
        size_t n = 0, width = 0;

        /* the last whole one */
        while ((p = strstr(p, "\033[H\033[2J"))) {
                if (strstr(p, "\033[?2026l"))
                        begin = p;
                p++;
        }
        assert_non_null(begin);
        for (p = begin + strlen("\033[H\033[2J"); strncmp(p, "\033[?2026l", 8) != 0; p++) {
                if (*p == '\033') { /* a colour */
                        p += strcspn(p, "m");
                        continue;
                }
                if (*p == '\n') {
                        n++;
                        width = 0;
                } else if (*p != '\r') {
                        width++;
                }
                assert_true(width <= columns);
        }
        assert_true(n < rows); /* the last line is followed by the cursor */
}

static void test_top_fits_the_terminal(void **state)
{
        struct harness *h = *state;
        struct running r;
        struct winsize size = { .ws_col = 60, .ws_row = 12 };
        struct ctl ctl;

        ctl_start_pool(h, &ctl, "Workers=30", "--serve=line --capacity=10");
        harness_await_workers(h, 30);
        run_in_terminal(&ctl, &r, 80, 24, WORDS("top", "--interval=200ms"));
        await_text(h, &r, "q: quit");
        await_text(h, &r, "\033[?2026l");
        check_picture(&r, 80, 24);
        assert_non_null(strstr(r.text, "MEMORY"));

        assert_int_equal(ioctl(r.fd, TIOCSWINSZ, &size), 0);
        r.size = 0;
        for (int i = 0; i < 3; i++) { /* one of them began after that */
                await_text(h, &r, "\033[H\033[2J");
                await_text(h, &r, "\033[?2026l");
                if (i < 2)
                        r.size = 0;
        }
        check_picture(&r, 60, 12);

        r.size = 0;
        assert_int_equal(write(r.fd, "m", 1), 1);
        await_text(h, &r, "by memory");
        assert_int_equal(write(r.fd, "q", 1), 1);
        await_text(h, &r, "\033[?1049l"); /* the screen as it was */
        assert_int_equal(await_exit(h, &r), 0);
        harness_stop(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                HARNESS_TEST(test_monitor_goes_on_through_a_reload),
                HARNESS_TEST(test_monitor_as_json_ends_after_so_many_events),
                HARNESS_TEST(test_top_in_a_pipe_is_one_plain_picture),
                HARNESS_TEST(test_top_fits_the_terminal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
