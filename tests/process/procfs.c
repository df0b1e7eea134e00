/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What /proc says of a process. Called by the harness and by tests; asserts nothing itself.
 */

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <unistd.h>

#include "base/fd.h"
#include "procfs.h"

#define DESCRIPTORS_MAX 65536

static FILE *open_proc(pid_t pid, const char *what)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
        return fopen(path, "re");
}

int procfs_stat(pid_t pid, struct procfs_stat *ret_stat)
{
        _cleanup_(fclosep) FILE *f = open_proc(pid, "stat");
        struct procfs_stat stat = {};
        uint64_t user, system;
        char line[1024];
        char *name, *rest;

        if (!f || !fgets(line, sizeof(line), f))
                return errno > 0 ? -errno : -ESRCH;

        /* "PID (NAME) STATE ...": the name may have brackets and blanks of its own */
        name = strchr(line, '(');
        rest = strrchr(line, ')');
        if (!name || !rest)
                return -EIO;
        *rest = '\0';
        (void)snprintf(stat.name, sizeof(stat.name), "%s", name + 1);

        if (sscanf(rest + 1, " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                    &stat.state, &stat.parent, &stat.group, &stat.session, &user, &system) != 6)
                return -EIO;

        stat.cpu_ticks = user + system;
        *ret_stat = stat;
        return 0;
}

uint64_t procfs_switches(pid_t pid)
{
        _cleanup_(fclosep) FILE *f = open_proc(pid, "status");
        uint64_t total = 0;
        char line[256];

        while (f && fgets(line, sizeof(line), f)) {
                const char *number = startswith(line, "voluntary_ctxt_switches:")
                                             ?: startswith(line, "nonvoluntary_ctxt_switches:");

                if (number)
                        total += strtoull(number, NULL, 10);
        }

        return total;
}

static int compare_numbers(const void *a, const void *b)
{
        const int *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void closedirp(DIR **dir)
{
        if (*dir)
                closedir(*dir);
}

char *procfs_descriptors(pid_t pid)
{
        static int numbers[DESCRIPTORS_MAX];
        _cleanup_(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        char path[128];
        char *text = NULL;
        size_t size, n = 0;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
        dir = opendir(path);
        if (!dir)
                return NULL;

        while ((entry = readdir(dir)) && n < DESCRIPTORS_MAX) {
                int number = atoi(entry->d_name);

                if (entry->d_name[0] != '.' && !(pid == getpid() && number == dirfd(dir)))
                        numbers[n++] = number;
        }
        qsort(numbers, n, sizeof(numbers[0]), compare_numbers);

        f = open_memstream(&text, &size);
        if (!f)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                char name[16], target[PATH_MAX];
                ssize_t length;

                (void)snprintf(name, sizeof(name), "%d", numbers[i]);
                length = readlinkat(dirfd(dir), name, target, sizeof(target));
                fprintf(f, "%d %.*s\n", numbers[i], length > 0 ? (int)length : 0, target);
        }
        fclose(f);

        return text;
}

size_t procfs_lines(const char *text)
{
        size_t n = 0;

        for (const char *p = text; (p = strchr(p, '\n')); p++)
                n++;

        return n;
}

/* Not /proc/PID/task/TID/children: a kernel may be built without it. */
size_t procfs_children(pid_t pid, pid_t *pids, size_t max)
{
        _cleanup_(closedirp) DIR *dir = opendir("/proc");
        struct dirent *entry;
        size_t n = 0;

        while (dir && n < max && (entry = readdir(dir))) {
                struct procfs_stat stat;
                pid_t child = atoi(entry->d_name);

                if (child > 0 && procfs_stat(child, &stat) == 0 && stat.parent == pid)
                        pids[n++] = child;
        }

        return n;
}
