/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A ledger on adoption: one that was in use is damaged as the input says, adopted or copied, and
 * used. First byte: which of both; the next one: how many steps it was in use; then the steps, a
 * number of patches (offset, value), and what happens after the adoption.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "dispatcher/ledger.h"
#include "life.h"

#define ROWS  12
#define SLOTS 16

static void use(struct ledger *ledger, struct input *in)
{
        struct life l = { .now = USEC_PER_SEC };
        struct pool_memory memory = ledger_get_memory(ledger, ROWS);

        life_settings(&l.settings);
        fuzz_expect(pool_init(&l.pool, &l.settings, &memory) == 0);
        for (uint32_t n = input_byte(in) % 64; n > 0; n--)
                life_step(&l, in);
        pool_deinit(&l.pool);
}

static void damage(struct ledger *ledger, struct input *in)
{
        /* of the names only some, for they are most of it, and the least interesting */
        size_t head = offsetof(struct ledger_header, names);
        size_t rest = ledger->size - offsetof(struct ledger_header, pool);

        for (uint32_t n = input_byte(in) % 32; n > 0; n--) {
                size_t at = input_word(in) % (head + rest + 64);
                uint8_t *p = (uint8_t *)ledger->header;

                p[at < head + 64 ? at : at - head - 64 + offsetof(struct ledger_header, pool)] =
                        (uint8_t)input_byte(in);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct input in = { data, size };
        struct ledger old = LEDGER_NULL, ledger = LEDGER_NULL;
        struct life l = { .now = 2 * USEC_PER_SEC };
        const char *why = NULL;
        struct pool_memory memory;
        const struct ledger_needs needs = { .n_rows = input_byte(&in) % 2 ? 1 : ROWS };

        fuzz_expect(ledger_create(&old, ROWS, SLOTS) == 0);
        use(&old, &in);
        damage(&old, &in);
        if (ledger_adopt(&ledger, fcntl(old.fd, F_DUPFD_CLOEXEC, 0), &needs, &why) < 0) {
                fuzz_expect(why);
                ledger_done(&old);
                return 0;
        }
        free(ledger_join_names(&ledger));

        life_settings(&l.settings);
        memory = ledger_get_memory(&ledger, ROWS);
        if (pool_init(&l.pool, &l.settings, &memory) == 0) {
                life_adopt(&l, &in);
                for (int i = 0; i < 64 && in.size > 0; i++)
                        life_step(&l, &in);
                pool_deinit(&l.pool);
        }
        ledger_done(&ledger);
        ledger_done(&old);
        return 0;
}
