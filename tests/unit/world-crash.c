/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Crashes between any two stores: the pages of the pool's memory are read-only, so that each store
 * into them is a signal. It is let through with a single step, or it is where the process ends.
 * Adoption follows src/takeover/adoption.c.
 */

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "world-check.h"
#include "world-crash.h"

#define MEMORY_SIZE (offsetof(struct world, pool) - offsetof(struct world, state))

/* Which a loss in a crash may make: a worker that had received something dies with it. */
#define TORN_MAX (WORLD_HELD_MAX + WORLD_QUEUE_MAX)

_Static_assert(offsetof(struct world, state) % WORLD_PAGE == 0, "on its own pages");
_Static_assert(MEMORY_SIZE % WORLD_PAGE == 0, "on its own pages");

/* --- Ends before a store --- */

#ifdef __x86_64__

#define TRAP_FLAG 0x100

static struct {
        sigjmp_buf out;
        uint8_t *memory;
        uint64_t fuse;
} run;

static void protect(int how)
{
        if (mprotect(run.memory, MEMORY_SIZE, how) < 0)
                abort();
}

static void on_store(int signo, siginfo_t *info, void *context)
{
        const uint8_t *at = info->si_addr;
        ucontext_t *c = context;

        if (at < run.memory || at >= run.memory + MEMORY_SIZE) {
                (void)signal(signo, SIG_DFL); /* a true one */
                return;
        }
        protect(PROT_READ | PROT_WRITE);
        if (run.fuse-- == 0)
                siglongjmp(run.out, 1);
        c->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int signo _unused_, siginfo_t *info _unused_, void *context)
{
        ucontext_t *c = context;

        c->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
        protect(PROT_READ);
}

bool world_run(struct world *w, uint64_t fuse, world_deed *deed, void *userdata)
{
        struct sigaction store = { .sa_sigaction = on_store, .sa_flags = SA_SIGINFO };
        struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
        struct sigaction store_before, step_before;
        bool stopped;

        run.memory = (uint8_t *)w + offsetof(struct world, state);
        run.fuse = fuse;
        (void)sigaction(SIGSEGV, &store, &store_before);
        (void)sigaction(SIGTRAP, &step, &step_before);

        stopped = sigsetjmp(run.out, 1) != 0;
        if (!stopped) {
                protect(PROT_READ);
                deed(w, userdata);
        }

        protect(PROT_READ | PROT_WRITE);
        (void)sigaction(SIGSEGV, &store_before, NULL);
        (void)sigaction(SIGTRAP, &step_before, NULL);
        return stopped;
}

#else

bool world_run(struct world *w, uint64_t fuse _unused_, world_deed *deed, void *userdata)
{
        deed(w, userdata);
        return true;
}

#endif

/* --- The next dispatcher --- */

static bool is_open(const struct world *w, uint32_t row, uint64_t id)
{
        const struct slot *slot = slots_get(&w->pool.slots, id);

        return slot && slot->worker == row;
}

static struct world_item *find_in_queue(struct world_worker *v, uint64_t id)
{
        for (size_t i = 0; i < v->n_queue; i++)
                if (v->queue[i].id == id)
                        return &v->queue[i];

        return NULL;
}

/* The DONE that the dispatcher had received died with it. */
static void lose_done(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];

        if (is_open(w, row, v->saying)) {
                if (find_in_queue(v, v->saying))
                        w->n_finished--; /* it will say so again */
                else
                        v->n_unheard++;
        }
        v->saying = 0;
}

/* So is the READY of one that was paused. */
static void hear_ready_again(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];
        uint32_t capacity = TAKE(v->resuming, 0U);

        if (capacity == 0 || !v->alive || world_state(w, row) == WORKER_KILLED)
                return;
        world_expect(w, pool_ready(&w->pool, row, capacity, v->number & WORLD_OFFERS, w->now) == 0);
        world_is_ready(w, row, capacity);
}

/* The DONE of a worker that cannot be asked is still in its channel: src/dispatcher/worker.c. */
static void hear_done_again(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];
        bool open = is_open(w, row, v->saying);
        struct world_item *item = find_in_queue(v, v->saying);

        if (v->saying == 0)
                return;
        if (world_state(w, row) == WORKER_KILLED) { /* nothing that it says counts any more */
                lose_done(w, row);
                return;
        }
        if (v->saying_failed)
                world_expect(w, pool_failed(&w->pool, row, v->saying) == 0);
        else
                world_expect(w, pool_done(&w->pool, row, v->saying) == 0);
        w->expected.failed += open && v->saying_failed;
        w->expected.done += open && !v->saying_failed;
        if (item)
                item->settled = true;
        else
                v->n_ghosts -= open;
        v->saying = 0;
}

/* Compares what the ledger has of a worker with what it really has: nothing real is missing there.
 * Returns how many there are more than before. */
