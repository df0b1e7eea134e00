/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A stub that tries, over and over, to open the memory and the ledger of the dispatcher: of the one
 * that started it, and of each process that comes after, one of which may be the next dispatcher in
 * the moment before it is protected. Until its client closes its side; then it says what came of
 * it.
 */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "stub-worker.h"

#define WINDOW      24 /* numbers after the latest process that may be the next dispatcher's */
#define LOOK_ROUNDS 64 /* between two looks at the client, and at the latest number */

struct race {
        unsigned long tries;
        unsigned long dispatcher; /* times that its memory or its ledger was opened */
        unsigned long neighbours; /* times that another process' memory was */
        unsigned long signals;    /* times that a process of others could have been signalled */
};

static bool is_dispatcher(pid_t pid)
{
        char path[64], program[PATH_MAX];
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
        n = readlink(path, program, sizeof(program) - 1);
        program[MAX(n, 0)] = '\0';
        return streq(strrchr(program, '/') ?: "", "/acceptd");
}

static void try_memory(struct race *race, pid_t pid)
{
        _cleanup_(fd_closep) int fd = -1;
        char path[64];

        race->tries++;
        (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return;
        if (is_dispatcher(pid))
                race->dispatcher++;
        else
                race->neighbours++;
}

static void try_ledger(struct race *race, pid_t pid)
{
        char path[64], target[256];
        DIR *dir;

        race->tries++;
        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
        dir = opendir(path);
        if (!dir)
                return;

        for (struct dirent *entry; (entry = readdir(dir));) {
                _cleanup_(fd_closep) int fd = -1;
                ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

                target[MAX(n, 0)] = '\0';
                if (!strstr(target, "acceptd-ledger"))
                        continue;
                fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC);
                race->dispatcher += fd >= 0;
        }
        (void)closedir(dir);
}

/* The number of the latest process, in this one's namespace; /proc may not show it. */
static pid_t find_latest(void)
{
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        if (pid > 0)
                (void)waitpid(pid, NULL, 0);
        return pid;
}

static void try_once(struct race *race, pid_t dispatcher, pid_t latest)
{
        try_ledger(race, dispatcher);
        for (pid_t pid = latest + 1; pid <= latest + WINDOW; pid++) {
                try_memory(race, dispatcher);
                try_memory(race, pid);
                race->signals += kill(pid, 0) == 0;
        }
        race->signals += kill(dispatcher, 0) == 0;
}

/* The next dispatcher is the only one left to be found, once the first is gone. */
static pid_t find_dispatcher(pid_t dispatcher, pid_t latest)
{
        if (kill(dispatcher, 0) == 0 || errno != ESRCH)
                return dispatcher;
        for (pid_t pid = latest + 1; pid <= latest + WINDOW; pid++)
                if (kill(pid, 0) < 0 && errno == EPERM)
                        return pid;

        return dispatcher;
}

void stub_race(const struct stub *stub, int client)
{
        struct race race = {};
        pid_t dispatcher = getppid(), latest = find_latest();
        char byte, line[160];
        int n;

        stub_say(stub, "races");
        for (unsigned i = 0; recv(client, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN; i++) {
                dispatcher = find_dispatcher(dispatcher, latest);
                latest = find_latest();
                for (unsigned k = 0; k < LOOK_ROUNDS; k++)
                        try_once(&race, dispatcher, latest);
        }

        n = snprintf(line, sizeof(line),
                "race tries=%lu dispatcher=%lu neighbours=%lu signals=%lu\n", race.tries,
                race.dispatcher, race.neighbours, race.signals);
        (void)!send(client, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}
