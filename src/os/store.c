/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The service manager's descriptor store.
 */

#include <inttypes.h>

#include "base/stop-point.h"
#include "os/notify.h"
#include "os/store.h"

unsigned long store_get_size(void)
{
        const char *size = getenv("FDSTORE");

        return size && getenv("NOTIFY_SOCKET") ? strtoul(size, NULL, 10) : 0;
}

void store_add(const char *name, int fd)
{
        if (store_get_size() > 0)
                notify_store(name, fd);
}

void store_remove(const char *name)
{
        if (store_get_size() > 0)
                notify_unstore(name);
}

const char *store_name(char *text, const char *what, uint64_t number)
{
        (void)snprintf(text, STORE_NAME_MAX, "%s-%" PRIu64, what, number);
        return text;
}

void store_worker(uint64_t number, int pidfd, int channel_fd, int queue_fd)
{
        char name[STORE_NAME_MAX];

        STOP_POINT("stored-none");
        store_add(store_name(name, STORE_PIDFD, number), pidfd);
        STOP_POINT("stored-pidfd");
        store_add(store_name(name, STORE_CHANNEL, number), channel_fd);
        STOP_POINT("stored-channel");
        store_add(store_name(name, STORE_QUEUE, number), queue_fd);
}

/* In the reverse order. */
void store_forget_worker(uint64_t number)
{
        char name[STORE_NAME_MAX];

        STOP_POINT("removed-none");
        store_remove(store_name(name, STORE_QUEUE, number));
        STOP_POINT("removed-queue");
        store_remove(store_name(name, STORE_CHANNEL, number));
        STOP_POINT("removed-channel");
        store_remove(store_name(name, STORE_PIDFD, number));
}