static uint32_t compare(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];
        uint32_t before = v->n_ghosts, real = 0;

        if (!v->stays)
                lose_done(w, row);
        if (!v->alive) {
                before += (uint32_t)v->n_held; /* nobody has them any more */
                v->n_held = 0;
        }
        for (size_t i = 0; i < v->n_held; i++)
                world_expect(w, is_open(w, row, v->held[i]));
        for (size_t i = 0; i < v->n_queue; i++) {
                bool open = v->queue[i].id != 0 && is_open(w, row, v->queue[i].id);

                world_expect(w, open || v->queue[i].settled);
                v->queue[i].settled = !open;
                real += open;
        }

        real += (uint32_t)v->n_held;
        world_expect(w, w->pool.workers[row].open >= real);
        v->n_ghosts = w->pool.workers[row].open - real;
        return v->n_ghosts > before ? v->n_ghosts - before : 0;
}

static void check_counters(struct world *w, enum world_end end)
{
        const struct counters *c = &w->state.counters;
        struct counters *e = &w->expected;
        uint64_t sum = w->pool.slots.n_used + c->done + c->failed + c->lost;

        for (size_t i = 0; i < REFUSALS; i++)
                sum += c->refused[i];
        world_expect(w, c->accepted == sum);
        if (end != WORLD_TORN) {
                world_expect(w, memcmp(c, e, sizeof(*c)) == 0);
                return;
        }

        world_expect(w, c->accepted - e->accepted <= 1);
        world_expect(w, c->done - e->done <= TORN_MAX);
        world_expect(w, c->failed - e->failed <= 1);
        world_expect(w, c->lost - e->lost <= TORN_MAX);
        world_expect(w, c->taken_back - e->taken_back <= 1);
        for (size_t i = 0; i < REFUSALS; i++)
                world_expect(w, c->refused[i] - e->refused[i] <= POOL_HAND_MAX);
        *e = *c;
}

static void restore_incomplete(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];

        lose_done(w, row);
        if (world_state(w, row) != WORKER_DEAD)
                (void)pool_exited(&w->pool, row, w->now);
        v->alive = false;
        v->n_said = 0;
        if (world_chance(w, 128)) /* its queue is there */
                return;
        for (; v->n_queue > 0; v->n_queue--)
                v->n_ghosts += !v->queue[v->n_queue - 1].settled;
        world_bury(w, row);
}

static void restore_worker(struct world *w, uint32_t row)
{
        struct world_worker *v = &w->workers[row];

        v->capacity = w->rows[row].capacity;
        v->paused = pool_is_paused(&w->pool, row);
        v->last_chosen = 0;
        v->answered_at = 0;
        v->asked = false;
        if (world_state(w, row) == WORKER_DEAD) {
                v->alive = false;
                v->n_said = 0;
                return;
        }
        if (!v->stored || world_chance(w, w->set_lost)) {
                restore_incomplete(w, row);
                return;
        }
        if (!v->alive) /* its end is seen later */
                v->alive = v->signalled = true;

        pool_adopted(&w->pool, row);
        v->must_list = world_state(w, row) == WORKER_READY;
        v->shut = v->shut || world_state(w, row) == WORKER_DRAINING;
}

static void restore_hand(struct world *w, enum world_end end)
{
        size_t before = w->n_hand;
        struct slot *slot;

        w->n_hand = 0;
        while ((slot = pool_get_in_hand(&w->pool, (uint32_t)w->n_hand))) {
                if (end == WORLD_EXEC) {
                        w->hand[w->n_hand++] = slot;
                        continue;
                }
                pool_lost(&w->pool, slot);
                w->expected.lost++;
        }
        if (end == WORLD_EXEC)
                world_expect(w, w->n_hand == before);
}

/* Those that were sent a signal of which the ledger knows nothing. */
static void see_deaths(struct world *w)
{
        for (uint32_t i = 0; i < w->pool.n_rows; i++) {
                enum worker_state state = world_state(w, i);
                bool knows = state == WORKER_TERMINATING || state == WORKER_ABORTED ||
                             state == WORKER_KILLED;

                if (w->workers[i].alive && !knows &&
                        (w->workers[i].signalled || world_chance(w, w->vanishes)))
                        world_exit(w, i);
        }
}

void world_adopt(struct world *w, enum world_end end)
{
        uint32_t ghosts = 0;

        w->n_crashes++;
        pool_deinit(&w->pool);
        world_open_pool(w);
        check_counters(w, end);
        w->listening = w->finished = false;
        w->n_choices = 0;

        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                if (world_state(w, i) == WORKER_NONE)
                        w->workers[i] = (struct world_worker){};
                else
                        ghosts += compare(w, i);
        world_expect(w, ghosts <= 1);

        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                if (world_state(w, i) != WORKER_NONE)
                        restore_worker(w, i);
        restore_hand(w, end);
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                hear_ready_again(w, i);
        for (uint32_t i = 0; i < w->pool.n_rows; i++)
                hear_done_again(w, i);
        world_settle(w);
        see_deaths(w);
}

void world_check_truth(struct world *w)
{
        const struct counters *c = &w->state.counters;

        world_expect(w, c->accepted <= w->n_taken && w->n_taken <= c->accepted + w->n_crashes);
        world_expect(w, c->done + c->failed <= w->n_finished);
        world_expect(w, w->n_finished <= c->done + c->failed + w->n_unheard);
}
