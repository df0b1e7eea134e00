/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/* Returns the channel's descriptor, checked, from $ACCEPTD_CHANNEL, or the errors of
 * acceptd_worker_open(). Changes nothing. */
int environment_get_channel(void);

/* Splits $ACCEPTD_LISTENERS. *ret_names, to be freed, is *ret_n strings in a row, each with its own
 * final 0; NULL for none. Returns 0 or -ENOMEM. */
int environment_get_names(char **ret_names, unsigned *ret_n);

/* Returns the features that $ACCEPTD_FEATURES offers; none where it is not a decimal number. */
uint64_t environment_get_features(void);

/* Returns `capacity` lowered to what the soft RLIMIT_NOFILE leaves beside the descriptors now open,
 * `n_held` of which are connections already; -EMFILE if that is none; or -errno. */
int environment_lower_capacity(unsigned capacity, unsigned n_held);
