/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The memory that the pool's records live in. Called when the dispatcher starts; what the records
 * mean is policy/pool.c's and policy/slots.c's matter.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "dispatcher/ledger.h"

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
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int ledger_create(struct ledger *ledger, uint32_t n_rows, uint32_t n_slots)
{
        size_t rows_at = align(sizeof(struct ledger_header));
        size_t slots_at = align(rows_at + n_rows * sizeof(struct worker_row));
        size_t size = slots_at + n_slots * sizeof(struct slot);
        _cleanup_(fd_closep) int fd = make_memfd(size);
        uint8_t *p;

        if (fd < 0)
                return fd;

        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;

        *ledger = (struct ledger){
                .fd = TAKE_FD(fd),
                .size = size,
                .header = (struct ledger_header *)(void *)p,
                .rows = (struct worker_row *)(void *)(p + rows_at),
                .slots = (struct slot *)(void *)(p + slots_at),
        };
        memcpy(ledger->header->magic, magic, sizeof(magic));
        ledger->header->version = LEDGER_VERSION;
        ledger->header->n_rows = n_rows;
        ledger->header->n_slots = n_slots;

        return 0;
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

        strcpy(h->names[i], name);
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

struct pool_memory ledger_get_memory(struct ledger *ledger)
{
        return (struct pool_memory){
                .state = &ledger->header->pool,
                .rows = ledger->rows,
                .n_rows = ledger->header->n_rows,
                .slots = ledger->slots,
                .n_slots = ledger->header->n_slots,
        };
}
