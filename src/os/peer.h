/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/socket.h>

#include "base/source.h"

/*
 * Who is at the other end of a connection.
 */

/* `address` is what accept4() gave with the connection `fd`. Returns SOURCE_UNKNOWN where the
 * kernel does not tell. */
struct source peer_get_source(int fd, const struct sockaddr_storage *address);
