/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the pool costs, by the number of workers: a connection while the pool is full, and an
 * adoption. Counted are instructions, one by one, and no time: on a busy machine, too, the result
 * is the same. Times are printed, and not checked.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include <cmocka.h>

#include "policy/pool.h"

#define MANY        4096U
#define CONNECTIONS 8U /* to count */
#define NOW         (1000 * USEC_PER_SEC)

/* --- Counting instructions --- */

static uint64_t n_steps;

/* The processor stops after each instruction while this flag is set. */
#define TRAP_FLAG 0x100

/* Each takes some microseconds: what is far too much is not counted to its end. */
#define STEPS_MAX 600000

static void on_step(int signo _unused_, siginfo_t *info _unused_, void *context)
{
        ucontext_t *c = context;

        if (++n_steps >= STEPS_MAX)
                c->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* Below the stack pointer there may be something of the caller's. */
static void trace(bool on)
{
#ifdef __x86_64__
        if (on)
                __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
                                 "lea 128(%%rsp), %%rsp" ::
                                         : "memory", "cc");
        else
                __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;"
                                 "lea 128(%%rsp), %%rsp" ::
                                         : "memory", "cc");
#else
        (void)on;
        skip();
#endif
}

/* --- A pool --- */

struct big {
        struct settings settings;
        struct pool_state state;
        struct worker_row *rows;
        struct slot *slots;
        uint32_t n_rows, n_slots;
        struct pool pool;
        bool listening;
};

static void open_pool(struct big *b)
{
        const struct pool_memory memory = {
                .state = &b->state,
                .rows = b->rows,
                .n_rows = b->n_rows,
                .slots = b->slots,
                .n_slots = b->n_slots,
        };

        assert_int_equal(pool_init(&b->pool, &b->settings, &memory), 0);
}

static void begin(struct big *b, uint32_t workers, uint32_t most, uint32_t slots)
{
        *b = (struct big){};
        settings_init(&b->settings);
        settings_resolve(&b->settings, 1);
        b->settings.workers = workers;
        b->settings.workers_max = most;
        b->settings.max_connections = slots;
        b->settings.connections_per_worker = UINT32_MAX;
        b->n_rows = pool_rows_needed(&b->settings);
        b->n_slots = slots;
        b->rows = calloc(b->n_rows, sizeof(*b->rows));
        b->slots = calloc(b->n_slots, sizeof(*b->slots));
        assert_non_null(b->rows);
        assert_non_null(b->slots);
        open_pool(b);
}

static void end(struct big *b)
{
        pool_deinit(&b->pool);
        settings_done(&b->settings);
        free(b->rows);
        free(b->slots);
}

static void carry_out(struct big *b)
{
        struct pool_decision d;

        for (int i = 0; b->pool.dirty && i < 64; i++)
                pool_decide(&b->pool, NOW, &d);
        b->listening = pool_may_accept(&b->pool);
}

static void add_workers(struct big *b, uint32_t n, uint32_t capacity)
{
        for (uint32_t i = 0; i < n; i++) {
                pool_spawned(&b->pool, i, 2 + (int32_t)i, false, NOW);
                assert_int_equal(pool_ready(&b->pool, i, capacity, 0, NOW), 0);
        }
        carry_out(b);
}

static void connect_one(struct big *b)
{
        struct slot *slot;

        assert_true(b->listening);
        slot = pool_accepted(&b->pool, 0, NOW);
        pool_assign(&b->pool, slot, (uint32_t)pool_choose(&b->pool));
        pool_sent(&b->pool, slot);
        carry_out(b);
}

static bool end_one(struct big *b, uint32_t slot)
{
        const struct slot *s = &b->slots[slot];
        bool ended = pool_done(&b->pool, s->worker, s->id) == 0;

        carry_out(b);
        return ended;
}

/* One worker after another ends a connection, and gets the next: each time that is the only credit
 * that there is. Returns instructions a connection. */
static uint64_t count_a_full_connection(struct big *b, uint32_t n)
{
        usec_t begun;

        while (b->pool.n_heap > 0)
                connect_one(b);
        assert_false(b->listening);

        begun = usec_now();
        for (uint32_t i = 0; i < 100 * CONNECTIONS; i++) {
                assert_true(end_one(b, i % n));
                connect_one(b);
                assert_false(b->listening);
        }
        printf("%u workers: %.3f us a connection, ", n,
                (double)(usec_now() - begun) / (100 * CONNECTIONS));

        n_steps = 0;
        trace(true);
        for (uint32_t i = 0; i < CONNECTIONS; i++) {
                (void)end_one(b, i % n);
                connect_one(b);
        }
        trace(false);
        printf("%" PRIu64 " instructions\n", n_steps / CONNECTIONS);

        return n_steps / CONNECTIONS;
}

