/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events for the pool, two bytes and more each, with the counter law as oracle. */

#include "life.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct worker_row rows[16];
        static struct slot slots[16];
        struct pool_state state = {};
        const struct pool_memory memory = { &state, rows, 16, slots, 16, 0 };
        struct life l = { .now = USEC_PER_SEC };
        struct input in = { data, size };

        memset(rows, 0, sizeof(rows));
        memset(slots, 0, sizeof(slots));
        life_settings(&l.settings);
        fuzz_expect(pool_init(&l.pool, &l.settings, &memory) == 0);
        while (in.size > 0) {
                if (*in.data == 255) { /* a crash */
                        (void)input_byte(&in);
                        pool_deinit(&l.pool);
                        fuzz_expect(pool_init(&l.pool, &l.settings, &memory) == 0);
                        life_adopt(&l, &in);
                }
                life_step(&l, &in);
        }
        pool_deinit(&l.pool);
        return 0;
}
