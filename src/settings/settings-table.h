/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "settings/settings.h"

/*
 * The inside of settings.c: one row for each key. A new key is a field in struct settings, a name
 * in enum setting and a row in settings-table.c.
 */

#define WORKERS_LIMIT 4096u

struct settings_row;

/* What the keys of one kind have in common. `field` points into struct settings. */
struct settings_type {
        /* Returns 0, -ENOMEM, or -EINVAL with a few static words; changes the field only with 0. */
        int (*parse)(const struct settings_row *row, const char *value, void *field,
                const char **ret_problem);
        void (*reset)(const struct settings_row *row, void *field);
        void (*print)(const struct settings_row *row, const void *field, FILE *f);
        void (*print_allowed)(const struct settings_row *row, FILE *f);
};

struct settings_row {
        const char *section;
        const char *key;
        const struct settings_type *type;
        size_t offset;
        uint64_t minimum;
        uint64_t maximum;
        uint64_t standard;         /* the default; out of bounds, only the empty value says it */
        const char *standard_note; /* what the default is, where its value does not say it */
        const char *word;          /* stands for the number word_value, which is out of bounds */
        uint64_t word_value;
        const char *const *names; /* of a choice, by their numbers; NULL-terminated */
};

/* By enum setting. */
extern const struct settings_row settings_table[SETTING_COUNT];

/* Replaces the list `*field` by `words_consume`, if it can be a command. Returns as parse(). */
int settings_table_take_command(char **words_consume, char ***field, const char **ret_problem);
