/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Changing settings under a pool that runs. Called by the dispatcher's reload; asks the system for
 * nothing.
 */

#include "policy/settings-change.h"
#include "policy/settings-table.h"

/* Those that can change while workers run. A setting that is not here waits for the next start. */
#define LIVE(field)                                                                                \
        {                                                                                          \
                offsetof(struct settings, field), sizeof(((struct settings *)0)->field)            \
        }

static const struct {
        size_t offset, size;
} live[SETTING_COUNT] = {
        [SETTING_WORKERS_SPARE] = LIVE(workers_spare),
        [SETTING_WORKER_IDLE_TIMEOUT] = LIVE(worker_idle_timeout),
        [SETTING_MAX_CONNECTIONS] = LIVE(max_connections),
        [SETTING_DISTRIBUTE] = LIVE(distribute),
        [SETTING_LOG_CONNECTIONS] = LIVE(log_connections),
        [SETTING_TIMEOUT_START] = LIVE(timeout_start),
        [SETTING_DRAIN_TIMEOUT] = LIVE(drain_timeout),
        [SETTING_RELOAD_DRAIN_TIMEOUT] = LIVE(reload_drain_timeout),
        [SETTING_TIMEOUT_STOP] = LIVE(timeout_stop),
        [SETTING_RECYCLE_AFTER] = LIVE(recycle_after),
        [SETTING_RESTART] = LIVE(restart),
        [SETTING_RESTART_MAX_DELAY] = LIVE(restart_max_delay),
};

const char *settings_key(size_t setting)
{
        return settings_table[setting].key;
}

/* Returns the value as text, for the caller to free, or NULL without memory. */
static char *print(const struct settings *s, size_t i)
{
        const struct settings_row *row = &settings_table[i];
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;

        row->type->print(row, (const uint8_t *)s + row->offset, f);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }

        return text;
}

/* As they are written, since values may be lists. Returns 0, 1 or -ENOMEM. */
static int differ(const struct settings *a, const struct settings *b, size_t i)
{
        _cleanup_(freep) char *x = print(a, i), *y = print(b, i);

        return x && y ? !streq(x, y) : -ENOMEM;
}

static void apply(struct settings *running, struct settings *fresh, size_t i)
{
        char *source = running->sources[i];

        memcpy((uint8_t *)running + live[i].offset, (const uint8_t *)fresh + live[i].offset,
                live[i].size);
        running->sources[i] = fresh->sources[i];
        fresh->sources[i] = source;
}

int settings_change(struct settings *running, struct settings *fresh, uint32_t n_slots,
        enum settings_change ret_changes[static SETTING_COUNT])
{
        for (size_t i = 0; i < SETTING_COUNT; i++) {
                bool fits = i != SETTING_MAX_CONNECTIONS || fresh->max_connections <= n_slots;
                int r = differ(running, fresh, i);

                if (r < 0)
                        return r;
                ret_changes[i] = r == 0 ? SETTING_UNCHANGED
                        : live[i].size > 0 && fits ? SETTING_APPLIED
                                                   : SETTING_PENDING;
        }

        for (size_t i = 0; i < SETTING_COUNT; i++)
                if (ret_changes[i] == SETTING_APPLIED)
                        apply(running, fresh, i);

        return 0;
}