static void check_is_flat(uint64_t few, uint64_t many)
{
        printf("%.2f times\n", (double)many / (double)few);
        assert_in_range(few, 1, UINT64_MAX / 4);
        assert_true(2 * many <= 3 * few);
}

/* --- A full pool --- */

static uint64_t measure_full(uint32_t n)
{
        uint64_t cost;
        struct big b;

        begin(&b, n, n, 2 * n);
        add_workers(&b, n, 1);
        cost = count_a_full_connection(&b, n);
        end(&b);

        return cost;
}

/* Each connection that ended opened the gate, and each new one shut it: two decisions that looked
 * at all workers. */
static void test_full_pool_costs_by_the_number_of_workers(void **state _unused_)
{
        uint64_t few = measure_full(2);

        check_is_flat(few, measure_full(MANY));
}

/* As above, and more could start if the last start had not failed. */
static uint64_t measure_failing(uint32_t n)
{
        uint64_t cost;
        struct big b;

        begin(&b, n, 2 * n, 2 * n);
        add_workers(&b, n, 1);
        pool_spawn_failed(&b.pool, NOW + 1);
        carry_out(&b);
        cost = count_a_full_connection(&b, n);
        end(&b);

        return cost;
}

static void test_full_pool_that_cannot_grow_costs_by_the_number_of_workers(void **state _unused_)
{
        uint64_t few = measure_failing(2);

        check_is_flat(few, measure_failing(MANY));
}

/* MaxConnections= keeps clients waiting, and no worker could help. */
static uint64_t measure_max_connections(uint32_t n)
{
        uint64_t cost;
        struct big b;

        begin(&b, n, 2 * n, n);
        add_workers(&b, n, 1);
        cost = count_a_full_connection(&b, n);
        end(&b);

        return cost;
}

static void test_max_connections_cost_by_the_number_of_workers(void **state _unused_)
{
        uint64_t few = measure_max_connections(2);

        check_is_flat(few, measure_max_connections(MANY));
}

/* With WorkersSpare=, workers get idle and busy at the number where another has to be started. */
static uint64_t measure_spare(uint32_t n)
{
        uint64_t cost;
        struct big b;

        begin(&b, n, 2 * n, 2 * n);
        b.settings.workers_spare = 1;
        add_workers(&b, n, 1);
        pool_spawn_failed(&b.pool, NOW + 1);
        carry_out(&b);
        cost = count_a_full_connection(&b, n);
        end(&b);

        return cost;
}

static void test_spare_workers_cost_by_the_number_of_workers(void **state _unused_)
{
        uint64_t few = measure_spare(2);

        check_is_flat(few, measure_spare(MANY));
}

/* --- Adoption --- */

static uint64_t count_adoption(uint32_t n, uint32_t n_slots)
{
        struct big b;

        begin(&b, n, n, n_slots);
        add_workers(&b, n, n_slots);
        for (uint32_t i = 0; i < n_slots; i++)
                connect_one(&b);
        pool_deinit(&b.pool);

        n_steps = 0;
        trace(true);
        open_pool(&b);
        for (uint32_t i = 0; i < n; i++) {
                pool_adopted(&b.pool, i);
                pool_asked(&b.pool, i, QUESTION_LIST, i, NOW);
                (void)pool_pong(&b.pool, i, i, NOW);
        }
        trace(false);
        assert_int_equal(b.state.counters.done, n_slots);
        end(&b);

        return n_steps;
}

/* Returns instructions a connection. */
static uint64_t measure_adoption(uint32_t n)
{
        uint64_t few = count_adoption(n, 16), many = count_adoption(n, 80), cost;

        assert_true(many > few);
        cost = (many - few) / (80 - 16);
        printf("%u workers: adopted in %" PRIu64 " instructions a connection\n", n, cost);
        return cost;
}

/* For each worker, all slots were walked through twice. */
static void test_adoption_costs_workers_times_slots(void **state _unused_)
{
        uint64_t few = measure_adoption(2);

        check_is_flat(few, measure_adoption(32));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_full_pool_costs_by_the_number_of_workers),
                cmocka_unit_test(test_full_pool_that_cannot_grow_costs_by_the_number_of_workers),
                cmocka_unit_test(test_max_connections_cost_by_the_number_of_workers),
                cmocka_unit_test(test_spare_workers_cost_by_the_number_of_workers),
                cmocka_unit_test(test_adoption_costs_workers_times_slots),
        };
        struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

        (void)sigaction(SIGTRAP, &action, NULL);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
