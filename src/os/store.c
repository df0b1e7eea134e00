/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The service manager's descriptor store: what is called how, and in which order a worker's
 * descriptors come and go. Knows nothing of what they are for.
 */

#include <inttypes.h>

#include "base/fd.h"
#include "base/stop-point.h"
#include "os/notify.h"
#include "os/store.h"

static const struct {
        const char *now;
        const char *old; /* with a hyphen at its end where a number follows */
} names[STORE_KINDS] = {
        [STORE_LEDGER] = { "!l", "acceptd-ledger" },
        [STORE_SETTINGS] = { "!s", "acceptd-settings-" },
        [STORE_CHANNEL] = { "%", "acceptd-channel-" },
        [STORE_QUEUE] = { "+", "acceptd-queue-" },
        [STORE_PIDFD] = { "=", "acceptd-pidfd-" },
        [STORE_IN_HAND] = { "!h", "acceptd-hand-" },
        [STORE_CALLER] = { "!c", "acceptd-caller" },
        [STORE_CHECKED] = { "!k", "acceptd-checked" }, /* nobody of old had it */
};

/* --- Names --- */

/* While nothing was taken for so long, others do not wait any longer. */
#define STUCK_USEC (50 * USEC_PER_MSEC)

#define BASE       36U
#define DIGITS_MAX 13 /* of 64 bits */

const char *store_name(char *text, enum store_kind kind, uint64_t number)
{
        char digits[DIGITS_MAX + 1] = "", *p = digits + DIGITS_MAX;

        do {
                *--p = "0123456789abcdefghijklmnopqrstuvwxyz"[number % BASE];
                number /= BASE;
        } while (number > 0);

        (void)snprintf(text, STORE_NAME_MAX, "%s%s", names[kind].now, p);
        return text;
}

const char *store_name_old(char *text, enum store_kind kind, uint64_t number)
{
        const char *old = names[kind].old;

        if (old[strlen(old) - 1] == '-')
                (void)snprintf(text, STORE_NAME_MAX, "%s%" PRIu64, old, number);
        else
                (void)snprintf(text, STORE_NAME_MAX, "%s", old);
        return text;
}

struct store_entry store_read_name(const char *name)
{
        char again[STORE_NAME_MAX];

        for (enum store_kind kind = STORE_LEDGER; kind < STORE_KINDS; kind++) {
                const char *now = startswith(name, names[kind].now);
                const char *old = startswith(name, names[kind].old);
                uint64_t number = strtoull(now ?: old ?: "", NULL, now ? (int)BASE : 10);

                /* strtoull() takes more than is ever written */
                if (now && streq(store_name(again, kind, number), name))
                        return (struct store_entry){ kind, false, number };
                if (old && streq(store_name_old(again, kind, number), name))
                        return (struct store_entry){ kind, true, number };
        }

        return (struct store_entry){};
}

size_t store_count_bytes(uint64_t n_workers, uint64_t n_rows)
{
        char longest[STORE_NAME_MAX];
        size_t per_name = strlen(store_name(longest, STORE_CHANNEL, n_rows)) + 1;
        size_t own = strlen(store_name(longest, STORE_SETTINGS, UINT32_MAX)) + 1;

        return n_workers * STORE_PER_WORKER * per_name + STORE_OWN * own;
}

/* --- The store --- */

unsigned long store_get_size(void)
{
        const char *size = getenv("FDSTORE");

        return size && getenv("NOTIFY_SOCKET") ? strtoul(size, NULL, 10) : 0;
}

uint64_t store_add(enum store_kind kind, uint64_t number, int fd)
{
        char name[STORE_NAME_MAX];

        return store_get_size() > 0 ? notify_store(store_name(name, kind, number), fd) : 0;
}

void store_give(enum store_kind kind, uint64_t number, int fd_consume)
{
        char name[STORE_NAME_MAX];

        if (store_get_size() > 0)
                (void)notify_give(store_name(name, kind, number), fd_consume);
        else
                fd_close(fd_consume);
}

void store_remove_name(const char *name)
{
        if (store_get_size() > 0)
                notify_unstore(name);
}

void store_remove(enum store_kind kind, uint64_t number)
{
        char name[STORE_NAME_MAX];

        store_remove_name(store_name(name, kind, number));
}

bool store_listener(const char *name, int fd)
{
        char text[STORE_FDNAME_MAX + 1];

        if (snprintf(text, sizeof(text), STORE_LISTENER "%s", name) > STORE_FDNAME_MAX)
                return false;
        if (store_get_size() > 0)
                (void)notify_store(text, fd);
        return true;
}

void store_forget_listener(const char *name)
{
        char text[STORE_FDNAME_MAX + 1];

        if (snprintf(text, sizeof(text), STORE_LISTENER "%s", name) <= STORE_FDNAME_MAX)
                store_remove_name(text);
}

uint64_t store_worker(uint32_t row, int pidfd, int channel_fd, int queue_fd)
{
        STOP_POINT("stored-none");
        (void)store_add(STORE_PIDFD, row, pidfd);
        STOP_POINT("stored-pidfd");
        (void)store_add(STORE_CHANNEL, row, channel_fd);
        STOP_POINT("stored-channel");
        return store_add(STORE_QUEUE, row, queue_fd); /* in their order, so the last one tells */
}

bool store_is_done_with(uint64_t ticket)
{
        return notify_is_out(ticket) || notify_is_stuck(STUCK_USEC);
}

/* In the reverse order. */
static void forget_worker(
        const char *(*name)(char *text, enum store_kind kind, uint64_t number), uint64_t number)
{
        char text[STORE_NAME_MAX];

        STOP_POINT("removed-none");
        store_remove_name(name(text, STORE_QUEUE, number));
        STOP_POINT("removed-queue");
        store_remove_name(name(text, STORE_CHANNEL, number));
        STOP_POINT("removed-channel");
        store_remove_name(name(text, STORE_PIDFD, number));
}

void store_forget_worker(uint32_t row)
{
        forget_worker(store_name, row);
}

void store_forget_old_worker(uint64_t number)
{
        forget_worker(store_name_old, number);
}
