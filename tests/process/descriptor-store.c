/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the service manager does with FDSTORE=1 and FDSTOREREMOVE=1. Called by harness.c with each
 * message, and by tests.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "descriptor-store.h"

#define FDS_MAX 4 /* of one message */

/* Returns the value of a line "KEY=VALUE", static, or NULL. */
static const char *get_value(const char *message, const char *key)
{
        static char value[64];

        for (const char *line = message; *line; line += *line == '\n') {
                const char *rest = startswith(line, key);
                size_t length = strcspn(line, "\n");

                if (rest && *rest == '=') {
                        (void)snprintf(value, sizeof(value), "%.*s",
                                (int)(length - strlen(key) - 1), rest + 1);
                        return value;
                }
                line += length;
        }

        return NULL;
}

/* Whether this open file is there already, under whatever name. */
static bool has(const struct descriptor_store *store, int fd)
{
        for (size_t i = 0; i < store->n; i++)
                if (syscall(SYS_kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, store->entries[i].fd,
                            fd) == 0)
                        return true;

        return false;
}

static void add(struct descriptor_store *store, int fd_consume, const char *name)
{
        if (store->n == store->max || has(store, fd_consume)) {
                fd_close(fd_consume); /* so does systemd, and says so in its log */
                return;
        }

        store->entries[store->n].fd = fd_consume;
        (void)snprintf(store->entries[store->n].name, sizeof(store->entries[0].name), "%s", name);
        store->n++;
}

static void handle(
        struct descriptor_store *store, const char *message, const int *fds_consume, size_t n_fds)
{
        bool keep = store->max > 0 && get_value(message, "FDSTORE");
        const char *name;

        assert_true(store->max <= STORE_ENTRIES_MAX);
        assert_false(keep && !get_value(message, "FDPOLL")); /* what hangs up would be dropped */
        name = get_value(message, "FDNAME");
        assert_false(keep && (!name || n_fds != 1));

        for (size_t i = 0; i < n_fds; i++)
                if (keep)
                        add(store, fds_consume[i], name);
                else
                        fd_close(fds_consume[i]);

        if (get_value(message, "FDSTOREREMOVE"))
                descriptor_store_drop(store, get_value(message, "FDNAME"));
}

ssize_t descriptor_store_receive(
        struct descriptor_store *store, int socket, char *data, size_t size)
{
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = data, .iov_len = size - 1 };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *c;
        int fds[FDS_MAX];
        size_t n_fds = 0;

        if (n < 0)
                return -1;

        c = CMSG_FIRSTHDR(&msg);
        if (c && c->cmsg_type == SCM_RIGHTS)
                n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (n_fds > 0)
                memcpy(fds, CMSG_DATA(c), n_fds * sizeof(int));
        data[n] = '\0';
        handle(store, data, fds, n_fds);

        return n;
}

int descriptor_store_get(const struct descriptor_store *store, const char *name)
{
        for (size_t i = 0; i < store->n; i++)
                if (streq(store->entries[i].name, name))
                        return store->entries[i].fd;

        return -1;
}

size_t descriptor_store_count(const struct descriptor_store *store, const char *prefix)
{
        size_t n = 0;

        for (size_t i = 0; i < store->n; i++)
                n += startswith(store->entries[i].name, prefix) != NULL;

        return n;
}

void descriptor_store_drop(struct descriptor_store *store, const char *name)
{
        size_t kept = 0;

        for (size_t i = 0; i < store->n; i++)
                if (streq(store->entries[i].name, name))
                        fd_close(store->entries[i].fd);
                else
                        store->entries[kept++] = store->entries[i];
        store->n = kept;
}

void descriptor_store_replace(struct descriptor_store *store, const char *name, int fd_consume)
{
        assert_true(fd_consume >= 0);
        assert_true(descriptor_store_get(store, name) >= 0);
        descriptor_store_drop(store, name);
        add(store, fd_consume, name);
}

void descriptor_store_done(struct descriptor_store *store)
{
        while (store->n > 0)
                fd_close(store->entries[--store->n].fd);
}
