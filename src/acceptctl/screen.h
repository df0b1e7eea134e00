/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <termios.h>

#include "base/time.h"

/*
 * A terminal that is drawn on again and again, or a pipe or file that is written to.
 */

struct screen {
        bool is_terminal; /* both ends of it: it can be drawn on, and keys can be read */
        int signal_fd;    /* what resizes and ends it */
        struct termios before;
        size_t columns, rows; /* 0: no limit */
};

/* Returns 0 or -errno. */
int screen_open(struct screen *screen);

/* Leaves the terminal as it was. */
void screen_close(struct screen *screen);

/* Begins and ends a picture, which standard output gets in between. */
void screen_begin(struct screen *screen);
void screen_end(const struct screen *screen);

/* Waits for a key, or for another size of the terminal, or until then. Returns the key, 0, or 'q'
 * where this program is told to end. */
int screen_wait(struct screen *screen, usec_t until);
