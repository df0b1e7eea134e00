/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A look at the control group's count of OOM kills (cgroup v2 only: elsewhere nothing is known).
 * Whom they hit it must not know: it is asked when a worker ended by a SIGKILL that nobody here
 * sent.
 */

#include <inttypes.h>

#include "os/oom.h"

static char path[4096];
static uint64_t known;

static uint64_t read_count(void)
{
        _cleanup_(fclosep) FILE *f = fopen(path, "re");
        uint64_t count = 0;
        char line[128];

        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "oom_kill %" SCNu64, &count) == 1)
                        break;

        return count;
}

static void find_path(void)
{
        _cleanup_(fclosep) FILE *f = fopen("/proc/self/cgroup", "re");
        char line[2048];

        while (f && fgets(line, sizeof(line), f)) {
                const char *group = startswith(line, "0::");

                if (!group)
                        continue;
                line[strcspn(line, "\n")] = '\0';
                (void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.events", group);
        }
}

void oom_open(const char *events)
{
        path[0] = '\0';
        if (events)
                (void)snprintf(path, sizeof(path), "%s", events);
        else
                find_path();

        known = read_count();
}

bool oom_has_killed(void)
{
        uint64_t count = read_count();
        bool more = count > known;

        known = count;
        return more;
}
