/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h> /* wants the first four */

#include "harness.h" /* WORDS */
#include "wire/record.h"

/*
 * acceptd-listen as a process of its own, with the test as its dispatcher, and stub-server behind
 * it.
 */

struct listen {
        int n_fds;
        pid_t pid; /* the adapter; 0: none, or it was waited for */
        int channel;
        int output; /* what adapter and program write */
        int listeners[2];
        char *text; /* of it so far */
        size_t size, cursor;
};

/* A test, after which no descriptor and no process is left. */
#define LISTEN(test) cmocka_unit_test_setup_teardown(test, listen_setup, listen_teardown)

int listen_setup(void **state);
int listen_teardown(void **state);

/* Starts it with these options, and the stub with these deeds. */
void listen_start(struct listen *l, const char *const *options, const char *const *deeds);

/* Starts it with a whole command line, and so many listening sockets (-1: without a word of them).
 */
void listen_start_command(struct listen *l, const char *const *command, int n_listeners);

/* Waits for a line with these words, after the last that was found. */
#define listen_await_line(l, ...) listen_await(l, WORDS(__VA_ARGS__))
const char *listen_await(struct listen *l, const char *const *words);

/* Waits for "WHAT N", and returns N. */
int listen_await_number(struct listen *l, const char *what);

/* Waits until a process has stopped. */
void listen_await_stop(pid_t pid);

/* How many lines so far have this in them. */
unsigned listen_count(const struct listen *l, const char *word);

/* Waits for the next record. */
struct record listen_hear(struct listen *l);
void listen_await_ready(struct listen *l);

/* Nothing comes for so long. */
void listen_hear_nothing(struct listen *l, int msec);

void listen_ask(struct listen *l, uint8_t type, uint32_t value);
void listen_drain(struct listen *l);

/* Waits for the end, by waitpid(2), of the adapter; or of any process. */
int listen_await_end(struct listen *l);
void listen_expect_exit(struct listen *l, int status);
void listen_await_death(pid_t pid);
