/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * After a crash, ends what is in the service's control group and belongs to no worker. PIDs from
 * cgroup.procs may be reused at any moment. So a signal goes to a pidfd only, and only after the
 * PID was found in the list again with the pidfd already open. Without cgroups v2, or before
 * Linux 6.13, which tells the parent of a process by its pidfd, nothing is ended here: whatever is
 * not known stays.
 */

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "os/journal.h"
#include "os/notify.h"
#include "os/pidfd-info.h"
#include "takeover/leftovers.h"

/* What starts processes faster than they are ended is left to somebody else. */
#define ROUNDS_MAX 4

#define DEATH_MSEC 100

static bool add_pid(struct pids *pids, pid_t pid)
{
        pid_t *list = reallocarray(pids->list, pids->n + 1, sizeof(*list));

        if (!list)
                return false;

        pids->list = list;
        list[pids->n++] = pid;
        return true;
}

static void pids_done(struct pids *pids)
{
        free(TAKE_PTR(pids->list));
        pids->n = 0;
}

static bool has(const struct pids *pids, pid_t pid)
{
        for (size_t i = 0; i < pids->n; i++)
                if (pids->list[i] == pid)
                        return true;

        return false;
}

/* --- The control group --- */

bool leftovers_find(const char *self, const char *root, char *ret_path)
{
        _cleanup_(fclosep) FILE *f = fopen(self, "re");
        char line[2048];

        while (f && fgets(line, sizeof(line), f)) {
                const char *group = startswith(line, "0::/"), *end;

                line[strcspn(line, "\n")] = '\0';
                end = strrchr(line, '.');
                if (!group || !end || !streq(end, ".service"))
                        continue;
                (void)snprintf(ret_path, LEFTOVERS_PATH_MAX, "%s/%s/cgroup.procs", root, group);
                return access(ret_path, R_OK) == 0;
        }

        return false;
}

static struct pids read_list(const char *path)
{
        _cleanup_(fclosep) FILE *f = fopen(path, "re");
        struct pids pids = {};
        int pid;

        /* 0: one that cannot be named here, in a container for instance */
        while (f && fscanf(f, "%d", &pid) == 1)
                if (pid > 1 && !add_pid(&pids, pid))
                        break;

        return pids;
}

/* --- Whose they are --- */

/* What has its parent in the group is its parent's matter: a worker's child, or that of a process
 * that is ended now, and then is init's in the next round. */
static bool is_kept(const struct pids *kept, const struct pids *all, pid_t pid, int pidfd)
{
        pid_t group = getpgid(pid), parent;

        if (group < 0 || pid == getpid() || has(kept, pid) || has(kept, group))
                return true;

        parent = pidfd_info_get_parent(pidfd);
        return parent < 0 || has(all, parent);
}

/* Ends it where it is still the one that the list means. */
static bool end(const char *path, const struct pids *kept, pid_t pid)
{
        _cleanup_(fd_closep) int pidfd = pidfd_open(pid, 0);
        _cleanup_(pids_done) struct pids again = {};

        if (pidfd < 0)
                return false;
        again = read_list(path);

        /* EPERM: another user's, which systemd runs for this service, as ExecReload=+ is */
        if (!has(&again, pid) || is_kept(kept, &again, pid, pidfd) ||
                pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0)
                return false;

        /* so that its children have another parent in the next round */
        (void)poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, DEATH_MSEC);
        return true;
}

size_t leftovers_end_others(const char *path, struct pids *kept)
{
        _cleanup_(pids_done) struct pids ended = {};
        size_t before;
        int rounds = 0;

        /* again, for what they started meanwhile */
        do {
                _cleanup_(pids_done) struct pids found = read_list(path);

                before = ended.n;
                for (size_t i = 0; i < found.n; i++)
                        if (!has(&ended, found.list[i]) && end(path, kept, found.list[i]))
                                (void)add_pid(&ended, found.list[i]);
        } while (ended.n > before && ++rounds < ROUNDS_MAX);

        return ended.n;
}

/* --- All of it --- */

static bool is_alive(int pidfd)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return pidfd >= 0 && poll(&p, 1, 0) == 0;
}

/* Workers of the ledger; and of one that could not be used, which finish what they have. Returns
 * false without memory. */
static bool collect_workers(
        struct pids *kept, const struct dispatcher *d, const struct inheritance *inheritance)
{
        for (uint32_t i = 0; i < d->pool.n_rows; i++)
                if (is_alive(d->workers[i].pidfd) && !add_pid(kept, d->workers[i].pid))
                        return false;

        for (size_t i = 0; i < inheritance->n; i++) {
                const struct inherited *entry = &inheritance->entries[i];

                if (inheritance_read_name(entry).kind == STORE_PIDFD && is_alive(entry->fd) &&
                        !add_pid(kept, process_get_pid(entry->fd)))
                        return false;
        }

        return true;
}

/* In a terminal the control group is the user's whole session. */
bool leftovers_is_after_crash(const struct inheritance *inheritance)
{
        return !inheritance->from_reload && notify_is_service() &&
               inheritance_is_after_another(inheritance);
}

void leftovers_end(const struct dispatcher *d, const struct inheritance *inheritance)
{
        _cleanup_(pids_done) struct pids kept = {};
        char path[LEFTOVERS_PATH_MAX];
        size_t n;

        if (!leftovers_is_after_crash(inheritance) || !collect_workers(&kept, d, inheritance) ||
                !leftovers_find("/proc/self/cgroup", "/sys/fs/cgroup", path))
                return;

        n = leftovers_end_others(path, &kept);
        if (n > 0)
                journal_event(MESSAGE_LEFTOVERS_ENDED,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", n)),
                        "Ended %zu process%s of this service that belonged to no worker.", n,
                        n == 1 ? "" : "es");
}
