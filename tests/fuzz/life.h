/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fuzz.h"
#include "policy/pool.h"

/* A dispatcher's deeds on a pool, as the input says, with the counter law as oracle. */

struct life {
        struct pool pool;
        struct settings settings;
        usec_t now;
        struct slot *hand[POOL_HAND_MAX];
        uint32_t n_hand;
};

void life_settings(struct settings *s);

/* Takes over what another left. */
void life_adopt(struct life *l, struct input *in);

/* One event, and what follows from it. */
void life_step(struct life *l, struct input *in);

/* accepted = open + done + failed + lost + refused */
void life_check(const struct life *l);
