/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One file of /proc: proc(5).
 */

#include <inttypes.h>
#include <unistd.h>

#include "acceptctl/process.h"

/* Fields behind the name, which may have blanks and brackets in it */
#define FIELD_UTIME 11
#define FIELD_STIME 12
#define FIELD_RSS   21

bool process_get_use(const struct places *places, long long pid, struct process_use *ret)
{
        unsigned long long fields[FIELD_RSS + 1] = {};
        long ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
        char path[48], text[1024], *rest, *field;

        (void)snprintf(path, sizeof(path), "/proc/%lld/stat", pid);
        if (pid <= 0 || !instance_read_file(places, path, text, sizeof(text)))
                return false;
        rest = strrchr(text, ')');
        if (!rest || rest[1] != ' ' || ticks <= 0 || page <= 0)
                return false;

        rest += 2;
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                field = strsep(&rest, " ");
                if (!field)
                        return false;
                fields[i] = strtoull(field, NULL, 10);
        }

        ret->cpu = (fields[FIELD_UTIME] + fields[FIELD_STIME]) * USEC_PER_SEC / (usec_t)ticks;
        ret->memory = fields[FIELD_RSS] * (uint64_t)page;
        return true;
}

const char *process_format_memory(uint64_t bytes, char buffer[static PROCESS_FORMAT_SIZE])
{
        static const char units[] = "BKMGTPE";
        size_t unit = 0;
        double n = (double)bytes;

        while (n >= 1024 && unit < sizeof(units) - 2) {
                n /= 1024;
                unit++;
        }

        (void)snprintf(buffer, PROCESS_FORMAT_SIZE, unit == 0 || n >= 100 ? "%.0f%c" : "%.1f%c", n,
                units[unit]);
        return buffer;
}
