/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tables on standard output. Knows nothing of what is in them.
 */

#include "acceptctl/table.h"
#include "base/words.h"

static void add(struct table *t, enum say_colour colour, const char *text)
{
        size_t column = t->n_cells % t->n_columns, size = 0;
        struct table_cell *larger = realloc(t->cells, (t->n_cells + 1) * sizeof(*t->cells));
        char *cell = NULL;
        FILE *f;

        if (!larger) {
                t->failed = true;
                return;
        }
        t->cells = larger;

        f = open_memstream(&cell, &size);
        if (!f) {
                t->failed = true;
                return;
        }
        words_print_safely(text, SIZE_MAX, f);
        if (fclose(f) != 0) {
                free(cell);
                t->failed = true;
                return;
        }

        t->cells[t->n_cells++] = (struct table_cell){ cell, colour };
        t->widths[column] = MAX(t->widths[column], size);
}

void table_init(struct table *t, const char *const *columns)
{
        *t = (struct table){};

        while (columns[t->n_columns] && t->n_columns < TABLE_COLUMNS_MAX)
                t->n_columns++;
        for (size_t i = 0; i < t->n_columns; i++) {
                t->right[i] = columns[i][0] == '>';
                add(t, SAY_BOLD, columns[i] + t->right[i]);
        }
}

void table_done(struct table *t)
{
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        *t = (struct table){};
}

void table_add_coloured(struct table *t, enum say_colour colour, const char *text)
{
        if (!t->failed) /* or the rows would shift */
                add(t, colour, text);
}

void table_add(struct table *t, const char *text)
{
        table_add_coloured(t, SAY_NORMAL, text);
}

void table_add_state(struct table *t, const char *state)
{
        table_add_coloured(t, say_colour_of(state), state);
}

void table_add_number(struct table *t, long long number)
{
        char text[24];

        (void)snprintf(text, sizeof(text), "%lld", number);
        table_add(t, text);
}

/* Prints so much of it as there is room for. */
static void print_part(const char *text, size_t width, size_t *left)
{
        size_t n = MIN(width, *left);

        printf("%*.*s", (int)n, (int)n, text);
        *left -= n;
}

/* The padding is outside of the colour. */
static void print_cell(const struct table *t, size_t i, size_t *left)
{
        const struct table_cell *cell = &t->cells[i];
        size_t column = i % t->n_columns, width = strlen(cell->text);
        size_t padding = t->widths[column] - width;
        bool last = column + 1 == t->n_columns;

        if (t->right[column])
                print_part("", padding, left);
        if (cell->colour != SAY_NORMAL)
                fputs(say_colour(cell->colour), stdout);
        print_part(cell->text, width, left);
        if (cell->colour != SAY_NORMAL)
                fputs(say_colour(SAY_NORMAL), stdout);
        if (!t->right[column] && !last)
                print_part("", padding, left);
        if (!last)
                print_part("", 2, left);
}

int table_print(const struct table *t, const char *indent)
{
        size_t rows = t->n_cells / t->n_columns, first = say.no_legend ? 1 : 0;

        if (t->failed)
                return -ENOMEM;

        if (t->rows_max > 0)
                rows = MIN(rows, t->rows_max + first);
        for (size_t row = first; row < rows; row++) {
                size_t left = t->width_max > 0 ? t->width_max : SIZE_MAX;

                if (!say.plain)
                        print_part(indent, strlen(indent), &left);
                for (size_t i = 0; i < t->n_columns; i++)
                        print_cell(t, row * t->n_columns + i, &left);
                fputc('\n', stdout);
        }

        return 0;
}
