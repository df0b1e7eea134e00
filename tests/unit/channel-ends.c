/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A channel around each test. Called by test-wire.c, test-wire-batch.c and test-kernel.c. */

#include <fcntl.h>

#include "base/fd.h"
#include "channel-ends.h"

int here, there, passed;

int channel_begin(void **state)
{
        int pair[2];

        leaks_begin(state);
        open_pair(SOCK_SEQPACKET, pair);
        here = pair[0];
        there = pair[1];
        passed = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_true(passed >= 0);
        return 0;
}

int channel_end(void **state)
{
        here = fd_close(here);
        there = fd_close(there);
        passed = fd_close(passed);
        return leaks_end(state);
}
