/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a hostile worker says: datagrams, each a length and its bytes, through a real channel and
 * into a pool, as src/dispatcher/worker.c hears them.
 */

#include <sys/socket.h>
#include <unistd.h>

#include "life.h"
#include "wire/wire.h"

static int hear_record(struct pool *pool, const struct record *record, usec_t now)
{
        switch ((enum record_type)record->type) {
        case RECORD_DONE:
                return pool_done(pool, 0, record->id);
        case RECORD_READY:
                if (record->id > UINT32_MAX)
                        return POOL_BAD_FEATURES;
                return pool_ready(pool, 0, record->value, (uint32_t)record->id, now);
        case RECORD_PONG:
                return pool_pong(pool, 0, record->value, now);
        case RECORD_HELD:
                return pool_held(pool, 0, record->id);
        case RECORD_NOT_STARTED:
                return 0; /* it is for the words of a failed start */
        case RECORD_FAILED:
                if (!(pool->workers[0].record->features & RECORD_FEATURE_FAILED))
                        return 1;
                return pool_failed(pool, 0, record->id);
        case RECORD_CONNECTION:
        case RECORD_PING:
        case RECORD_LIST:
        case RECORD_DRAIN:
        case RECORD_FINISHED:
        default:
                abort(); /* it goes the other way: refused before */
        }
}

static void say(int channel, struct input *in)
{
        static uint8_t datagram[1280];

        for (int i = 0; i < 20 && in->size > 0; i++) {
                size_t n = input_byte(in) * 4;

                if (n > 1020) /* one that is too long */
                        n = sizeof(datagram);
                for (size_t k = 0; k < n; k++)
                        datagram[k] = (uint8_t)input_byte(in);
                (void)send(channel, datagram, n, MSG_DONTWAIT);
        }
}

/* Returns whether the worker is still in good standing. */
static int hear(struct life *l, int channel)
{
        static struct wire_batch batch;
        int r = wire_receive_batch(channel, &batch), bad = r < 0 || r > WIRE_EMPTY;

        fuzz_expect(batch.n_records <= sizeof(batch.records) / sizeof(batch.records[0]));
        fuzz_expect(r != WIRE_MALFORMED || batch.why);
        for (size_t i = 0; i < batch.n_records && !bad; i++) {
                fuzz_expect(!record_check_to_dispatcher(&batch.records[i]));
                bad = hear_record(&l->pool, &batch.records[i], l->now);
        }
        life_check(l);
        return !bad && r != WIRE_EMPTY;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static int channel[2] = { -1, -1 };
        static struct worker_row rows[12];
        static struct slot slots[16];
        struct pool_state state = {};
        const struct pool_memory memory = { &state, rows, 12, slots, 16, 0 };
        struct life l = { .now = USEC_PER_SEC };
        struct input in = { data, size };
        uint32_t features;
        uint8_t rest[1];

        if (channel[0] < 0)
                fuzz_expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0);
        memset(rows, 0, sizeof(rows));
        memset(slots, 0, sizeof(slots));
        life_settings(&l.settings);
        fuzz_expect(pool_init(&l.pool, &l.settings, &memory) == 0);
        l.pool.offers = RECORD_FEATURES;
        pool_spawned(&l.pool, 0, 2, false, l.now);
        /* the bit is set where the first datagram is one record */
        features = size > 0 && data[0] & 4 ? RECORD_FEATURES : 0;
        fuzz_expect(pool_ready(&l.pool, 0, 8, features, l.now) == 0);
        for (int i = 0; i < 4; i++) {
                struct slot *slot = pool_accepted(&l.pool, 0, l.now);

                pool_assign(&l.pool, slot, 0);
                pool_sent(&l.pool, slot);
        }
        if (size > 0 && data[0] & 1) /* as a worker that was adopted, and asked */
                pool_asked(&l.pool, 0, QUESTION_LIST, pool_next_question(&l.pool), l.now);

        say(channel[1], &in);
        while (hear(&l, channel[0]))
                l.now += USEC_PER_MSEC;
        while (recv(channel[0], rest, sizeof(rest), MSG_DONTWAIT) >= 0)
                ;
        pool_deinit(&l.pool);
        return 0;
}
