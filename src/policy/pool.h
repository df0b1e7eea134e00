/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/backoff.h"
#include "policy/pool-decision.h"
#include "policy/pool-records.h"
#include "policy/sources.h"
#include "policy/worker-state.h"
#include "settings/settings.h"

/*
 * The pool: which worker gets a connection, and what is to be done with the workers.
 *
 * The dispatcher tells the pool what happened (pool_accepted, pool_done, pool_exited, ...).
 * Whenever that may have changed what is to be done, `dirty` is set, and the dispatcher asks
 * pool_decide(), which recomputes everything from the state and may be asked at any time: what was
 * not carried out is simply decided again.
 *
 * The way of a connection does not touch all that: pool_accepted, pool_choose, pool_assign,
 * pool_sent, pool_done take a time that does not grow with the pool (but by a heap's logarithm),
 * also while the pool is full, and credit runs out and comes back with each connection: whether the
 * listeners are watched is no decision, but pool_may_accept(), to be asked after each event. A
 * decision may walk over all rows, an adoption over all slots that were ever in use.
 *
 * `row` is a worker's index everywhere.
 */

/* Connections in the dispatcher's hand. The second place is for one that is taken back while the
 * first cannot be sent: too many descriptors are in flight, perhaps just those in that queue. */
#define POOL_HAND_MAX 2

/* What a worker says at once, and what is noted in parts: so many records, at most. */
#define POOL_BATCH_MAX 64

#define POOL_NOT_IN_HEAP UINT32_MAX
#define POOL_NO_ROW      UINT32_MAX
#define POOL_NO_SLOT     UINT32_MAX

/* Why a worker is replaced although it is well; what goes before the others is last. */
enum pool_recycling {
        RECYCLE_NONE,
        RECYCLE_CONNECTIONS, /* RecycleAfter= */
        RECYCLE_AGE,         /* RecycleSec= */
        RECYCLE_SIZE,        /* RecycleMemory= */
};

/* What the pool keeps of a worker for itself. */
struct pool_worker {
        struct worker_row *record; /* in the ledger */
        uint32_t open;             /* slots that name this worker */
        uint32_t first_slot;       /* of these, linked; or POOL_NO_SLOT */
        uint32_t kinds;            /* bits: 1 << enum pool_kind, in which it is counted */
        uint32_t heap_position;
        uint64_t last_chosen; /* number of the choice; 0: never */
        usec_t ready_at;      /* where the dispatcher does not accept; 0: adopted */
        usec_t blocked_until; /* its channel was full; 0: it was not */
        usec_t readys_since;  /* begin of the second in which n_readys are counted */
        uint32_t n_readys;
        bool served;
        bool leaves; /* it was asked to: its end says nothing about how workers start */
        bool failed; /* it was ended before it was ready, which is counted as a failed start */
        bool doomed; /* so it was, and the next start waits for its end */

        bool idle;          /* ready, without a connection, and not paused */
        bool retires;       /* it has been idle for so long that it may go */
        usec_t idle_since;  /* as it was noticed; 0: it was not */
        uint64_t idle_mark; /* `handed_over` then: while it is the same, it is idle since then */

        /* pool-recycle.c */
        uint64_t size;                 /* in memory, as it was seen last, in bytes; 0: unknown */
        usec_t large_since;            /* larger than RecycleMemory=; 0: it is not */
        enum pool_recycling recycling; /* why it was drained */

        /* It was adopted. It may answer questions of the process before this one, and gets nothing
         * until it has listed what it holds. */
        bool adopted, must_list;
        uint64_t excuses; /* pool_excuse() */

        /* pool-queue.c */
        bool in_doubt;      /* it was sent a connection since its queue was last seen without any */
        bool taking_back;   /* its queue goes to others; it gets nothing */
        bool ignores_queue; /* its queue was taken, and it said nothing since: it gets nothing */
        uint32_t taken;     /* connections, since `taking_back` was set */
        uint64_t mark_sent; /* that many records had been sent at mark_at */
        usec_t mark_at;     /* 0: no mark */

