/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * Messages to the service manager, as $NOTIFY_SOCKET says: a path or an abstract name.
 */

/* Connects; where nobody is there that is no error. Returns 0 or -errno. */
int manager_socket_open(void);

/* Somebody was there, or is now: one socket may have gone, and another have come. */
bool manager_socket_is_there(void);

/* Sends a message, with a copy of `fd` unless that is -1, and never waits. Returns false where
 * there is no room now. One that cannot be sent at all counts as sent: that is no reason to stop
 * serving.
 */
bool manager_socket_send(const char *text, int fd);
