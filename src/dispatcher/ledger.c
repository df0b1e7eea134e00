/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The memory that the pool's records live in: made, taken over, copied. What the records mean is
 * policy/pool.c's and policy/slots.c's matter.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "dispatcher/ledger-layout.h"

static struct ledger_layout lay_out(uint32_t n_rows, uint32_t n_slots)
{
        struct ledger_layout layout = {
                .version = LEDGER_VERSION,
                .header_size = sizeof(struct ledger_header),
                .row_size = sizeof(struct worker_row),
                .slot_size = sizeof(struct slot),
                .n_rows = n_rows,
                .n_slots = n_slots,
        };

        ledger_layout_place(&layout);
        return layout;
}

uint32_t ledger_count_rows(uint32_t used, const struct ledger_needs *needs)
{
        uint64_t rows = used + 2 * (uint64_t)needs->n_rows;

        return (uint32_t)MIN(rows, (uint64_t)LEDGER_ROWS_MAX);
}

size_t ledger_get_size(const struct ledger_needs *needs)
{
        return lay_out(ledger_count_rows(0, needs), needs->n_slots).size;
}

static int make_memfd(size_t size)
{
        _cleanup_(fd_closep) int fd =
                memfd_create("acceptd-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct rlimit limit;

        if (fd < 0)
                return -errno;
        /* ftruncate() beyond it is a signal: SIGXFSZ. */
        if (getrlimit(RLIMIT_FSIZE, &limit) >= 0 && size > limit.rlim_cur)
                return -EFBIG;
        if (ftruncate(fd, (off_t)size) < 0)
                return -errno;
        /* Whoever maps it later can rely on its size. */
        if (fcntl(fd, F_ADD_SEALS, LEDGER_SEALS) < 0)
                return -errno;

        return TAKE_FD(fd);
}

static int map(struct ledger *ledger, int fd_consume, const struct ledger_layout *layout)
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

static int create(struct ledger *ledger, const struct ledger_layout *layout)
{
        _cleanup_(fd_closep) int fd = make_memfd(layout->size);
        int r;

        if (fd < 0)
                return fd;
        r = map(ledger, TAKE_FD(fd), layout);
        if (r < 0)
                return r;

        memcpy(ledger->header->magic, LEDGER_MAGIC, sizeof(LEDGER_MAGIC));
        ledger->header->version = LEDGER_VERSION;
        ledger->header->header_size = (uint32_t)layout->header_size;
        ledger->header->row_size = (uint32_t)layout->row_size;
        ledger->header->slot_size = (uint32_t)layout->slot_size;
        ledger->header->n_rows = layout->n_rows;
        ledger->header->n_slots = layout->n_slots;
        return 0;
}

int ledger_create(struct ledger *ledger, uint32_t n_rows, uint32_t n_slots)
{
        struct ledger_layout layout = lay_out(n_rows, n_slots);

        return create(ledger, &layout);
}

/* --- Taking over --- */

/* A ledger that is only read; of the slots, those that were in use. */
struct view {
        struct ledger_layout layout;
        const uint8_t *p;
        size_t size;
};

static int open_view(struct view *view, int fd, const struct ledger_layout *layout)
{
        size_t size = layout->slots_at + layout->n_touched * layout->slot_size;
        void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
                return -errno;

        *view = (struct view){ .layout = *layout, .p = p, .size = size };
        return 0;
}

static void view_done(struct view *view)
{
        if (view->p)
                (void)munmap((void *)(uintptr_t)view->p, view->size);
}

static struct worker_row get_row(const struct view *view, uint32_t i)
{
        const struct ledger_layout *l = &view->layout;
        struct worker_row row;

        ledger_layout_get_row(l, view->p + l->rows_at + i * l->row_size, &row);
        return row;
}

static struct slot get_slot(const struct view *view, uint32_t i)
{
        const struct ledger_layout *l = &view->layout;
        struct slot slot;

        ledger_layout_get_slot(l, view->p + l->slots_at + i * l->slot_size, &slot);
        return slot;
}

static uint32_t count_used_rows(const struct view *view)
{
        uint32_t used = view->layout.n_rows;

        while (used > 0 && get_row(view, used - 1).state == WORKER_NONE)
                used--;

        return used;
}

static uint32_t count_used_slots(const struct view *view)
{
        uint32_t used = view->layout.n_touched;

        while (used > 0 && get_slot(view, used - 1).state == SLOT_FREE)
                used--;

        return used;
}

/* Rows and slots keep their places: they are in the ids and names of what others have. */
static int copy(struct ledger *ledger, const struct view *view, const struct ledger_header *header,
        const struct ledger_needs *needs)
{
        uint32_t rows = count_used_rows(view), slots = count_used_slots(view);
        struct ledger_layout layout =
                lay_out(ledger_count_rows(rows, needs), MAX(slots, needs->n_slots));
        int r;

        r = create(ledger, &layout);
        if (r < 0)
                return r;

        for (uint32_t i = 0; i < rows; i++)
                ledger->rows[i] = get_row(view, i);
        for (uint32_t i = 0; i < slots; i++)
                ledger->slots[i] = get_slot(view, i);
        ledger->header->n_names = header->n_names;
        memcpy(ledger->header->names, header->names, sizeof(header->names));
        ledger->header->pool = header->pool;
        /* what says more slots than there are is damaged, and stays so */
        if (header->pool.slots.n_touched <= view->layout.n_slots)
                ledger->header->pool.slots.n_touched = slots;
        return 1;
}

/* Whether it can be used as it lies. */
static bool fits(const struct view *view, const struct ledger_needs *needs)
{
        const struct ledger_layout *l = &view->layout;
        uint64_t rows = count_used_rows(view) + (uint64_t)needs->n_rows;

        return l->version == LEDGER_VERSION && l->header_size == sizeof(struct ledger_header) &&
               l->row_size == sizeof(struct worker_row) && l->slot_size == sizeof(struct slot) &&
               l->n_rows >= MIN(rows, (uint64_t)LEDGER_ROWS_MAX) && l->n_slots >= needs->n_slots;
}

int ledger_adopt(struct ledger *ledger, int fd_consume, const struct ledger_needs *needs,
        const char **ret_why)
{
        _cleanup_(fd_closep) int fd = fd_consume;
        _cleanup_(view_done) struct view view = {};
        struct ledger_header header;
        struct ledger_layout layout;
        const char *why = ledger_layout_read(fd, &layout, &header);
        int r;

        if (why) {
                *ret_why = why;
                return -EBADMSG;
        }

        r = open_view(&view, fd, &layout);
        if (r < 0)
                return r;

        return fits(&view, needs) ? map(ledger, TAKE_FD(fd), &layout)
                                  : copy(ledger, &view, &header, needs);
}

uint32_t ledger_read_generation(int fd)
{
        struct ledger_header header;
        struct ledger_layout layout;

        return ledger_layout_read(fd, &layout, &header) ? 0 : header.pool.generation;
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
        uint64_t seed;

        if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
                seed = usec_now();
        while (used > 0 && ledger->rows[used - 1].state == WORKER_NONE)
                used--;

        return (struct pool_memory){
                .state = &ledger->header->pool,
                .rows = ledger->rows,
                .n_rows = used + MIN(n_rows, most - used),
                .slots = ledger->slots,
                .n_slots = ledger->header->n_slots,
                .seed = seed,
        };
}
