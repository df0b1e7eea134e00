/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Descriptors by their names. Their numbers and their order mean nothing: the service manager
 * passes them in any. Knows which names are this program's, and not what is behind them.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "os/inheritance.h"
#include "os/listener.h"

/* The number of a descriptor with one line for each entry: its number, a space, its name. */
#define VARIABLE "ACCEPTD_ADOPT"

/* True where both are the same socket. Numbers of inodes come round, cookies do not; those are
 * unique in one network namespace: socket(7), SO_COOKIE. */
static bool is_same_socket(int a, int b)
{
        uint64_t cookies[2] = {};
        socklen_t len[2] = { sizeof(cookies[0]), sizeof(cookies[1]) };
        struct stat st[2];

        if (fstat(a, &st[0]) < 0 || fstat(b, &st[1]) < 0 || st[0].st_ino != st[1].st_ino)
                return false;

        return getsockopt(a, SOL_SOCKET, SO_COOKIE, &cookies[0], &len[0]) == 0 &&
               getsockopt(b, SOL_SOCKET, SO_COOKIE, &cookies[1], &len[1]) == 0 &&
               cookies[0] == cookies[1];
}

/* A listener comes from its socket unit, from the store, or from both. Of two it is that of the
 * unit that counts, which may have got another name meanwhile. */
static void merge_listeners(struct inheritance *inheritance)
{
        for (size_t i = 0; i < inheritance->n; i++) {
                struct inherited *kept = &inheritance->entries[i];

                for (size_t k = 0; kept->is_kept && kept->fd >= 0 && k < inheritance->n; k++) {
                        const struct inherited *other = &inheritance->entries[k];

                        if (k == i || !other->listens || other->fd < 0 ||
                                !is_same_socket(kept->fd, other->fd))
                                continue;
                        kept->fd = fd_close(kept->fd);
                        if (!streq(kept->name, other->name))
                                store_forget_listener(kept->name);
                }
        }
}

static int append(struct inheritance *inheritance, int fd, char *name_consume)
{
        struct inherited *entries = reallocarray(
                inheritance->entries, inheritance->n + 1, sizeof(*inheritance->entries));
        const char *stored = startswith(name_consume, STORE_LISTENER);
        bool listens = listener_listens(fd);

        if (!entries) {
                free(name_consume);
                return -ENOMEM;
        }

        inheritance->entries = entries;
        entries[inheritance->n++] = (struct inherited){
                .fd = fd,
                .name = name_consume,
                .listens = listens,
                .is_kept = listens && stored,
        };
        if (listens && stored)
                memmove(name_consume, stored, strlen(stored) + 1);
        return 0;
}

static int collect_from_manager(struct inheritance *inheritance)
{
        char **names = NULL;
        int n, r = 0;

        n = sd_listen_fds_with_names(true, &names);
        if (n < 0)
                return n;

        for (int i = 0; i < n; i++)
                if (r >= 0)
                        r = append(inheritance, SD_LISTEN_FDS_START + i, names[i]);
                else
                        free(names[i]);
        free(names);

        merge_listeners(inheritance);
        return r;
}

static int collect_from_image(struct inheritance *inheritance, int list_fd)
{
        _cleanup_(fclosep) FILE *f = fdopen(list_fd, "r");
        char line[512];

        if (!f)
                return -errno;

        inheritance->from_reload = true;
        while (fgets(line, sizeof(line), f)) {
                char *end;
                int fd = (int)strtol(line, &end, 10), r;
                char *name;

                line[strcspn(line, "\n")] = '\0';
                if (end == line || *end != ' ')
                        return -EBADMSG;
                r = fd_set_cloexec(fd, true);
                if (r < 0)
                        return r;
                name = strdup(end + 1);
                if (!name)
                        return -ENOMEM;
                r = append(inheritance, fd, name);
                if (r < 0)
                        return r;
        }

        return 0;
}

int inheritance_collect(struct inheritance *inheritance)
{
        const char *list = getenv(VARIABLE);
        int list_fd;

        *inheritance = (struct inheritance){};
        if (!list)
                return collect_from_manager(inheritance);

        list_fd = atoi(list);
        (void)unsetenv(VARIABLE);
        return collect_from_image(inheritance, list_fd);
}

int inheritance_add(struct inheritance *inheritance, int fd, const char *name)
{
        char *copy = strdup(name);

        return copy ? append(inheritance, fd, copy) : -ENOMEM;
}

int inheritance_add_numbered(
        struct inheritance *inheritance, int fd, enum store_kind kind, uint64_t number)
{
        char name[STORE_NAME_MAX];

        return fd < 0 ? 0 : inheritance_add(inheritance, fd, store_name(name, kind, number));
}

