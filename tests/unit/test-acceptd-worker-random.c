/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker under random connections, DONEs, FAILEDs and LISTs, src/libacceptd/acceptd-worker.c and
 * held.c: what it says is compared with a model of what it holds. The seed is always the same.
 */

#include "worker-fixture.h"

enum {
        MODEL_SIZE = 300,
        MODEL_STEPS = 20000,
};

struct model {
        uint64_t held[MODEL_SIZE];
        size_t n_held, n_unsaid;
        uint64_t next_id;
};

static void model_listen(const struct fixture *f, struct model *m, bool listed)
{
        struct record records[RECORD_BATCH_MAX];
        size_t n_held = 0;
        bool pong = false;

        for (size_t n; (n = try_hear(f, records)) > 0;)
                for (size_t i = 0; i < n; i++)
                        switch (records[i].type) {
                        case RECORD_DONE:
                        case RECORD_FAILED:
                                m->n_unsaid--;
                                break;
                        case RECORD_HELD: {
                                size_t at = 0;

                                while (at < m->n_held && m->held[at] != records[i].id)
                                        at++;
                                assert_true(at < m->n_held);
                                n_held++;
                                break;
                        }
                        case RECORD_PONG:
                                pong = true;
                                break;
                        default:
                                fail();
                        }
        assert_int_equal(pong, listed);
        assert_int_equal(n_held, listed ? m->n_held : 0);
}

static void model_step(const struct fixture *f, struct model *m, unsigned what)
{

        if (what < 50 && m->n_held + m->n_unsaid < MODEL_SIZE) {
                /* as the dispatcher's: a slot in the low bits, a serial above */
                uint64_t id = (m->next_id << 24) | (m->next_id % 7);

                m->next_id++;
                hold_range(f, id, id);
                m->held[m->n_held++] = id;
        } else if (what < 95 && m->n_held > 0) {
                size_t at = (size_t)rand() % m->n_held;

                if (what < 85)
                        finish_range(f, m->held[at], m->held[at]);
                else
                        assert_int_equal(acceptd_worker_failed(f->worker, m->held[at], what), 0);
                m->held[at] = m->held[--m->n_held];
                m->n_unsaid++;
        } else if (what < 99)
                assert_int_equal(acceptd_worker_flush(f->worker), 0);
        else {
                ask(f, RECORD_LIST, 1);
                receive_nothing(f);
        }
        model_listen(f, m, what >= 99);
        assert_int_equal(acceptd_worker_get_n_held(f->worker), m->n_held);
}

static void test_random(void **state)
{
        static struct model m;
        struct record records[RECORD_BATCH_MAX];
        struct fixture *f = *state;

        m = (struct model){ .next_id = 1 };
        srand(1);
        for (int capacity = 10; capacity <= MODEL_SIZE; capacity += MODEL_SIZE - 10) {
                assert_int_equal(acceptd_worker_ready(f->worker, (unsigned)capacity), capacity);
                assert_int_equal(hear(f, records), 1);
        }
        for (unsigned i = 0; i < MODEL_STEPS; i++)
                model_step(f, &m, (unsigned)rand() % 100);
        while (m.n_held > 0)
                model_step(f, &m, 94);
        model_step(f, &m, 98);
        assert_int_equal(m.n_unsaid, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_WORKER(test_random),
                WITH_MODERN_WORKER(test_random),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
