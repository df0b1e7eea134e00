/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Descriptors by their names. Their numbers and their order mean nothing: the service manager passes
 * them in any. Called by acceptd.c and adoption.c.
 */

#include <systemd/sd-daemon.h>

#include "dispatcher/inheritance.h"
#include "dispatcher/store.h"

int inheritance_collect(struct inheritance *inheritance)
{
        char **names = NULL;
        int n;

        *inheritance = (struct inheritance){};

        n = sd_listen_fds_with_names(true, &names);
        if (n < 0)
                return n;

        inheritance->entries = calloc((size_t)n + 1, sizeof(struct inherited));
        if (!inheritance->entries)
                return -ENOMEM; /* and soon the end of this process: the names may leak */

        for (int i = 0; i < n; i++)
                inheritance->entries[inheritance->n++] = (struct inherited){
                        .fd = SD_LISTEN_FDS_START + i,
                        .name = names[i],
                };
        free(names);

        return 0;
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

const char *inheritance_get_listener(const struct inheritance *inheritance, size_t i)
{
        const struct inherited *entry = &inheritance->entries[i];

        return entry->fd >= 0 && !startswith(entry->name, STORE_PREFIX) ? entry->name : NULL;
}
