/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whether an adoption would succeed, found out by trying it on copies that are thrown away. It
 * changes nothing of what it looks at.
 */

#include <inttypes.h>
#include <sys/resource.h>

#include "takeover/adoption.h"

static struct ledger_needs get_needs(const struct settings *settings)
{
        return (struct ledger_needs){
                .n_rows = pool_rows_needed(settings),
                .n_slots = settings->max_connections,
        };
}

/* Turns -EFBIG and -ENOMEM into a line that says what to change. */
static int explain(int error, const struct settings *settings, char **ret_message)
{
        struct ledger_needs needs = get_needs(settings);
        const char *name = settings->workers_max > settings->workers ? "WorkersMax" : "Workers";
        struct rlimit limit = {};
        char why[128];

        if (error != -EFBIG && error != -ENOMEM)
                return error;

        (void)getrlimit(RLIMIT_FSIZE, &limit);
        if (error == -EFBIG)
                (void)snprintf(why, sizeof(why),
                        "RLIMIT_FSIZE is %" PRIu64 "; raise LimitFSIZE=", (uint64_t)limit.rlim_cur);
        else
                (void)snprintf(why, sizeof(why),
                        "there is no memory for it; raise LimitAS=, "
                        "LimitDATA= or MemoryMax=, if set,");

        if (asprintf(ret_message,
                    "MaxConnections=%" PRIu32 " and %s=%" PRIu32
                    " need a ledger of %zu bytes, and %s or lower MaxConnections= or %s=",
                    settings->max_connections, name, settings->workers_max, ledger_get_size(&needs),
                    why, name) < 0)
                return -ENOMEM;
        return -ENOSPC;
}

int adoption_check(int ledger_fd_consume, const struct settings *settings, char **ret_message)
{
        struct ledger_needs needs = get_needs(settings);
        struct ledger ledger = LEDGER_NULL;
        const char *why = NULL;
        int r;

        r = ledger_adopt(&ledger, ledger_fd_consume, &needs, &why);
        ledger_done(&ledger);
        if (r >= 0)
                return 0;
        if (!why)
                return explain(r, settings, ret_message);

        if (asprintf(ret_message,
                    "the new program cannot take over the workers of the running one: of the "
                    "ledger, %s; systemctl restart is needed",
                    why) < 0)
                return -ENOMEM;
        return -EBADMSG;
}

int adoption_check_room(const struct settings *settings, char **ret_message)
{
        struct ledger_needs needs = get_needs(settings);
        struct ledger ledger = LEDGER_NULL;
        struct pool pool = {};
        int r;

        r = ledger_create(&ledger, ledger_count_rows(0, &needs), needs.n_slots);
        if (r >= 0) {
                struct pool_memory memory = ledger_get_memory(&ledger, needs.n_rows);

                r = pool_init(&pool, settings, &memory);
        }
        pool_deinit(&pool);
        ledger_done(&ledger);

        return r < 0 ? explain(r, settings, ret_message) : 0;
}