        /* pool-question.c */
        enum pool_question question; /* that is in its queue or was read, and has no answer */
        uint32_t question_value;
        uint64_t n_asked;     /* questions sent */
        uint64_t question_at; /* how many records had been sent with the question */
        usec_t asked_at;      /* since when it owes an answer; 0: it owes none */
        usec_t answered_at;   /* when it gave the last, or became ready */
};

/* What a worker can do wrong. */
enum pool_violation {
        POOL_FOREIGN_ID = 1, /* an id that is not, or no longer, this worker's */
        POOL_READY_FLOOD = 2,
        POOL_NOT_ASKED = 3,
        POOL_BAD_FEATURES = 4,      /* others than it was offered, or than it took before */
        POOL_READY_FOR_NOTHING = 5, /* a pause before it was ready at all */
};

/* Kinds of workers that are counted: pool-census.c. One worker may be of several. */
enum pool_kind {
        KIND_STARTING, /* of the generation in force */
        KIND_CURRENT,  /* ready, of the generation in force */
        KIND_OLD,      /* ready, of earlier ones */
        KIND_DOOMED,   /* with `doomed`, alive, of the generation in force */
        KIND_ON_TRIAL, /* starting or ready, of the generation that is tried */
        KIND_READY,    /* all */
        KIND_ALIVE,
        KIND_IN_USE, /* rows that are not free */
        KIND_DEAD,
        KIND_DYING,     /* killed with connections, some of which may be in its queue */
        KIND_LEAVING,   /* of the generation in force: drained or worse, and still there */
        KIND_WITH_ROOM, /* they have credit, or will say whether they have */
        KINDS,
};

/* The slots of one worker. */
struct slot_link {
        uint32_t previous, next; /* or POOL_NO_SLOT */
};

/* Is told of each connection's end, while its slot and its worker's row still say all about it. */
typedef void (*pool_ended_t)(void *userdata, const struct slot *slot, enum outcome outcome);

struct pool {
        const struct settings *settings;
        const struct settings *trial_settings; /* of the generation that is tried, or NULL */
        pool_ended_t ended;                    /* or NULL */
        void *userdata;                        /* of `ended` */
        struct pool_state *state;
        struct counters *counters; /* in the state */
        struct slots slots;
        struct slot_link *links; /* one for each slot, where a worker has it */
        struct sources sources;  /* of the connections that were asked for it */
        bool asks_source;        /* of new ones: there is a limit */

        struct pool_worker *workers; /* one for each row */
        uint32_t n_rows;
        uint32_t n_taking_back; /* rows whose queue goes to others: all DEAD ones, some that live */
        uint32_t offers;        /* features: to workers that are started; the caller's to set */
        uint32_t rows_max; /* how many may be in use, the caller's to set, too; 0: all that are */

        /* Workers with a credit, the next one to be chosen on top. */
        uint32_t *heap;
        uint32_t n_heap;
        uint64_t n_choices;

        uint32_t census[KINDS];  /* how many workers of each kind */
        uint32_t n_idle;         /* workers with `idle` */
        uint32_t idle_floor;     /* below it, another worker has to be started: dirty */
        bool may_grow;           /* without a credit, another worker has to be started: dirty */
        uint32_t successor;      /* row of the one that takes the place of a recycled one */
        usec_t weigh_at;         /* when it is looked how large workers are */
        uint32_t weigh_row;      /* from where on */
        uint32_t n_weighed;      /* in this look */
        uint32_t size_doublings; /* of the least age at which size counts */
        usec_t look_at;          /* when idle workers are looked for next; 0: there is no need */

        struct backoff backoff;
        uint64_t adopted_serial; /* ids given up to this one are older than this process */
        usec_t sample_at;        /* when queues are looked at again; 0: none is in doubt */
        uint32_t n_in_hand;      /* accepted or taken back, and given to no worker */
        bool hand_waited;        /* some were in hand at the last decision */
        bool accepts;            /* Accept=yes, and not held */
        usec_t paused_until;     /* no new descriptor before; 0: not paused */
        usec_t stop_deadline;    /* of waiting for credits when stopping */
        usec_t rest_look_at;     /* when it is looked whether it may rest; 0: there is no need */
        usec_t quiet_since;      /* no connection was seen since then; 0: it begins now */
        uint64_t quiet_mark;     /* how many there had been, at the last look */
        bool is_quiet;           /* for long enough, at the last look */
        bool stays;              /* pool_set_stays() */
        bool rests;
        bool stopping;
        bool dirty;
};

