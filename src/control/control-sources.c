/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who has most connections, and who was refused most, as JSON. It changes nothing.
 */

#include "control/control-methods.h"
#include "dispatcher/dispatcher.h"

#define MOST 20 /* of each */

#define INTEGER(number) ((json_int_t)(number))

/* The most by one count, the largest first. */
struct most {
        const struct source_row *rows[MOST];
        uint64_t counts[MOST];
        size_t n;
};

static void consider(struct most *most, const struct source_row *row, uint64_t count)
{
        size_t i = most->n;

        if (count == 0 || (i == MOST && count <= most->counts[MOST - 1]))
                return;

        if (i == MOST)
                i--;
        else
                most->n++;
        for (; i > 0 && most->counts[i - 1] < count; i--) {
                most->rows[i] = most->rows[i - 1];
                most->counts[i] = most->counts[i - 1];
        }
        most->rows[i] = row;
        most->counts[i] = count;
}

static json_t *make_list(const struct most *most, struct source_prefixes prefixes)
{
        json_t *list = json_array();
        char text[SOURCE_FORMAT_SIZE];

        for (size_t i = 0; list && i < most->n; i++) {
                const struct source_row *row = most->rows[i];

                (void)json_array_append_new(
                        list, json_pack("{s:s, s:I, s:I}", "source",
                                      source_format_short(&row->key, prefixes, text), "open",
                                      INTEGER(row->open), "refused", INTEGER(row->refused)));
        }

        return list;
}

json_t *control_make_sources(const struct dispatcher *d)
{
        const struct sources *s = &d->pool.sources;
        struct most open = {}, refused = {};

        for (uint32_t i = 0; i < s->n_touched; i++) {
                consider(&open, &s->rows[i], s->rows[i].open);
                consider(&refused, &s->rows[i], s->rows[i].refused);
        }

        return json_pack("{s:I, s:o, s:o}", "count", INTEGER(s->n_open), "open",
                make_list(&open, s->prefixes), "refused", make_list(&refused, s->prefixes));
}
