/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/*
 * The socket that a program sends its sd_notify(3) messages to.
 */

/* Room for @ and a name that the kernel chooses: unix(7), autobind. */
#define NOTIFY_SOCKET_NAME_MAX 16

/* As much as the service manager takes. */
#define NOTIFY_TEXT_MAX 4096

struct notification {
        pid_t sender;
        size_t n_fds; /* that came along; they are closed already */
        char text[NOTIFY_TEXT_MAX + 1];
};

/* Opens it, and writes its name as NOTIFY_SOCKET= wants it. Returns the descriptor, or -errno. */
int notify_socket_open(char name[static NOTIFY_SOCKET_NAME_MAX]);

/*
 * Receives the next message without blocking. What comes along with it is closed, which is the
 * answer to BARRIER=1: all that was sent before has been received. The text is empty where it was
 * too long, has a 0 inside, or comes from a process that has no number here. Returns 1, 0 where
 * there is no message, or -errno.
 */
int notify_socket_receive(int fd, struct notification *ret);
