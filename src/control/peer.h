/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * What the peer of a connection to the control socket may do.
 */

enum peer_right {
        PEER_STRANGER,
        PEER_LOOKS,  /* of the socket's group: SocketGroup= */
        PEER_STEERS, /* root */
};

/* Accepts a connection; where there are no descriptors left, in place of the spare one. Returns it
 * (non-blocking, close-on-exec), -EAGAIN where nobody is there, or -errno. */
int peer_accept(int listening_fd, int *spare_fd, enum peer_right *ret_right);