static int write_list(const struct inheritance *inheritance, int list_fd)
{
        _cleanup_(fclosep) FILE *f = NULL;
        int copy = fcntl(list_fd, F_DUPFD_CLOEXEC, 0);

        if (copy < 0)
                return -errno;
        f = fdopen(copy, "w");
        if (!f) {
                fd_close(copy);
                return -ENOMEM;
        }

        for (size_t i = 0; i < inheritance->n; i++)
                fprintf(f, "%d %s%s\n", inheritance->entries[i].fd,
                        inheritance->entries[i].is_kept ? STORE_LISTENER : "",
                        inheritance->entries[i].name);
        if (fflush(f) != 0)
                return -errno;

        return lseek(list_fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

int inheritance_pass(struct inheritance *inheritance)
{
        _cleanup_(fd_closep) int list_fd = memfd_create(VARIABLE, 0);
        char number[16];
        int r;

        if (list_fd < 0)
                return -errno;
        r = write_list(inheritance, list_fd);
        for (size_t i = 0; r >= 0 && i < inheritance->n; i++)
                r = fd_set_cloexec(inheritance->entries[i].fd, false);
        if (r < 0) {
                inheritance_keep(inheritance);
                return r;
        }

        (void)snprintf(number, sizeof(number), "%d", list_fd);
        if (setenv(VARIABLE, number, true) < 0) {
                inheritance_keep(inheritance);
                return -ENOMEM;
        }

        return TAKE_FD(list_fd);
}

void inheritance_keep(struct inheritance *inheritance)
{
        (void)unsetenv(VARIABLE);
        for (size_t i = 0; i < inheritance->n; i++) {
                (void)fd_set_cloexec(inheritance->entries[i].fd, true);
                inheritance->entries[i].fd = -1;
        }
}

void inheritance_done(struct inheritance *inheritance)
{
        for (size_t i = 0; i < inheritance->n; i++) {
                fd_close(inheritance->entries[i].fd);
                free(inheritance->entries[i].name);
        }
        free(TAKE_PTR(inheritance->entries));
        inheritance->n = 0;
}

int inheritance_take(struct inheritance *inheritance, const char *name)
{
        for (size_t i = 0; i < inheritance->n; i++) {
                struct inherited *entry = &inheritance->entries[i];

                if (entry->fd >= 0 && streq(entry->name, name))
                        return TAKE_FD(entry->fd);
        }

        return -1;
}

int inheritance_take_numbered(
        struct inheritance *inheritance, enum store_kind kind, uint64_t number)
{
        char name[STORE_NAME_MAX];

        return inheritance_take(inheritance, store_name(name, kind, number));
}

int inheritance_take_old(struct inheritance *inheritance, enum store_kind kind, uint64_t number)
{
        char name[STORE_NAME_MAX];

        return inheritance_take(inheritance, store_name_old(name, kind, number));
}

static bool is_reserved(const char *name)
{
        return name[0] && strchr(STORE_RESERVED, name[0]);
}

struct store_entry inheritance_read_name(const struct inherited *entry)
{
        return entry->listens ? (struct store_entry){} : store_read_name(entry->name);
}

struct inherited *inheritance_find_latest(
        struct inheritance *inheritance, enum store_kind kind, uint64_t *ret_number)
{
        struct inherited *found = NULL;

        *ret_number = 0;
        for (size_t i = 0; i < inheritance->n; i++) {
                struct inherited *entry = &inheritance->entries[i];
                struct store_entry e = inheritance_read_name(entry);

                if (e.kind != kind || entry->fd < 0 || (found && e.number < *ret_number))
                        continue;
                found = entry;
                *ret_number = e.number;
        }

        return found;
}

const char *inheritance_get_listener(const struct inheritance *inheritance, size_t i)
{
        const struct inherited *entry = &inheritance->entries[i];

        if (entry->fd < 0 || streq(entry->name, STORE_CONTROL))
                return NULL;
        if (entry->listens)
                return entry->name;

        /* What is no socket that listens is refused with its name, unless it is of the store. */
        return is_reserved(entry->name) || store_read_name(entry->name).kind != STORE_NOTHING
                       ? NULL
                       : entry->name;
}

/* Several control sockets, as with two ListenStream=, are in nobody's way; of one of them and
 * another socket of that name, it is the other that is meant to be served. */
static bool is_second_control(const struct inheritance *inheritance, size_t i)
{
        const struct inherited *entry = &inheritance->entries[i];
        unsigned n = 0;

        if (!streq(entry->name, STORE_CONTROL) ||
                sd_is_socket_unix(entry->fd, SOCK_STREAM, true, NULL, 0) > 0)
                return false;
        for (size_t k = 0; k < inheritance->n; k++)
                n += inheritance->entries[k].listens &&
                     streq(inheritance->entries[k].name, STORE_CONTROL);

        return n > 1;
}

bool inheritance_is_after_another(const struct inheritance *inheritance)
{
        for (size_t i = 0; i < inheritance->n; i++)
                if (inheritance_read_name(&inheritance->entries[i]).kind != STORE_NOTHING)
                        return true;

        return inheritance->from_reload;
}

/* At a fresh start there is no kept listener: somebody has called one of his so. */
static bool has_wrong_name(const struct inheritance *inheritance, size_t i)
{
        const struct inherited *entry = &inheritance->entries[i];

        return is_reserved(entry->name) ||
               (entry->is_kept && !inheritance_is_after_another(inheritance)) ||
               is_second_control(inheritance, i);
}

int inheritance_check(const struct inheritance *inheritance, char **ret_message)
{
        for (size_t i = 0; i < inheritance->n; i++) {
                const struct inherited *entry = &inheritance->entries[i];

                if (entry->fd < 0 || !entry->listens || !has_wrong_name(inheritance, i))
                        continue;
                if (asprintf(ret_message,
                            "Descriptor %d is a listening socket with the name \"%s%s\", which is "
                            "none for a listener; write FileDescriptorName= into its .socket "
                            "unit: allowed is any that does not begin with %% + = or !, and is "
                            "not " STORE_CONTROL,
                            entry->fd, entry->is_kept ? STORE_LISTENER : "", entry->name) < 0)
                        return -ENOMEM;
                return -EINVAL;
        }

        return 0;
}