/* The pool's memory that outlives it: the ledger. All zeros at first. */
struct pool_memory {
        struct pool_state *state;
        struct worker_row *rows;
        uint32_t n_rows;
        struct slot *slots;
        uint32_t n_slots;
        uint64_t seed; /* random: sources_init() */
};

/* --- pool-open.c: a new pool, or the next process' on the same memory --- */

/* How many rows a pool with these settings needs: workers of two generations, and dead ones with a
 * queue. */
uint32_t pool_rows_needed(const struct settings *settings);

/*
 * `settings` (resolved and checked) and the memory stay the caller's. The memory is all zeros, or
 * another process died with it. Then the caller must say of each row that is not WORKER_NONE
 * whether the worker is still there: pool_adopted(); or not: pool_exited(), later pool_emptied().
 * And of each slot from pool_get_in_hand() whose descriptor it has not got: pool_lost().
 *
 * Returns 0, -ENOMEM, or -EBADMSG where the memory cannot be right.
 */
int pool_init(struct pool *pool, const struct settings *settings, const struct pool_memory *memory);
void pool_deinit(struct pool *pool);

/* True where a process before this one had a worker that was ready, or one that failed. */
bool pool_was_ready(const struct pool *pool);

/* The worker in this row was found, with its channel. */
void pool_adopted(struct pool *pool, uint32_t row);

/* Fields of the settings changed. What waits for a deadline keeps the one it has; the size of the
 * pool's memory does not change, so neither may what that depends on. */
void pool_settings_changed(struct pool *pool);

/* --- pool.c: the way of a connection --- */

/* True while a new connection may be accepted: there is a credit, and nothing older waits. The
 * listeners are to be watched as long as this is true, and not else. */
bool pool_may_accept(const struct pool *pool);

/* Nothing new is accepted until it is held no more, whoever comes waits in the kernel. That
 * outlives a crash and a reload. */
void pool_hold(struct pool *pool, bool on);

static inline bool pool_is_held(const struct pool *pool)
{
        return pool->state->is_held;
}

/* A connection was accepted: it is in hand now. Only after pool_may_accept(). */
struct slot *pool_accepted(struct pool *pool, uint16_t listener, usec_t now);

/* Returns the row of the worker that the next connection goes to, or -1 where nobody has credit. */
int64_t pool_choose(struct pool *pool);

/* A connection in hand is about to be sent to the worker in `row`. */
void pool_assign(struct pool *pool, struct slot *slot, uint32_t row);

/* It was sent. */
void pool_sent(struct pool *pool, struct slot *slot);

/* It could not be sent, and is in hand again; its worker is blocked. */
void pool_not_sent(struct pool *pool, struct slot *slot, usec_t now);

/* The worker said that it finished `id`, or that it could not serve it: that shows that the worker
 * reads its channel, and not that workers are well. Both return 0 or POOL_FOREIGN_ID. */
int pool_done(struct pool *pool, uint32_t row, uint64_t id);
int pool_failed(struct pool *pool, uint32_t row, uint64_t id);

/* Returns whether the worker has that connection. */
bool pool_has(const struct pool *pool, uint32_t row, uint64_t id);

/* The connection in hand was closed unserved. */
void pool_refused(struct pool *pool, struct slot *slot, enum refusal reason);

/* A connection was accepted only to be closed: the instance stops, and so does its socket. */
void pool_turned_away(struct pool *pool);

/* Returns the slot of the k-th connection that is with no worker, or NULL. */
struct slot *pool_get_in_hand(struct pool *pool, uint32_t k);

/* That connection is gone. */
void pool_lost(struct pool *pool, struct slot *slot);

