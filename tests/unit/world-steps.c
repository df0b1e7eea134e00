/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one world of a directed test. */

#include "world-steps.h"

static struct world world;
struct world *const w = &world;

void begin(uint32_t workers, uint32_t connections)
{
        world_default_settings(w, workers, connections);
        world_init(w, 0);
        world_pass(w, 1); /* so that a start comes before a failure */
}

void all_ready(uint32_t capacity)
{
        while (world_count(w, WORKER_STARTING) > 0)
                world_ready(w, world_find(w, WORKER_STARTING), capacity);
}

void begin_ready(uint32_t workers, uint32_t capacity)
{
        begin(workers, UINT32_MAX);
        all_ready(capacity);
        assert_int_equal(world_count(w, WORKER_READY), workers);
}

void begin_sized(uint32_t workers, uint32_t spare, uint32_t most)
{
        world_default_settings(w, workers, UINT32_MAX);
        w->settings.queue_timeout = USEC_INFINITY; /* no timer but those of the pool's size */
        w->settings.workers_spare = spare;
        w->settings.workers_max = most;
        world_init(w, 0);
        world_pass(w, 1);
        all_ready(1);
}

void accept_all(uint32_t n)
{
        w->backlog += n;
        assert_int_equal(world_accept(w, n), n);
}

int end(void **state)
{
        (void)state;
        world_deinit(w);
        return 0;
}
