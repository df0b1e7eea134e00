/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The few escape sequences that all terminals have, console_codes(4), and so no library for them.
 * It knows nothing of what is drawn.
 */

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "acceptctl/screen.h"
#include "base/fd.h"

#define OTHER_SCREEN "\033[?1049h\033[?25l" /* and no cursor */
#define FIRST_SCREEN "\033[?25h\033[?1049l"
#define CLEAR        "\033[H\033[2J"

/* What is between is shown at once, by those terminals that know it */
#define BEGIN "\033[?2026h"
#define END   "\033[?2026l"

static void write_text(const char *text)
{
        fputs(text, stdout);
        (void)fflush(stdout);
}

int screen_open(struct screen *screen)
{
        struct termios raw;
        sigset_t mask;

        *screen = (struct screen){ .signal_fd = -1 };
        if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
                tcgetattr(STDIN_FILENO, &screen->before) < 0)
                return 0;

        sigemptyset(&mask);
        sigaddset(&mask, SIGWINCH);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        screen->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (screen->signal_fd < 0)
                return -errno;

        raw = screen->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
                return -errno;

        screen->is_terminal = true;
        write_text(OTHER_SCREEN);
        return 0;
}

void screen_close(struct screen *screen)
{
        if (screen->is_terminal) {
                write_text(FIRST_SCREEN);
                (void)tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
        }
        screen->is_terminal = false;
        screen->signal_fd = fd_close(screen->signal_fd);
}

void screen_begin(struct screen *screen)
{
        struct winsize size = {};

        screen->columns = screen->rows = 0;
        if (!screen->is_terminal)
                return;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0 && size.ws_row > 0 && size.ws_col > 0) {
                screen->columns = size.ws_col;
                screen->rows = size.ws_row;
        }
        fputs(BEGIN CLEAR, stdout);
}

void screen_end(const struct screen *screen)
{
        write_text(screen->is_terminal ? END : "");
}

int screen_wait(struct screen *screen, usec_t until)
{
        usec_t now = usec_now();
        struct pollfd fds[] = {
                { .fd = screen->is_terminal ? STDIN_FILENO : -1, .events = POLLIN },
                { .fd = screen->signal_fd, .events = POLLIN },
        };
        struct signalfd_siginfo info;
        char key;

        if (now >= until ||
                poll(fds, ELEMENTSOF(fds), (int)((until - now) / USEC_PER_MSEC + 1)) <= 0)
                return 0;

        if (fds[1].revents && read(screen->signal_fd, &info, sizeof(info)) == sizeof(info))
                return info.ssi_signo == SIGWINCH ? 0 : 'q';
        if (fds[0].revents)
                return read(STDIN_FILENO, &key, 1) == 1 ? key : 'q';

        return 0;
}
