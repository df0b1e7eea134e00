/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h> /* wants the first four */

#include "wire/record.h"

/*
 * acceptd-echo as a process of its own, with the test as its dispatcher: a channel on descriptor 3,
 * and connections whose other ends the test plays too.
 */

#define ECHO_CAPACITY 1024 /* usually */
#define ECHO_FDS      7 /* stdin, stdout, stderr, channel, epoll; the library's epoll and timer */

enum echo_listener {
        ECHO_STREAM,
        ECHO_SEQPACKET,
        ECHO_TCP,
};

struct fixture {
        int n_fds;
        pid_t pid; /* 0: none, or it was waited for */
        int pidfd;
        int channel;
        uint64_t last_id;
};

/* A test with the worker ready; or one that starts it itself. Afterwards the worker has ended as it
 * should, and no descriptor and no process is left. */
#define WORKER(test) cmocka_unit_test_setup_teardown(test, echo_setup, echo_teardown)
#define PLAIN(test)  cmocka_unit_test_setup_teardown(test, echo_setup_plain, echo_teardown)

int echo_setup(void **state);
int echo_setup_plain(void **state);
int echo_teardown(void **state);

/* --- The process --- */

/* Starts it; without a channel where that is -1, and with the test's standard error where `error`
 * is. `options` may be NULL. */
pid_t echo_spawn(const char *const *options, int channel, int error);

/* Starts it on a channel, and waits for READY with this capacity. */
void echo_start(struct fixture *f, const char *const *options, unsigned capacity);

/* Waits for its end. */
void echo_expect_exit(struct fixture *f, int status);

/* The worker makes itself undumpable. Where its descriptors are not for this user to see, there are
 * as many as expected. */
unsigned echo_count_fds(const struct fixture *f, unsigned expected);

/* --- Connections --- */

/* Makes a connection; [0] is the client's end. */
void echo_make_pair(enum echo_listener listener, int pair[2]);

/* Sends the other end to the worker; that in this process stays the caller's. */
void echo_hand_over(struct fixture *f, enum echo_listener listener, int fd);

/* Both. Returns the client's end of a new connection. */
int echo_connect(struct fixture *f, enum echo_listener listener);

void say(int fd, const void *data, size_t size);
void expect_bytes(int fd, const void *data, size_t size);
void expect_end(int fd);

/* --- The channel --- */

/* Reads one datagram, of up to RECORD_BATCH_MAX records, and returns the first record. */
struct record echo_hear(const struct fixture *f, struct record *records, size_t *ret_n);

/* Waits until `n` connections are said to be done. */
void echo_expect_done(const struct fixture *f, size_t n);

void echo_ask(const struct fixture *f, uint8_t type, uint32_t value);

/* An answer also says that what was handed over before was received. */
void echo_ping(const struct fixture *f);