/* The dispatcher cannot get a descriptor now (its limit, the system's, memory). */
void pool_pause(struct pool *pool, usec_t until);

struct pool_figures {
        uint32_t workers; /* that run */
        uint32_t workers_ready;
        uint32_t workers_leaving; /* that are to end, and run: they drain, most of them */
        uint32_t open;            /* slots in use, counted */
        uint64_t refused;         /* for whatever reason */
};

void pool_get_figures(const struct pool *pool, struct pool_figures *ret);

/* --- pool-credit.c: who can take another connection --- */

/* The worker's channel was full: it gets nothing for a while, or until it says something. */
void pool_block(struct pool *pool, uint32_t row, usec_t now);

/* Its time is over: the worker may be sent something again. */
void pool_unblock(struct pool *pool, uint32_t row);

/* --- pool-life.c: the life of workers --- */

/* Returns the number for the worker to be started next. */
static inline uint64_t pool_next_number(const struct pool *pool)
{
        return pool->state->last_number + 1;
}

/* It was offered `offers` of the pool. `on_trial`: as the action said. */
void pool_spawned(struct pool *pool, uint32_t row, int32_t pid, bool on_trial, usec_t now);

/* A worker of the generation in force could not be started. On trial, that is its end. */
void pool_spawn_failed(struct pool *pool, usec_t now);

/* False while failed starts make the next one wait. */
bool pool_may_spawn(const struct pool *pool, usec_t now);

/*
 * The worker said READY, and which features it takes. Capacity 0 is a pause, whether it took the
 * feature for that is the caller's to know. Returns 0, POOL_READY_FLOOD, POOL_BAD_FEATURES or
 * POOL_READY_FOR_NOTHING.
 *
 * What a paused worker says has to stay in its channel until it was noted, as with one that leaves:
 * a READY that died with the dispatcher would leave it without connections for ever.
 */
int pool_ready(struct pool *pool, uint32_t row, uint32_t capacity, uint32_t features, usec_t now);

static inline bool pool_is_paused(const struct pool *pool, uint32_t row)
{
        return pool->workers[row].record->flags & ROW_PAUSED;
}

/* Returns by when a worker that is drained now has to be gone, or USEC_INFINITY. */
usec_t pool_get_drain_deadline(const struct pool *pool, usec_t now);

/* The step was taken: pool_decide() asked for it, or the worker broke the protocol. Where it was
 * not ready yet, that is a failed start from now on, and not only when it has ended. `told`: a
 * DRAIN record was sent. It goes before the call, and the end of the channel after it: where a
 * crash comes between, the worker is drained again. */
void pool_drained(struct pool *pool, uint32_t row, bool told, usec_t now);
void pool_terminated(struct pool *pool, uint32_t row, usec_t now);
void pool_aborted(struct pool *pool, uint32_t row, usec_t now);
void pool_killed(struct pool *pool, uint32_t row, usec_t now);

/* Its process is gone. Its row stays until pool_emptied(). Returns true where that counts as a
 * failed start: it ended soon, without having served. */
bool pool_exited(struct pool *pool, uint32_t row, usec_t now);

/* No connection is left in the queue of a dead worker, and its row is free. Returns how many
 * connections it had received and not finished: they are lost. */
uint32_t pool_emptied(struct pool *pool, uint32_t row);

/* So many of these were idle. */
void pool_lost_were_idle(struct pool *pool, uint32_t n);

/* --- pool-question.c: questions and answers --- */

/* Returns the value for the next question. Write it down (as this does) before the question is
 * sent: so no value is ever used twice, also across crashes, and an answer to an earlier
 * dispatcher's question is not taken for one to ours. */
static inline uint32_t pool_next_question(struct pool *pool)
{
        return ++pool->state->last_question;
}

/* A question was sent to the worker, or its channel was full. */
void pool_asked(
        struct pool *pool, uint32_t row, enum pool_question question, uint32_t value, usec_t now);
void pool_not_asked(struct pool *pool, uint32_t row, usec_t now);

