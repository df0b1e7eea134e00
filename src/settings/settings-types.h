/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"

/*
 * The kinds of settings. A new kind is a struct settings_type here; which key is of which kind says
 * settings-table.c.
 */

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
        size_t offset; /* of the field in struct settings */
        uint64_t minimum;
        uint64_t maximum;
        uint64_t default_value;   /* out of bounds, only the empty value says it */
        const char *default_note; /* what the default is, where its value does not say it */
        const char *word;         /* stands for the number word_value, which is out of bounds */
        uint64_t word_value;
        const char *const *names; /* of a choice, by their numbers; NULL-terminated */
        bool needs_accept;        /* it is about connections, which Accept=no hides */
};

/* By the type of the field: uint32_t, usec_t, uint64_t (bytes), an enum from 0 on, bool, char **.
 */
extern const struct settings_type settings_type_number;
extern const struct settings_type settings_type_time;
extern const struct settings_type settings_type_size;
extern const struct settings_type settings_type_choice;
extern const struct settings_type settings_type_boolean;
extern const struct settings_type settings_type_command;

/* settings-sources.c: struct settings_rate (the bounds are those of the time; by default none),
 * struct source_prefixes (by default 256 times IPv4's, plus IPv6's), struct source_range *,
 * and char ** with a path and perhaps a text */
extern const struct settings_type settings_type_rate;
extern const struct settings_type settings_type_prefixes;
extern const struct settings_type settings_type_sources;
extern const struct settings_type settings_type_reply;

/* Replaces the list `*field` by `words_consume`, if it can be a command. Returns as parse(). */
int settings_types_take_command(char **words_consume, char ***field, const char **ret_problem);
