/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libacceptd/acceptd.h"
#include "raw.h"

/*
 * A worker of libacceptd on a real channel: the test is the dispatcher at the other end, and calls
 * the library as a worker does.
 */

struct fixture {
        int peer;    /* the dispatcher's end */
        int channel; /* the worker's; owned by `worker` once that is there */
        struct acceptd_worker *worker;
};

/* A test with the channel alone, which the environment names; or with the worker open. Nothing is
 * left after it: leaks.h. */
#define WITH_CHANNEL(test)                                                                         \
        cmocka_unit_test_setup_teardown(test, fixture_open_channel, fixture_close)
#define WITH_WORKER(test) cmocka_unit_test_setup_teardown(test, fixture_open_worker, fixture_close)
/* Its dispatcher offers all features. */
#define WITH_MODERN_WORKER(test)                                                                   \
        cmocka_unit_test_setup_teardown(test, fixture_open_modern_worker, fixture_close)

int fixture_open_channel(void **state);
int fixture_open_worker(void **state);
int fixture_open_modern_worker(void **state);
int fixture_close(void **state);

/* In the environment. */
void set_variable(const char *name, const char *format, ...) _printf_(2, 3);

/* --- The dispatcher's side --- */

/* Sends a CONNECTION, with a copy of `fd` or with any descriptor. */
void hand_over_fd(const struct fixture *f, uint64_t id, int fd);
void hand_over(const struct fixture *f, uint64_t id);

/* Sends a record without descriptor. */
void ask(const struct fixture *f, uint8_t type, uint32_t value);

/* Reads one datagram, if there is one. Returns the number of records, 0 for none. `records` has
 * room for RECORD_BATCH_MAX. */
size_t try_hear(const struct fixture *f, struct record *records);

/* The same, and there must be one. */
size_t hear(const struct fixture *f, struct record *records);

void assert_silent(const struct fixture *f);
void assert_record(const struct record *record, uint8_t type, uint64_t id);

/* Reads a datagram that is this READY. */
void expect_ready(const struct fixture *f, uint32_t capacity, uint64_t features);

/* Reads a datagram that is this one record. */
void expect_one(const struct fixture *f, uint8_t type, uint32_t value);

/* Reads a datagram that is this one DONE or FAILED. */
void expect_end(const struct fixture *f, uint8_t type, uint64_t id);

/* --- The worker's side --- */

/* Says READY, and reads that. */
void be_ready(const struct fixture *f, unsigned capacity);

struct acceptd_connection receive_one(const struct fixture *f);

/* Receives what is no connection. */
void receive_nothing(const struct fixture *f);

/* Whether the descriptor that a worker polls is readable. */
bool wakes(const struct fixture *f);

/* Hands over and receives connections from..to; their descriptors do not matter. */
void hold_range(const struct fixture *f, uint64_t from, uint64_t to);

/* DONE for each of these. */
void finish_range(const struct fixture *f, uint64_t from, uint64_t to);

/* Room for a handful of datagrams only. */
void shrink_channel(const struct fixture *f);

/* Is ready for `n` connections, holds them and finishes them, in a channel that has no room for so
 * many DONEs. */
void fill_channel(const struct fixture *f, uint64_t n);
