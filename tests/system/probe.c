/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker that has turned against its service: on each connection it tries what a worker of the
 * echo instance must not reach, and writes one line "denied WHAT" or "ALLOWED WHAT: HOW" for each
 * attempt, then closes. See test-hardening.sh.
 *
 * With an argument (the path of acceptd-echo), workers of odd number become that: neighbours to be
 * attacked.
 */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "libacceptd/acceptd.h"

#define FDS_TRIED 128
#define DEPTH_MAX 24

static FILE *report;
static char first_way[512]; /* into what is being tried */
static unsigned n_tried, n_allowed;

/* An attempt: `r` is what it returned, or -1 where it was denied. */
_printf_(2, 3) static void tried(long r, const char *format, ...)
{
        va_list args;

        n_tried++;
        if (r < 0 || n_allowed++ > 0)
                return;

        va_start(args, format);
        (void)vsnprintf(first_way, sizeof(first_way), format, args);
        va_end(args);
}

/* Ends a kind of attempts. */
static void conclude(const char *what)
{
        if (n_tried == 0)
                fprintf(report, "ALLOWED %s: nothing was tried\n", what);
        else if (n_allowed > 0)
                fprintf(report, "ALLOWED %s: %s (%u of %u)\n", what, first_way, n_allowed, n_tried);
        else
                fprintf(report, "denied %s (%u attempts)\n", what, n_tried);
        n_tried = n_allowed = 0;
}

static void try_network(void)
{
        static const struct {
                int family, type;
                const char *name;
        } kinds[] = {
                { AF_INET, SOCK_STREAM, "AF_INET" },
                { AF_INET, SOCK_DGRAM, "AF_INET" },
                { AF_INET6, SOCK_STREAM, "AF_INET6" },
                { AF_INET6, SOCK_DGRAM, "AF_INET6" },
                { AF_NETLINK, SOCK_RAW, "AF_NETLINK" },
                { AF_PACKET, SOCK_RAW, "AF_PACKET" },
                { AF_VSOCK, SOCK_STREAM, "AF_VSOCK" },
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                int fd = socket(kinds[i].family, kinds[i].type | SOCK_CLOEXEC, 0);

                tried(fd, "%s, type %d", kinds[i].name, kinds[i].type);
                fd_close(fd);
        }
        conclude("network socket");
}

/* It makes sockets where no filter of system calls sees it. */
static void try_io_uring(void)
{
        struct io_uring_params parameters = {};
        int fd = (int)syscall(SYS_io_uring_setup, 4, &parameters);

        tried(fd, "io_uring_setup");
        fd_close(fd);
        conclude("io_uring");
}

static void try_writing(int dir, const char *name, const char *path, mode_t mode)
{
        int fd;

        if (S_ISREG(mode)) {
                fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
                tried(fd, "%s", path);
        } else {
                static const char new[] = ".acceptd-probe";
                int folder = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

                fd = openat(folder, new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                tried(fd, "%s/%s", path, new);
                if (fd >= 0)
                        (void)unlinkat(folder, new, 0);
                fd_close(folder);
        }
        fd_close(fd);
}

/* Tries all regular files and folders below `path`; of /proc only what is of the whole system. */
static void try_tree(int parent, const char *name, const char *path, int depth)
{
        int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;

        if (!dir) {
                fd_close(fd);
                return;
        }

        while ((entry = readdir(dir))) {
                char below[PATH_MAX];
                struct stat st;

                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                if (streq(path, "/proc") && entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
                        continue;
                if (snprintf(below, sizeof(below), "%s/%s", streq(path, "/") ? "" : path,
                            entry->d_name) >= (int)sizeof(below))
                        continue;
                /* systemd hands it to each service, to be told of its own shortage: since 254 */
                if (streq(entry->d_name, "memory.pressure"))
                        continue;
                if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
                        try_writing(dirfd(dir), entry->d_name, below, st.st_mode);
                if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
                        try_tree(dirfd(dir), entry->d_name, below, depth + 1);
        }
        (void)closedir(dir);
}

static void try_files(void)
{
        try_tree(AT_FDCWD, "/", "/", 0);
        conclude("written file");
}

static void try_names(void)
{
        struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = 8 };
        int fd;

        fd = shm_open("/acceptd-probe", O_RDWR | O_CREAT, 0600);
        tried(fd, "shm_open");
        fd_close(fd);
        (void)shm_unlink("/acceptd-probe");
        fd = mq_open("/acceptd-probe", O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attributes);
        tried(fd, "mq_open");
        fd_close(fd);
        (void)mq_unlink("/acceptd-probe");
        conclude("memory or queue shared by name");
}

/* --- Other processes --- */

static int open_of(pid_t pid, const char *what, int flags)
{
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
        return open(path, flags | O_CLOEXEC | O_NONBLOCK);
}

static void try_memory(pid_t pid)
{
        static const struct {
                const char *name;
                int flags;
        } files[] = {
                { "mem", O_RDONLY },
                { "mem", O_RDWR },
                { "maps", O_RDONLY },
                { "smaps", O_RDONLY },
                { "environ", O_RDONLY },
                { "auxv", O_RDONLY },
                { "map_files", O_RDONLY | O_DIRECTORY },
        };
        char byte, here = 0;
        struct iovec local = { &byte, 1 }, remote = { &here, 1 };
        ssize_t n;

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                int fd = open_of(pid, files[i].name, files[i].flags);

                /* Some open for anybody and then give nothing. */
                n = fd < 0 ? -1 : streq(files[i].name, "mem") ? 0 : read(fd, &byte, 1);
                if (n == 0 && !streq(files[i].name, "mem"))
                        n = -1;
                if (fd >= 0 && streq(files[i].name, "map_files"))
                        n = 0;
                tried(n, "/proc/%d/%s", (int)pid, files[i].name);
                fd_close(fd);
        }

        /* The same program lies elsewhere there: EFAULT is as good as success. */
        n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
        tried(n < 0 && errno == EFAULT ? 0 : n, "process_vm_readv of %d", (int)pid);
        n = process_vm_writev(pid, &local, 1, &remote, 1, 0);
        tried(n < 0 && errno == EFAULT ? 0 : n, "process_vm_writev of %d", (int)pid);
}

