/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "protocol-test/play.h"

/*
 * What a worker is put to, each with a process of its own.
 */

enum trial_result {
        TRIAL_PASSED,
        TRIAL_BROKEN,  /* play->why */
        TRIAL_SKIPPED, /* it does not apply to this worker */
};

struct trial {
        const char *name;
        const char *good; /* what it does well, or why it does not apply */
        uint32_t offer;   /* features */
        enum trial_result (*run)(struct play *play);
};

extern const struct trial trials[];
extern const unsigned n_trials;
