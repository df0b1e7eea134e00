/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool.h"

/*
 * From a decision of the pool to deeds, which are the caller's.
 */

/* What whoever owns the pool does when a decision says so, each named as its action. Each tells the
 * pool what came of it. A negative return ends it all: the program itself is broken. */
struct pool_deeds {
        /* After pool_may_spawn() only; on trial, while that goes on. */
        void (*spawn)(void *userdata, uint32_t row, bool on_trial);
        void (*drain)(void *userdata, uint32_t row, enum pool_drain reason);
        void (*pass)(void *userdata, uint32_t row);
        void (*terminate)(void *userdata, uint32_t row);
        void (*abort)(void *userdata, uint32_t row);
        void (*kill)(void *userdata, uint32_t row);
        int (*take_back)(void *userdata, uint32_t row);
        int (*ask)(void *userdata, uint32_t row, enum pool_question question);
        void (*sample)(void *userdata);
        void (*weigh)(void *userdata);
        int (*hand_over)(void *userdata);
        void (*refuse)(void *userdata);
        void (*rest)(void *userdata);
};

/* Does all that was decided, in its order. Returns 0 or what a deed returned below it. */
int pool_carry_out(
        const struct pool_decision *decision, const struct pool_deeds *deeds, void *userdata);
