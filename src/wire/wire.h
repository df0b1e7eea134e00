/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wire/record.h"

/*
 * Sending and receiving on a channel: the one place with SCM_RIGHTS.
 *
 * All functions return 0, a value of enum wire_result that the caller has to handle, or -errno
 * where the program itself is broken.
 */

enum wire_result {
        WIRE_FULL = 1,      /* no room now: a full queue, or too many descriptors in flight */
        WIRE_GONE = 2,      /* nobody will ever read what is sent */
        WIRE_EMPTY = 3,     /* nothing to receive now */
        WIRE_END = 4,       /* end of file; an empty datagram looks the same: unix(7) */
        WIRE_MALFORMED = 5, /* the other end broke the protocol */
        WIRE_FD_LOST = 6,   /* the record came, its descriptor did not: RLIMIT_NOFILE */
};

/* Sends one record, with `fd` unless that is -1; `fd` stays the caller's. Never blocks.
 * Returns 0, WIRE_FULL, WIRE_GONE or -errno. */
int wire_send(int channel, const struct record *record, int fd);

/* Sends 1 to RECORD_BATCH_MAX records in one datagram. Never blocks.
 * Returns 0, WIRE_FULL, WIRE_GONE or -errno. */
int wire_send_batch(int channel, const struct record *records, size_t n);

/*
 * Receives one record that goes to a worker. `wait`: block until there is one.
 *
 * Returns 0, WIRE_EMPTY (only without `wait`), WIRE_END, WIRE_MALFORMED, WIRE_FD_LOST or -errno.
 * On 0, *ret_fd is the caller's: the connection of a CONNECTION, else -1. On WIRE_FD_LOST only
 * *ret_record is set. On WIRE_MALFORMED, *ret_why is a static string; every descriptor that came
 * along was closed.
 */
int wire_receive(
        int channel, bool wait, struct record *ret_record, int *ret_fd, const char **ret_why);

/* Records on their way to the dispatcher. */
struct wire_batch {
        struct record records[RECORD_BATCH_MAX];
        size_t n_records;
        const char *why; /* after WIRE_MALFORMED: what was wrong; a static string */
};

/*
 * Receives one datagram that goes to the dispatcher. Descriptors that come along are never taken
 * in. Never blocks.
 *
 * Returns 0 (at least one record, each checked by record_check_to_dispatcher()), WIRE_EMPTY,
 * WIRE_END, WIRE_MALFORMED or -errno.
 */
int wire_receive_batch(int channel, struct wire_batch *batch);

/* The same, but the datagram stays where it is, until wire_drop_batch(). */
int wire_peek_batch(int channel, struct wire_batch *batch);
void wire_drop_batch(int channel);
