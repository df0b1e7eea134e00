/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/socket.h>

#include "leaks.h"
#include "wire/record.h"

/*
 * Datagrams on a channel without src/wire: what a hostile or broken peer sends, and what the kernel
 * really delivers.
 */

#define RAW_FDS_MAX 253 /* in one message */

struct raw_message {
        ssize_t n; /* bytes, or -errno */
        int flags; /* MSG_CTRUNC, MSG_TRUNC */
        int fds[RAW_FDS_MAX];
        size_t n_fds;
};

/* Sends `n` bytes and `n_fds` copies of `fd`. Returns 0 or -errno. Never blocks. */
int raw_send(int channel, const void *data, size_t n, int fd, size_t n_fds);

/* Receives into `data`, with room for `room` bytes of control data. Never blocks. */
struct raw_message raw_receive(int channel, void *data, size_t size, size_t room);

/* Closes the descriptors that came. */
void raw_close(struct raw_message *message);

/* A sound record of this type. */
struct record raw_record(uint8_t type, uint32_t value, uint64_t id);

/* Sends copies of `fd` with one byte each until the queue is full. Returns how many. */
size_t raw_fill(int channel, int fd);
