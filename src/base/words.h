/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * A command line as a list of words, quoted as in systemd.service(5): single and double quotes, and
 * the escapes \a \b \f \n \r \t \v \\ \" \' \s (a space) \xHH \NNN in and outside of them. There is
 * no shell and nothing is replaced: $ % ; # and * stand for themselves.
 */

/* Splits `text` into a NULL-terminated list, to be freed with words_free(). Returns 0; -EINVAL with
 * a few static words on the mistake in `ret_problem`; or -ENOMEM. */
int words_split(const char *text, char ***ret, const char **ret_problem);

/* Copies a NULL-terminated list. Returns NULL when memory ran out. */
char **words_copy(char *const *words);

/* Frees a list; NULL is fine. */
void words_free(char **words);

static inline void words_freep(char ***words)
{
        words_free(*words);
}

/* Writes `words` in one line from which words_split() makes the same list. */
void words_print(char *const *words, FILE *f);

/* Reads a decimal number without sign. Returns false where it is none, or not from `min` to `max`.
 */
bool words_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Makes it one line: each control character becomes a space. */
void words_flatten(char *text);

/* Writes at most `max` bytes of `text`, and "..." if there are more, with all but printable ASCII
 * as escapes: for messages that must stay one line, whatever the text is. */
void words_print_safely(const char *text, size_t max, FILE *f);
