/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "base/base.h"

/*
 * Around each test that opens or starts anything: afterwards this process has the descriptors that
 * it had before, and no child, alive or dead.
 *
 * Also here: what several of these tests need.
 */

/* A test within its deadline. RLIMIT_NOFILE is as it was again after it. */
#define WITHOUT_LEAKS(test) cmocka_unit_test_setup_teardown(test, leaks_begin, leaks_end)

int leaks_begin(void **state);
int leaks_end(void **state);

/* Which open file it is, whatever its number: the inode of a socket or pipe is its own. */
uint64_t inode_of(int fd);

/* Makes a connected pair of AF_UNIX sockets, close-on-exec. */
void open_pair(int type, int pair[static 2]);

/* Leaves room for `n` more descriptors, until the end of the test. */
void leave_descriptors(int n);

/* Runs `body` in a child process and waits for it. Returns its exit status; anything else fails
 * the test. `body` must not use assertions of cmocka. */
int run_in_child(int (*body)(void));
