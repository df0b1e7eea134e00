/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Talking to the control socket of a dispatcher under test. Called by the tests of this folder; the
 * messages are plain bytes here, but for reading what comes back.
 */

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl.h"
#include "varlink/stream.h"

char ctl_out[65536], ctl_err[4096];

static void make_folder(const struct harness *h, const char *name)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "%s%s", h->dir, name);
        assert_int_equal(mkdir(path, 0755), 0);
}

void ctl_init(struct harness *h, struct ctl *ctl)
{
        static const char *const folders[] = { "/etc", "/etc/acceptd", "/run", "/run/acceptd",
                "/run/acceptd/test", "/run/systemd", "/run/systemd/units" };

        if (geteuid() != 0)
                harness_skip(h, "the dispatcher answers root only");

        *ctl = (struct ctl){};
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                make_folder(h, folders[i]);
        (void)snprintf(ctl->root, sizeof(ctl->root), "--root=%s", h->dir);
        (void)snprintf(ctl->settings, sizeof(ctl->settings), "%s/etc/acceptd/test.conf", h->dir);
        (void)snprintf(ctl->folder, sizeof(ctl->folder), "%s/run/acceptd/test", h->dir);
        (void)snprintf(ctl->path, sizeof(ctl->path), "%s/io.acceptd.Pool", ctl->folder);
        ctl_write_settings(ctl, "");
}

int ctl_listen(const struct ctl *ctl)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        strcpy(address.sun_path, ctl->path);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(chmod(ctl->path, 0600), 0);
        assert_int_equal(listen(fd, 8), 0);

        return fd;
}

void ctl_write_settings(const struct ctl *ctl, const char *text)
{
        _cleanup_(fclosep) FILE *f = fopen(ctl->settings, "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
}

void ctl_write_pool(const struct ctl *ctl, const char *pool, const char *worker)
{
        char text[2048];

        (void)snprintf(text, sizeof(text), "[Pool]\n%s\n[Worker]\nCommand=%s %s\n", pool,
                harness_path("stub-worker"), worker);
        ctl_write_settings(ctl, text);
}

void ctl_start_one(struct harness *h, struct ctl *ctl)
{
        ctl_init(h, ctl);
        (void)listener_add(h, LISTENER_UNIX, "main");
        ctl_start(h, ctl, .options = WORDS("Workers=1"));
        harness_await_ready(h);
}

int ctl_connect(const struct ctl *ctl)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        strcpy(address.sun_path, ctl->path);
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                fail_msg("%s: %s", ctl->path, strerror(errno));

        return fd;
}

void ctl_send(int fd, const char *data, size_t size)
{
        assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

json_t *ctl_receive(struct harness *h, int fd)
{
        struct varlink_stream stream;
        json_t *message = NULL;
        int r;

        varlink_stream_init(&stream, fd, VARLINK_REPLY_MAX);
        while ((r = varlink_stream_receive(&stream, &message)) == VARLINK_WAIT)
                (void)harness_wait(h, fd, POLLIN);
        stream.fd = -1; /* the caller's */
        varlink_stream_done(&stream);
        if (r != 0 && r != VARLINK_END)
                fail_msg("the dispatcher's answer is read with %d", r);

        return message;
}

json_t *ctl_call(struct harness *h, const struct ctl *ctl, const char *message)
{
        int fd = ctl_connect(ctl);
        json_t *reply;

        ctl_send(fd, message, strlen(message) + 1);
        reply = ctl_receive(h, fd);
        (void)fd_close(fd);

        return reply;
}

json_t *ctl_status(struct harness *h, const struct ctl *ctl)
{
        json_auto_t *reply = ctl_call(h, ctl, CTL_CALL("io.acceptd.Pool.GetStatus"));
        json_t *status = json_object_get(json_object_get(reply, "parameters"), "status");

        assert_true(json_is_object(status));
        return json_incref(status);
}

const char *ctl_text(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        if (!text)
                fail_msg("%s is no text", name);
        return text;
}

long long ctl_number(const json_t *status, const char *names)
{
        char name[64];
        const char *dot;

        while ((dot = strchr(names, '.'))) {
                (void)snprintf(name, sizeof(name), "%.*s", (int)(dot - names), names);
                status = json_object_get(status, name);
                names = dot + 1;
        }

        status = json_object_get(status, names);
        if (!json_is_integer(status))
                fail_msg("%s is no number", names);
        return json_integer_value(status);
}

static void read_all(int fd_consume, char *text, size_t size)
{
        size_t n = 0;
        ssize_t r;

        while (n < size - 1 && (r = read(fd_consume, text + n, size - 1 - n)) > 0)
                n += (size_t)r;
        text[n] = '\0';
        (void)fd_close(fd_consume);
}

int ctl_run_words(struct harness *h, const struct ctl *ctl, const char *const *words)
{
        char program[PATH_MAX + 16];
        const char *argv[16] = { program, ctl->root };
        int out[2], err[2], pidfd, status;
        pid_t pid;

        (void)snprintf(program, sizeof(program), "%s", harness_path("../../acceptctl"));
        for (size_t i = 2; *words && i < ELEMENTSOF(argv) - 1; i++)
                argv[i] = *words++;
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        assert_int_equal(pipe2(err, O_CLOEXEC), 0);

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)dup2(out[1], STDOUT_FILENO);
                (void)dup2(err[1], STDERR_FILENO);
                execv(program, (char *const *)(uintptr_t)argv);
                _exit(127);
        }
        (void)fd_close(out[1]);
        (void)fd_close(err[1]);

        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        assert_true(pidfd >= 0);
        (void)harness_wait(h, pidfd, POLLIN); /* what it writes fits the pipes */
        (void)fd_close(pidfd);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        read_all(out[0], ctl_out, sizeof(ctl_out));
        read_all(err[0], ctl_err, sizeof(ctl_err));
        if (!WIFEXITED(status))
                fail_msg("acceptctl was ended by signal %d: %s", WTERMSIG(status), ctl_err);

        return WEXITSTATUS(status);
}
