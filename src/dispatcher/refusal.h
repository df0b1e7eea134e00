/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool.h"

/*
 * Connections that are accepted only to be refused, because of whom they come from.
 */

/* Refuses the connection in `slot`, which is in hand and comes from `source`, and tells the journal
 * of it when that is due. */
void refusal_carry_out(struct pool *pool, struct slot *slot, int fd_consume,
        const struct source *source, enum refusal reason);
