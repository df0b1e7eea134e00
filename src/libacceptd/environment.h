/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/* Returns the channel's descriptor, checked, from $ACCEPTD_CHANNEL, or the errors of
 * acceptd_worker_open(). Changes nothing. */
int environment_get_channel(void);

/* Whether this is a channel's end. Returns 0, -EBADF or -EPROTOTYPE. */
int environment_check_channel(int fd);

/* Splits names at colons. *ret_names, to be freed, is *ret_n strings in a row, each with its own
 * final 0; NULL for none. Returns 0 or -ENOMEM. */
int environment_split_names(const char *text, char **ret_names, unsigned *ret_n);

/* Returns the number in this variable; 0 where it is not a decimal one. */
uint64_t environment_get_number(const char *name);

/* Returns `capacity` lowered to what the soft RLIMIT_NOFILE leaves beside the descriptors now open,
 * `n_held` of which are connections already; -EMFILE if that is none; or -errno. */
int environment_lower_capacity(unsigned capacity, unsigned n_held);
