/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How large processes are: proc_pid_statm(5). Descendants are found by proc_tid_children(5), so
 * those whose parents have died are not, unless a subreaper got them. What /proc does not show, as
 * processes that have made themselves undumpable, counts nothing. It must not know what the
 * processes are for.
 */

#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

#include "os/memory.h"

/* More than these are not looked at: it is done in the midst of serving. */
#define PROCESSES_MAX 128
#define THREADS_MAX   64

struct family {
        pid_t pids[PROCESSES_MAX];
        size_t n;
};

/* Opens a file of a process, or of one of its threads. */
static FILE *open_proc(pid_t pid, const char *thread, const char *name)
{
        char path[320];

        (void)snprintf(path, sizeof(path), "/proc/%d/%s%s/%s", (int)pid, thread ? "task/" : "",
                thread ?: "", name);
        return fopen(path, "re");
}

static uint64_t read_resident(pid_t pid)
{
        _cleanup_(fclosep) FILE *f = open_proc(pid, NULL, "statm");
        uint64_t pages = 0;

        if (!f || fscanf(f, "%*u %" SCNu64, &pages) != 1)
                return 0;

        return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_children(struct family *family, pid_t pid, const char *thread)
{
        _cleanup_(fclosep) FILE *f = open_proc(pid, thread, "children");
        int child;

        while (f && family->n < PROCESSES_MAX && fscanf(f, "%d", &child) == 1)
                family->pids[family->n++] = child;
}

/* The kernel lists them by the thread that has started them. */
static void add_all_children(struct family *family, pid_t pid)
{
        char path[32];
        const struct dirent *entry;
        size_t n = 0;
        DIR *dir;

        (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
        dir = opendir(path);
        if (!dir)
                return;
        while (n < THREADS_MAX && (entry = readdir(dir))) {
                if (entry->d_name[0] == '.')
                        continue;
                add_children(family, pid, entry->d_name);
                n++;
        }
        (void)closedir(dir);
}

uint64_t memory_measure(pid_t pid)
{
        struct family family = { .pids = { pid }, .n = 1 };
        uint64_t size = 0;

        for (size_t i = 0; i < family.n; i++) {
                size += read_resident(family.pids[i]);
                add_all_children(&family, family.pids[i]);
        }

        return size;
}