static void try_ptrace(pid_t pid)
{
        long r = ptrace(PTRACE_SEIZE, pid, NULL, NULL);

        tried(r, "PTRACE_SEIZE of %d", (int)pid);
        if (r < 0)
                return;

        /* Let go again: it has to stop first. */
        (void)ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
        (void)syscall(SYS_wait4, pid, NULL, 0x40000000 /* __WALL */, NULL);
        (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void try_signal(pid_t pid)
{
        tried(kill(pid, 0), "a signal to %d", (int)pid);
}

/* Only where the kernel can keep it from that: Linux 6.12. */
static bool signals_are_closed(void)
{
        return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 6;
}

static void try_descriptors(pid_t pid)
{
        int pidfd = pidfd_open(pid, 0);

        for (int i = 0; i < FDS_TRIED; i++) {
                char name[32];
                int fd;

                (void)snprintf(name, sizeof(name), "fd/%d", i);
                fd = open_of(pid, name, O_RDONLY | O_PATH);
                tried(fd, "/proc/%d/fd/%d", (int)pid, i);
                fd_close(fd);

                if (pidfd < 0)
                        continue;
                fd = pidfd_getfd(pidfd, i, 0);
                tried(fd, "pidfd_getfd of %d in %d", i, (int)pid);
                fd_close(fd);
        }
        fd_close(pidfd);
}

static bool is_neighbour(pid_t pid)
{
        return pid != getpid() && getpgid(pid) >= 0;
}

/* All processes that have a number, whether /proc shows them or not. */
static void try_processes(void (*attempt)(pid_t pid), const char *what)
{
        for (pid_t pid = 1; pid < 32768; pid++)
                if (is_neighbour(pid) && pid != getppid())
                        attempt(pid);
        conclude(what);
}

static void try_ledger(void)
{
        DIR *dir;
        int fd = open_of(getppid(), "fd", O_RDONLY | O_DIRECTORY);

        tried(fd, "list of /proc/%d/fd", (int)getppid());
        dir = fd >= 0 ? fdopendir(fd) : NULL;
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                char target[256] = "";

                if (readlinkat(fd, entry->d_name, target, sizeof(target) - 1) > 0 &&
                        strstr(target, "acceptd-ledger")) {
                        int ledger = openat(fd, entry->d_name, O_RDWR | O_CLOEXEC);

                        tried(ledger, "%s for writing", target);
                        fd_close(ledger);
                }
        }
        if (dir)
                (void)closedir(dir);
        conclude("the dispatcher's ledger");
}

static void attack(int client)
{
        report = fdopen(client, "w");
        if (!report)
                return;

        /* A way that was found closed is as closed for the next client. */
        try_network();
        try_io_uring();
        try_names();
        try_ledger();
        try_descriptors(getppid());
        conclude("the dispatcher's descriptors");
        try_memory(getppid());
        conclude("the dispatcher's memory");
        try_processes(try_memory, "another process' memory");
        try_processes(try_descriptors, "another process' descriptors");
        try_processes(try_ptrace, "tracing another process");
        try_ptrace(getppid());
        conclude("tracing the dispatcher");
        if (signals_are_closed()) {
                try_processes(try_signal, "signals to another process");
                try_signal(getppid());
                conclude("signals to the dispatcher");
        }
        try_files();
        fprintf(report, "end\n");
        fclose(report);
}

int main(int argc, char **argv)
{
        const char *number = getenv("ACCEPTD_WORKER");
        struct acceptd_worker *worker = NULL;
        struct acceptd_connection c;
        int r;

        if (argc > 1 && number && atoi(number) % 2 == 1) {
                (void)execv(argv[1], argv + 1);
                return 127;
        }

        r = acceptd_worker_open(&worker, ACCEPTD_BLOCKING);
        if (r >= 0)
                r = acceptd_worker_ready(worker, 1);
        while (r >= 0 && (r = acceptd_worker_wait(worker, &c, sizeof(c), ACCEPTD_FOREVER)) ==
                                 ACCEPTD_CONNECTION) {
                attack(c.fd);
                r = acceptd_worker_done(worker, c.id);
        }
        acceptd_worker_free(worker);
        return acceptd_exit_status(r);
}
