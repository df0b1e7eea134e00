/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a program has started, however often that has started something and given it up: this
 * process is its reaper (PR_SET_CHILD_SUBREAPER), so that the parents of each lead to here. It must
 * not know what the program is for.
 */

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "workers/family.h"

#define DEPTH_MAX     64 /* parents to follow: chains of programs are shorter */
#define END_USEC      (5 * USEC_PER_SEC)
#define END_STEP_MSEC 10

int family_adopt(void)
{
        return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

/* Returns the parent, or 0 where there is no such process. */
static pid_t get_parent(pid_t pid)
{
        char path[32], line[512] = "";
        const char *name_end;
        int parent;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return 0;
        line[fread(line, 1, sizeof(line) - 1, f)] = '\0';
        (void)fclose(f);

        /* The name is in brackets, and may have any character, brackets too: proc_pid_stat(5). */
        name_end = strrchr(line, ')');
        return name_end && sscanf(name_end, ") %*c %d", &parent) == 1 ? parent : 0;
}

bool family_has(pid_t pid)
{
        pid_t self = getpid();

        for (unsigned i = 0; i < DEPTH_MAX && pid > 1; i++) {
                pid = get_parent(pid);
                if (pid == self)
                        return true;
        }

        return false;
}

static void kill_children(void)
{
        FILE *f = fopen("/proc/thread-self/children", "re");
        int pid;

        if (!f)
                return;
        while (fscanf(f, "%d", &pid) == 1)
                (void)kill(pid, SIGKILL);
        (void)fclose(f);
}

/* Returns false when there are none any more. */
static bool reap(void)
{
        pid_t pid;

        do
                pid = waitpid(-1, NULL, WNOHANG);
        while (pid > 0);

        return pid == 0;
}

void family_end(void)
{
        usec_t deadline = usec_add(usec_now(), END_USEC);

        /* Who dies leaves its own children to this process: hence again and again. */
        while (reap() && usec_now() < deadline) {
                kill_children();
                (void)poll(NULL, 0, END_STEP_MSEC);
        }
}
