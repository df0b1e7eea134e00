/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "acceptctl/say.h"

/*
 * A table for people: columns as wide as their widest cell. What is not printable ASCII in a cell
 * is shown as an escape, since the terminal is root's and the text is not.
 */

#define TABLE_COLUMNS_MAX 16

struct table_cell {
        char *text;
        enum say_colour colour;
};

struct table {
        size_t n_columns;
        bool right[TABLE_COLUMNS_MAX]; /* aligned so */
        size_t widths[TABLE_COLUMNS_MAX];
        struct table_cell *cells; /* the first row is the head */
        size_t n_cells;
        bool failed;      /* no memory for a cell */
        size_t width_max; /* a line is cut there; 0: nowhere */
        size_t rows_max;  /* with the head; 0: all */
};

/* Starts a table whose columns have these names (NULL-terminated); one that starts with `>` is
 * for numbers. */
void table_init(struct table *table, const char *const *columns);
void table_done(struct table *table);

/* Adds the next cell, row by row. */
void table_add(struct table *table, const char *text);
void table_add_coloured(struct table *table, enum say_colour colour, const char *text);
void table_add_number(struct table *table, long long number);

/* A state, in its colour. */
void table_add_state(struct table *table, const char *state);

/* Prints all, each row behind `indent`. Returns 0 or -ENOMEM. */
int table_print(const struct table *table, const char *indent);
