/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

struct inetd_options {
        unsigned capacity;
        usec_t runtime_max, stop_timeout;
        bool stderr_is_connection;
        char **argv; /* of the program, out of that of this process */
};

/* Returns 1 to go on, 0 where all is done, or -EINVAL after saying what is wrong. */
int inetd_options_parse(struct inetd_options *options, int argc, char **argv);
