/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The report of stub-worker: what a test wants to know of a worker's surroundings, one fact a line.
 */

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#include "stub-worker.h"

_printf_(2, 3) static void add(struct stub *stub, const char *format, ...)
{
        size_t used = strlen(stub->report);
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(stub->report + used, sizeof(stub->report) - used, format, ap);
        va_end(ap);
}

static void report_descriptors(struct stub *stub)
{
        DIR *dir = opendir("/proc/self/fd");
        struct dirent *entry;

        if (!dir)
                return;
        while ((entry = readdir(dir))) {
                char target[PATH_MAX];
                ssize_t n;

                if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
                        continue;
                n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));
                add(stub, "fd %s %.*s\n", entry->d_name, n > 0 ? (int)n : 0, target);
        }
        closedir(dir);
}

static void report_status(struct stub *stub)
{
        _cleanup_(fclosep) FILE *status = fopen("/proc/self/status", "re");
        char line[512];

        while (status && fgets(line, sizeof(line), status))
                if (startswith(line, "Sig") || startswith(line, "ShdPnd"))
                        add(stub, "status %s", line);
}

void stub_report(struct stub *stub)
{
        struct rlimit limit;

        stub->report[0] = '\0';
        add(stub, "process pid=%d sid=%d pgid=%d ppid=%d\n", (int)getpid(), (int)getsid(0),
                (int)getpgid(0), (int)getppid());
        report_descriptors(stub);
        report_status(stub);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                add(stub, "nofile %llu %llu\n", (unsigned long long)limit.rlim_cur,
                        (unsigned long long)limit.rlim_max);
        for (char **e = environ; *e; e++)
                add(stub, "env %s\n", *e);
        add(stub, "end\n");
}
