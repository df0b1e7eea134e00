/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/dispatcher.h"

/*
 * Taking over from a dispatcher before this one: its ledger, its workers, its connections.
 */

/* Opens the inherited ledger, and the pool on it; where there is none that can be used, new ones.
 * Returns 0 or -errno. */
int adoption_open_pool(struct dispatcher *d, struct inheritance *inheritance);

/* Takes over the workers of the ledger, and ends what does not belong to it. Returns 0 or -errno. */
int adoption_restore(struct dispatcher *d, struct inheritance *inheritance);
