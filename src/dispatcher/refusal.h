/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "os/loop.h"
#include "policy/pool.h"

/*
 * Connections that are accepted only to be refused, because of whom they come from. With
 * OverloadReply= they are told so first, and linger for a moment until they have read it.
 */

/* So many linger at once; of more, the first are closed before their time. */
#define REFUSAL_LINGER_MAX 64U

struct lingering {
        struct refusals *refusals;
        int fd;
        sd_event_source *source;
        usec_t until;
        uint32_t n_reads; /* that more may come before it is closed */
};

struct refusals {
        struct pool *pool;
        struct loop *loop;
        sd_event_source *timer; /* of the first */
        struct lingering lingering[REFUSAL_LINGER_MAX];
        uint32_t first, n; /* in use: n from the first on, in a ring, in the order of `until`;
                            * those whose fd is -1 have ended before the others */
};

/* Both are lent. */
void refusals_init(struct refusals *r, struct pool *pool, struct loop *loop);
void refusals_deinit(struct refusals *r);

/* Refuses the connection in `slot`, which is in hand and comes from `source`, and tells the journal
 * of it when that is due. */
void refusals_add(struct refusals *r, struct slot *slot, int fd_consume,
        const struct source *source, enum refusal reason);
