/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>

#include "base/fd.h"
#include "base/time.h"
#include "wire/finished.h"
#include "wire/wire.h"

/*
 * The dispatcher's side of one worker's channel: its own end, and the worker's end, kept so that
 * what is queued there outlives the worker.
 */

struct channel {
        int fd;
        int queue_fd;
        const struct finished *finished; /* the worker notes there; NULL: it does not */
};

#define CHANNEL_NULL ((struct channel){ .fd = -1, .queue_fd = -1 })

/* Returns 0 or -errno. */
int channel_open(struct channel *channel);
void channel_close(struct channel *channel);

/* True for an -errno of these functions that no worker can cause, whatever it does to its end of
 * the channel: this program gave the kernel what is no channel, or no connection. */
static inline bool channel_is_broken(int error)
{
        return error == -EBADF || error == -ENOTSOCK || error == -EFAULT || error == -EINVAL;
}

/* Sends a connection, which stays the caller's. Returns 0, WIRE_FULL, WIRE_GONE or -errno. */
int channel_send_connection(struct channel *channel, uint64_t id, uint16_t listener,
        uint32_t accepted_at, int connection);

/* Sends PING or LIST. Returns 0, WIRE_FULL, WIRE_GONE or -errno. */
int channel_ask(struct channel *channel, enum record_type question, uint32_t value);

/* Tells a worker that took RECORD_FEATURE_DRAIN why channel_shutdown() comes next, and when SIGTERM
 * does: `deadline`, or 0. Returns 0, WIRE_FULL, WIRE_GONE or -errno. */
int channel_tell_drain(struct channel *channel, enum record_drain reason, usec_t deadline);

/* Shares memory with a worker that took RECORD_FEATURE_FINISHED, until channel_close(). Returns 0,
 * WIRE_FULL, WIRE_GONE or -errno. */
int channel_share_finished(struct channel *channel);

/* Asks the worker to drain: it reads end of file after what is queued. */
void channel_shutdown(struct channel *channel);

/* Returns how many records are queued for the worker. */
uint32_t channel_count_queued(const struct channel *channel);

/* Undoes what the worker may have set on its end, so that nothing hinders channel_take_back(). */
void channel_reclaim(struct channel *channel);

/*
 * Receives one connection from the worker's queue, after channel_reclaim(). The worker may live and
 * receive at the same time: each record goes to one of the two. Returns 0 (*ret_fd is the
 * caller's, or -1 where the kernel destroyed the connection), WIRE_EMPTY, or -EMFILE and the like
 * where there is no descriptor to receive it with: then it stays where it is. What else is in there
 * is dropped; *ret_dropped: a question was, whatever is returned.
 */
int channel_take_back(struct channel *channel, uint64_t *ret_id, int *ret_fd, bool *ret_dropped);
