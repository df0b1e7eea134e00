/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Notes of finished and of idle connections, for a dispatcher that finds this process dead. It
 * knows no channel.
 */

#include <sys/mman.h>

#include "libacceptd/noted.h"

void noted_map(struct noted *noted, int fd)
{
        void *p = mmap(NULL, sizeof(*noted->memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        noted_done(noted);
        noted->memory = p == MAP_FAILED ? NULL : p;
        noted_set_idle(noted, noted->n_idle);
}

void noted_done(struct noted *noted)
{
        if (noted->memory)
                (void)munmap(noted->memory, sizeof(*noted->memory));
        noted->memory = NULL;
}

void noted_add(struct noted *noted, uint64_t id)
{
        if (noted->memory)
                __atomic_store_n(
                        &noted->memory->ids[noted->n++ % FINISHED_MAX], id, __ATOMIC_RELAXED);
}

void noted_set_idle(struct noted *noted, uint32_t n)
{
        noted->n_idle = n;
        if (noted->memory)
                __atomic_store_n(&noted->memory->idle, n, __ATOMIC_RELAXED);
}
