/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What differs between two sets of settings. Must not know what follows from it, and asks the
 * system for nothing.
 */

#include "settings/settings-change.h"
#include "settings/settings-table.h"

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

int settings_compare(
        const struct settings *a, const struct settings *b, bool ret_differ[static SETTING_COUNT])
{
        for (size_t i = 0; i < SETTING_COUNT; i++) {
                int r = differ(a, b, i);

                if (r < 0)
                        return r;
                ret_differ[i] = r > 0;
        }

        return 0;
}