/* A record that is neither a connection nor a question was sent to the worker. */
void pool_told(struct pool *pool, uint32_t row);

/* A PING or LIST came back from its queue: it will never be answered. A DRAIN that comes back is
 * none of these, and of no consequence. */
void pool_question_dropped(struct pool *pool, uint32_t row);

/* The worker said so. Returns 0, POOL_NOT_ASKED or POOL_FOREIGN_ID. */
int pool_held(struct pool *pool, uint32_t row, uint64_t id);
int pool_pong(struct pool *pool, uint32_t row, uint32_t value, usec_t now);

/* --- pool-queue.c: queues that nobody reads --- */

/* True where a connection may wait in the worker's queue. */
bool pool_is_in_doubt(const struct pool *pool, uint32_t row);

/* Returns how many connections wait there, where `queued` records do. */
uint32_t pool_count_waiting(const struct pool *pool, uint32_t row, uint32_t queued);

/* So many records are queued there now. Returns how many connections were taken from there before
 * the rest was read, if that was so: the taking is over. */
uint32_t pool_sampled(struct pool *pool, uint32_t row, uint32_t queued, usec_t now);

/* POOL_SAMPLE was carried out. */
void pool_sampling_done(struct pool *pool);

/* Call with true before receiving from the queue of a worker that POOL_TAKE_BACK named, and with
 * false where nothing was received. If the dispatcher crashes in between, the next one finds the
 * flag, and counts one connection that the worker does not list as lost instead of done. */
void pool_set_in_transit(struct pool *pool, uint32_t row, bool in_transit);

/* A connection came back from there, after pool_set_in_transit(): it is in hand now. Returns NULL
 * where `id` is not one of that worker's. */
struct slot *pool_take_back(struct pool *pool, uint32_t row, uint64_t id);

/* Nothing is left in the queue of a worker that lives. Returns how many connections were taken. */
uint32_t pool_queue_done(struct pool *pool, uint32_t row);

/* --- pool-generation.c: reloads --- */

/*
 * Tries the next generation, which will have these settings (the caller's, to stay): one worker of
 * it is started. When that is READY (with Accept=no, when it has proved itself: POOL_PASS), the
 * caller says pool_commit(): from then on the settings are those of the pool, and the old workers
 * are drained, each when a new one is READY. When its start fails, pool_abandon(). Until then
 * nothing is different from what it was without a trial: workers of the generation in force serve,
 * and start where they are missing.
 */
void pool_try(struct pool *pool, const struct settings *settings);
void pool_commit(struct pool *pool);
void pool_abandon(struct pool *pool);

/* True for a worker of the generation that is being tried. */
bool pool_is_on_trial(const struct pool *pool, uint32_t row);

/* --- pool-recycle.c: workers that are replaced --- */

/* Returns why the worker is due to be replaced, or was. */
enum pool_recycling pool_why_recycle(const struct pool *pool, uint32_t row, usec_t now);

/* POOL_WEIGH: returns a worker to be weighed, or -1 where that was all for now. Then say
 * pool_weighing_done(). */
int64_t pool_next_to_weigh(struct pool *pool);

/* It takes so many bytes of memory; 0: not known. */
void pool_weighed(struct pool *pool, uint32_t row, uint64_t size, usec_t now);
void pool_weighing_done(struct pool *pool, usec_t now);

/* --- pool-rest.c: the end of a pool that nobody uses --- */

/* POOL_REST was decided, and nobody waits at a listener: the workers are ended. Whoever comes
 * before the decision is `finished`, and also then, has to rouse it. */
void pool_rest(struct pool *pool, usec_t now);
void pool_rouse(struct pool *pool);

/* Something goes on of which the pool sees nothing: it does not rest meanwhile. */
void pool_set_stays(struct pool *pool, bool stays);

/* --- pool-decide.c (with pool-size.c): what is to be done --- */

void pool_decide(struct pool *pool, usec_t now, struct pool_decision *ret);

/* Drain everything and finish. A second call waits for nobody. */
void pool_stop(struct pool *pool, usec_t now);
