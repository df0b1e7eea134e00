/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * After a crash, ends what is in the service's control group and not in the ledger. Called by
 * adoption.c. The numbers of processes come from a list, and may be somebody else's a moment later:
 * nothing is sent to a number.
 */

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "os/journal.h"
#include "os/notify.h"
#include "os/store.h"
#include "takeover/leftovers.h"

#define ANCESTORS_MAX 64
/* What starts processes faster than they are ended is left to somebody else. */
#define ROUNDS_MAX 4

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

/* cgroup v1 has a hierarchy for systemd alone; with it, v2 may be mounted, too, or not. */
static bool find_hierarchy(const char *line, const char *root, char *ret_path)
{
        static const char *const mounts[] = { "", "/systemd", "/unified" };
        const char *group = strchr(line, ':'), *name = strrchr(line, '/');

        if (!group || !name || strlen(name) < strlen(".service") ||
                !streq(name + strlen(name) - strlen(".service"), ".service"))
                return false;
        group++;
        if (!startswith(group, "name=systemd:/") && !startswith(group, ":/"))
                return false;

        for (size_t i = 0; i < ELEMENTSOF(mounts); i++) {
                (void)snprintf(ret_path, LEFTOVERS_PATH_MAX, "%s%s%s/cgroup.procs", root, mounts[i],
                        strchr(group, '/'));
                if (access(ret_path, R_OK) == 0)
                        return true;
        }

        return false;
}

bool leftovers_find(const char *self, const char *root, char *ret_path)
{
        _cleanup_(fclosep) FILE *f = fopen(self, "re");
        char line[2048];

        while (f && fgets(line, sizeof(line), f)) {
                line[strcspn(line, "\n")] = '\0';
                if (find_hierarchy(line, root, ret_path))
                        return true;
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

/* struct pidfd_info and PIDFD_GET_INFO of <linux/pidfd.h>, since Linux 6.13; it grows */
struct info {
        uint64_t mask, cgroup;
        uint32_t pid, tgid, parent, ids[8], exit_code;
};
#define GET_INFO _IOWR(0xFF, 11, struct info)

/* Returns 0 where it cannot be seen: it is gone; or, before Linux 6.13, it is another user's, hides
 * its memory, or was started in another user namespace, as with PrivateUsers= before each crash. */
static pid_t get_parent(pid_t pid)
{
        _cleanup_(fd_closep) int pidfd = pidfd_open(pid, 0);
        struct info info = { .mask = 1 };
        char path[32], text[512], *after;
        int parent;
        FILE *f;

        if (pidfd >= 0 && ioctl(pidfd, GET_INFO, &info) == 0)
                return (pid_t)info.parent;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        f = fopen(path, "re");
        if (!f)
                return 0;
        text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
        fclose(f);

        /* behind its name, which may have anything in it: proc(5) */
        after = strrchr(text, ')');
        return after && sscanf(after, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* What cannot be told stays. */
static bool is_kept(const struct pids *kept, pid_t pid)
{
        for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
                pid_t group = getpgid(pid);

                if (group < 0 || pid == getpid() || has(kept, pid) || has(kept, group))
                        return true;
                pid = get_parent(pid);
        }

        return pid != 1;
}

/* Ends it where it is still the one that the list means. */
static bool end(const char *path, const struct pids *kept, pid_t pid)
{
        _cleanup_(fd_closep) int pidfd = pidfd_open(pid, 0);
        struct pids again;
        bool is_in;

        if (pidfd < 0 || is_kept(kept, pid))
                return false;
        again = read_list(path);
        is_in = has(&again, pid);
        pids_done(&again);

        /* EPERM: another user's, which systemd runs for this service, as ExecReload=+ is */
        return is_in && pidfd_send_signal(pidfd, SIGKILL, NULL, 0) == 0;
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

/* Returns 0 where it is dead. */
static pid_t get_pid(int pidfd)
{
        char path[48], line[128];
        _cleanup_(fclosep) FILE *f = NULL;
        int pid = 0;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "Pid: %d", &pid) == 1)
                        break;

        return MAX(pid, 0);
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

                if (startswith(entry->name, STORE_PIDFD) && is_alive(entry->fd) &&
                        !add_pid(kept, get_pid(entry->fd)))
                        return false;
        }

        return true;
}

/* In a terminal the control group is the user's whole session. */
bool leftovers_is_after_crash(const struct inheritance *inheritance)
{
        if (inheritance->from_reload || !notify_is_service())
                return false;

        for (size_t i = 0; i < inheritance->n; i++) {
                const char *name = inheritance->entries[i].name;

                /* the control socket is passed at every start */
                if (startswith(name, STORE_PREFIX) && !streq(name, STORE_CONTROL))
                        return true;
        }

        return false;
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
