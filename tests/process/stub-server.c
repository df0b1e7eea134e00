/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A server that accepts by itself, as people have them, for tests: it does what its arguments say,
 * one after the other.
 *
 *      say=TEXT         sd_notify(TEXT)
 *      child-say=TEXT   a child says it, and stays
 *      store=TEXT       says it with a descriptor
 *      barrier          sd_notify_barrier(), then "barrier" on stdout
 *      print            environment, and descriptors with their flags, then "printed"
 *      pid              "pid N"
 *      child, orphan    a child that stays; one in a session of its own without a parent: "child N"
 *      replace          as after an upgrade: a child goes on as the main process, this one ends
 *      feed=MSEC        WATCHDOG=1 as often, from now on while it waits or serves
 *      ignore=SIGNAL    by number
 *      serve=NAME       sends NAME to each client when it has sent a line, until SIGTERM or SIGQUIT
 *      shutdown         shutdown(2) on each listening socket
 *      grow=N           takes N MB of memory
 *      sleep=MSEC       lets time pass
 *      wait             until a signal, with its number: "signal N", exit status 0
 *      stop             SIGSTOP
 *      exit=N, abort
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/base.h"
#include "base/fd.h"

static int feed_msec = -1;
static volatile sig_atomic_t got_signal;

static void on_signal(int signal)
{
        got_signal = signal;
}

static void say_line(const char *what, int number)
{
        dprintf(STDOUT_FILENO, "%s %d\n", what, number);
}

static void print_surroundings(void)
{
        for (char **e = environ; *e; e++)
                dprintf(STDOUT_FILENO, "env %s\n", *e);
        for (int fd = 0; fd < 64; fd++) {
                int flags = fcntl(fd, F_GETFL), accepts = 0;
                socklen_t length = sizeof(accepts);

                if (flags < 0)
                        continue;
                (void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length);
                dprintf(STDOUT_FILENO, "fd %d%s%s\n", fd, accepts ? " listens" : "",
                        flags & O_NONBLOCK ? " nonblock" : "");
        }
        dprintf(STDOUT_FILENO, "printed\n");
}

/* Returns 0 in the child. */
static pid_t start_child(void)
{
        pid_t pid = fork();

        if (pid < 0)
                _exit(99);
        return pid;
}

static void stay(void)
{
        (void)signal(SIGTERM, SIG_DFL);
        for (;;)
                (void)pause();
}

static void make_orphan(void)
{
        pid_t pid = start_child();

        if (pid == 0) {
                (void)setsid();
                if (start_child() > 0)
                        _exit(0);
                say_line("child", getpid());
                stay();
        }
        (void)waitpid(pid, NULL, 0);
}

/* Waits for events on `fds`, feeding the watchdog. Returns false after a signal. */
static bool wait_for(struct pollfd *fds, nfds_t n)
{
        sigset_t set, before;
        bool got;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGQUIT);
        (void)sigprocmask(SIG_BLOCK, &set, &before);

        while (got_signal == 0) {
                struct timespec ts = { .tv_sec = feed_msec / 1000,
                        .tv_nsec = feed_msec % 1000 * 1000000L };

                if (feed_msec >= 0)
                        (void)sd_notify(0, "WATCHDOG=1");
                if (ppoll(fds, n, feed_msec >= 0 ? &ts : NULL, &before) > 0)
                        break;
        }
        got = got_signal != 0;
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return !got;
}

static void serve_one(int listener, const char *name)
{
        _cleanup_(fd_closep) int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        char line[256];

        if (fd >= 0 && read(fd, line, sizeof(line)) > 0)
                dprintf(fd, "%s\n", name);
}

static void serve(const char *name)
{
        struct pollfd listeners[16] = {};
        int n = MIN(sd_listen_fds(0), 16);

        if (n <= 0) /* FastCGI's way */
                listeners[0].fd = 0, n = 1;
        else
                for (int i = 0; i < n; i++)
                        listeners[i].fd = SD_LISTEN_FDS_START + i;
        for (int i = 0; i < n; i++) {
                listeners[i].events = POLLIN;
                (void)fd_set_nonblock(listeners[i].fd);
        }

        while (wait_for(listeners, (nfds_t)n))
                for (int i = 0; i < n; i++)
                        if (listeners[i].revents & POLLIN)
                                serve_one(listeners[i].fd, name);
}

static void grow(size_t size)
{
        static char *volatile memory; /* for good, and no leak */

        memory = malloc(size);
        if (memory)
                memset(memory, 1, size);
        say_line("grew", memory ? memory[size / 2] : -1);
}

static void do_number_deed(const char *deed, const char *value)
{
        int n = atoi(value);

        if (streq(deed, "feed"))
                feed_msec = n;
        else if (streq(deed, "ignore"))
                (void)signal(n, SIG_IGN);
        else if (streq(deed, "grow"))
                grow((size_t)n << 20);
        else if (streq(deed, "sleep"))
                (void)poll(NULL, 0, n);
        else if (streq(deed, "exit"))
                _exit(n);
}

static void do_deed_with_value(char *deed)
{
        char *value = strchr(deed, '=');
        int fd = STDIN_FILENO;

        *value++ = '\0';
        if (streq(deed, "say"))
                (void)sd_notify(0, value);
        else if (streq(deed, "store"))
                (void)sd_pid_notify_with_fds(0, 0, value, &fd, 1);
        else if (streq(deed, "serve"))
                serve(value);
        else if (streq(deed, "child-say")) {
                if (start_child() == 0) {
                        (void)sd_notify(0, value);
                        stay();
                }
        } else
                do_number_deed(deed, value);
}

static void do_deed(const char *deed)
{
        if (streq(deed, "barrier")) {
                if (sd_notify_barrier(0, 10 * 1000000) >= 0)
                        say_line("barrier", 0);
        } else if (streq(deed, "print"))
                print_surroundings();
        else if (streq(deed, "pid"))
                say_line("pid", getpid());
        else if (streq(deed, "child")) {
                pid_t pid = start_child();

                if (pid == 0)
                        stay();
                say_line("child", pid);
        } else if (streq(deed, "orphan"))
                make_orphan();
        else if (streq(deed, "replace")) {
                pid_t parent = getpid(), pid = start_child();

                while (pid == 0 && getppid() == parent)
                        (void)poll(NULL, 0, 10);
                if (pid > 0) {
                        (void)sd_notifyf(0, "MAINPID=%d", (int)pid);
                        (void)sd_notify_barrier(0, 10 * 1000000);
                        _exit(0);
                }
        } else if (streq(deed, "shutdown")) {
                for (int i = 0; i < sd_listen_fds(0); i++)
                        (void)shutdown(SD_LISTEN_FDS_START + i, SHUT_RDWR);
        } else if (streq(deed, "wait")) {
                (void)wait_for(NULL, 0);
                say_line("signal", got_signal);
        } else if (streq(deed, "stop"))
                (void)raise(SIGSTOP);
        else if (streq(deed, "abort"))
                abort();
}

int main(int argc, char **argv)
{
        const struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

        (void)sigaction(SIGTERM, &action, NULL);
        (void)sigaction(SIGQUIT, &action, NULL);
        for (int i = 1; i < argc; i++)
                if (strchr(argv[i], '='))
                        do_deed_with_value(argv[i]);
                else
                        do_deed(argv[i]);

        return 0;
}
