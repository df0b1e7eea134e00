/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The few macros that every part shares. libc only.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_(f)       __attribute__((cleanup(f)))
#define _printf_(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define _unused_           __attribute__((unused))
#define _packed_           __attribute__((packed))

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

#define MIN(a, b)                                                                                  \
        ({                                                                                         \
                __auto_type _a = (a);                                                              \
                __auto_type _b = (b);                                                              \
                _a < _b ? _a : _b;                                                                 \
        })

#define MAX(a, b)                                                                                  \
        ({                                                                                         \
                __auto_type _a = (a);                                                              \
                __auto_type _b = (b);                                                              \
                _a > _b ? _a : _b;                                                                 \
        })

/* Moves the value out of a variable, so that its cleanup finds nothing to do. */
#define TAKE(variable, nothing)                                                                    \
        ({                                                                                         \
                __typeof__(variable) *_p = &(variable);                                            \
                __typeof__(variable) _taken = *_p;                                                 \
                *_p = (nothing);                                                                   \
                _taken;                                                                            \
        })
#define TAKE_FD(fd)   TAKE(fd, -1)
#define TAKE_PTR(ptr) TAKE(ptr, NULL)

static inline void freep(void *p)
{
        free(*(void **)p);
}

static inline void fclosep(FILE **f)
{
        if (*f)
                fclose(*f);
}

static inline bool streq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

/* Returns what follows `prefix` in `s`, or NULL. */
static inline const char *startswith(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}
