/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "acceptctl/instance.h"

/*
 * Statuses for people, on standard output. They come from a running instance, which may not be what
 * it seems: a member that is missing or of another kind is shown as `-`.
 */

/* One line for `acceptctl list`. */
struct show_line {
        const char *name;
        const char *state;    /* where there is no status */
        const json_t *status; /* or NULL */
        bool configured;
};

/* All return 0 or -ENOMEM. */
int show_list(const struct show_line *lines, size_t n);
int show_status(const struct places *places, const char *name, const json_t *status);
int show_connections(const json_t *connections);

/* Prints the texts of a list behind `introduction`, if there are any. */
void show_keys(const char *introduction, const json_t *keys);
