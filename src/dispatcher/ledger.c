/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The memory that the pool's records live in. Called when the dispatcher starts; what the records
 * mean is policy/pool.c's and policy/slots.c's matter.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "dispatcher/ledger.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const char magic[8] = "acceptd";

static size_t align(size_t offset)
{
        return (offset + 63) & ~(size_t)63;
}

static int make_memfd(size_t size)
{
        _cleanup_(fd_closep) int fd =
                memfd_create("acceptd-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return -errno;
        if (ftruncate(fd, (off_t)size) < 0)
                return -errno;
        /* Whoever maps it later can rely on its size. */
        if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return -errno;

        return TAKE_FD(fd);
}

struct layout {
        size_t rows_at;
        size_t slots_at;
        size_t size;
};

static struct layout lay_out(uint32_t n_rows, uint32_t n_slots)
{
        size_t rows_at = align(sizeof(struct ledger_header));
        size_t slots_at = align(rows_at + n_rows * sizeof(struct worker_row));

        return (struct layout){
                .rows_at = rows_at,
                .slots_at = slots_at,
                .size = slots_at + n_slots * sizeof(struct slot),
        };
}

static int map(struct ledger *ledger, int fd_consume, const struct layout *layout)
{
        _cleanup_(fd_closep) int fd = fd_consume;
        uint8_t *p;

        p = mmap(NULL, layout->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;

        *ledger = (struct ledger){
                .fd = TAKE_FD(fd),
                .size = layout->size,
                .header = (struct ledger_header *)(void *)p,
                .rows = (struct worker_row *)(void *)(p + layout->rows_at),
                .slots = (struct slot *)(void *)(p + layout->slots_at),
        };
        return 0;
}

int ledger_create(struct ledger *ledger, uint32_t n_rows, uint32_t n_slots)
{
        struct layout layout = lay_out(n_rows, n_slots);
        _cleanup_(fd_closep) int fd = make_memfd(layout.size);
        int r;

        if (fd < 0)
                return fd;
        r = map(ledger, TAKE_FD(fd), &layout);
        if (r < 0)
                return r;

        memcpy(ledger->header->magic, magic, sizeof(magic));
        ledger->header->version = LEDGER_VERSION;
        ledger->header->n_rows = n_rows;
        ledger->header->n_slots = n_slots;

        return 0;
}

/* Reads the header. Returns what is wrong with a file as a ledger, or NULL. What the pool keeps in
 * it is checked by pool_init(). */
static const char *check(int fd, struct ledger_header *h)
{
        struct stat st;
        int seals = fcntl(fd, F_GET_SEALS);

        if (seals < 0 || (seals & SEALS) != SEALS)
                return "it is not sealed";
        if (pread(fd, h, sizeof(*h), 0) != sizeof(*h))
                return "it is too short";
        if (memcmp(h->magic, magic, sizeof(magic)) != 0)
                return "it does not begin like one";
        if (h->version != LEDGER_VERSION)
                return "it has another version";
        if (h->n_rows == 0 || h->n_rows > LEDGER_ROWS || h->n_slots == 0 ||
                h->n_slots > SLOTS_MAX || fstat(fd, &st) < 0 ||
                (size_t)st.st_size != lay_out(h->n_rows, h->n_slots).size)
                return "its size is wrong";
        if (h->n_names > LEDGER_NAMES_MAX)
                return "it has too many names";
        for (uint32_t i = 0; i < h->n_names; i++)
                if (!memchr(h->names[i], '\0', LEDGER_NAME_SIZE))
                        return "a name in it has no end";

        return NULL;
}

int ledger_adopt(struct ledger *ledger, int fd_consume, const char **ret_why)
{
        _cleanup_(fd_closep) int fd = fd_consume;
        struct ledger_header header = {};
        struct layout layout;
        const char *why = check(fd, &header);

        if (why) {
                *ret_why = why;
                return -EBADMSG;
        }

        layout = lay_out(header.n_rows, header.n_slots);
        return map(ledger, TAKE_FD(fd), &layout);
}

uint32_t ledger_read_generation(int fd)
{
        struct ledger_header header = {};

        return check(fd, &header) ? 0 : header.pool.generation;
}

void ledger_done(struct ledger *ledger)
{
        if (ledger->header)
                (void)munmap(ledger->header, ledger->size);
        ledger->header = NULL;
        ledger->fd = fd_close(ledger->fd);
}

int ledger_add_name(struct ledger *ledger, const char *name)
{
        struct ledger_header *h = ledger->header;
        uint32_t i;

        for (i = 0; i < h->n_names; i++)
                if (streq(h->names[i], name))
                        return (int)i;

        if (i == LEDGER_NAMES_MAX || strlen(name) >= LEDGER_NAME_SIZE)
                return -ENOSPC;

        memcpy(h->names[i], name, strlen(name) + 1);
        h->n_names++;
        return (int)i;
}

char *ledger_join_names(const struct ledger *ledger)
{
        const struct ledger_header *h = ledger->header;
        char *joined = malloc(h->n_names * LEDGER_NAME_SIZE + 1), *end = joined;

        if (!joined)
                return NULL;

        *end = '\0';
        for (uint32_t i = 0; i < h->n_names; i++) {
                if (i > 0)
                        end = stpcpy(end, ":");
                end = stpcpy(end, h->names[i]);
        }

        return joined;
}

struct pool_memory ledger_get_memory(struct ledger *ledger, uint32_t n_rows)
{
        uint32_t most = ledger->header->n_rows, used = most;

        while (used > 0 && ledger->rows[used - 1].state == WORKER_NONE)
                used--;

        return (struct pool_memory){
                .state = &ledger->header->pool,
                .rows = ledger->rows,
                .n_rows = used + MIN(n_rows, most - used),
                .slots = ledger->slots,
                .n_slots = ledger->header->n_slots,
        };
}
