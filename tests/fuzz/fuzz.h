/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What each target has, called by libFuzzer or by replay.c. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes of the input, zeros behind its end. */
struct input {
        const uint8_t *data;
        size_t size;
};

static inline uint32_t input_byte(struct input *in)
{
        if (in->size == 0)
                return 0;
        in->size--;
        return *in->data++;
}

static inline uint32_t input_word(struct input *in)
{
        uint32_t low = input_byte(in);

        return low | input_byte(in) << 8;
}

#define fuzz_expect(condition)                                                                     \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
                        abort();                                                                   \
                }                                                                                  \
        } while (0)
