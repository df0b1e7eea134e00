/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/pool.h"

/*
 * A world for the pool to decide about: workers, queues, clients and a clock, all made up. What the
 * pool decides is carried out on them, and after each event the pool is compared
 * with what the world knows from its own book-keeping.
 */

#define WORLD_WORKERS_MAX 40
#define WORLD_ROWS_MAX    (3 * WORLD_WORKERS_MAX + 8)
#define WORLD_SLOTS_MAX   64
#define WORLD_QUEUE_MAX   12 /* datagrams that a channel takes */
#define WORLD_HELD_MAX    128
#define WORLD_SAID_MAX    (4 * WORLD_HELD_MAX)
#define WORLD_PAGE        4096
#define WORLD_OFFERS      7U /* features; a worker takes those that its number has as bits */

struct world_item {
        uint64_t id;       /* 0: a question */
        uint32_t question; /* its value */
        usec_t sent_at;
        bool settled; /* the worker said DONE before it had received it */
        bool list;    /* the question is LIST, and not PING */
        bool drain;   /* it is DRAIN, and no question */
};

/* What a worker answered, and the dispatcher has not read yet. */
struct world_answer {
        uint64_t held; /* 0: PONG */
        uint32_t pong;
};

struct world_worker {
        bool alive;
        bool served;
        bool has_row; /* alive, or dead with a queue */
        uint64_t number;
        uint32_t capacity; /* 0: it never said READY */
        bool paused;       /* it said READY 0 */
        uint64_t last_chosen;
        usec_t blocked_until;
        struct world_item queue[WORLD_QUEUE_MAX];
        size_t n_queue;
        uint64_t held[WORLD_HELD_MAX];
        size_t n_held;
        uint64_t handed_over;
        uint64_t size;
        usec_t idle_since; /* its last connection ended then */
        bool asked;        /* it has read a question, and not answered it */
        uint32_t question;
        usec_t answered_at; /* or READY */
        struct world_answer said[WORLD_SAID_MAX];
        size_t n_said;

        /* What a crash of the dispatcher leaves: world-crash.c */
        bool stored;        /* its descriptors are in the service manager's store */
        bool must_list;     /* it was adopted, and has not answered LIST */
        bool shut;          /* its channel is shut down */
        bool signalled;     /* it was sent a signal that ends it */
        bool mute;          /* it said READY, and the dispatcher forgot */
        uint32_t n_ghosts;  /* open in the ledger, and nowhere else */
        uint64_t saying;    /* DONE for this one is being noted */
        bool saying_failed; /* ... or FAILED */
        uint32_t resuming;  /* READY with this capacity is being noted, after a pause */
        bool stays;         /* ... and that stays in its channel until it is */
        uint32_t n_unheard; /* those of the ghosts that it said DONE for */
};

struct world {
        uint64_t seed, random; /* random: state of the generator */
        uint64_t n_events;
        usec_t now;
        struct settings settings;

        /* The memory that outlives a dispatcher, on pages of its own */
        _Alignas(WORLD_PAGE) struct pool_state state;
        struct worker_row rows[WORLD_ROWS_MAX];
        struct slot slots[WORLD_SLOTS_MAX];
        _Alignas(WORLD_PAGE) struct pool pool;
        struct pool_decision decision; /* the last one */

        struct world_worker workers[WORLD_ROWS_MAX];
        struct source sources[WORLD_SLOTS_MAX]; /* of the connections in the slots */
        uint32_t backlog;                       /* clients that nobody accepted yet */
        struct slot *hand[POOL_HAND_MAX];       /* the first n_hand */
        size_t n_hand;
        bool listening;
        bool finished;
        usec_t timer;
        uint64_t n_choices;
        usec_t used_at; /* there was a connection last */
        bool was_used;
        uint64_t n_spawns, n_aborts, n_rests;
        uint64_t n_crashes;
        uint64_t n_taken;    /* connections that left the backlog */
        uint64_t n_finished; /* by workers */
        uint64_t n_unheard;  /* of these: the dispatcher died with the DONE, and then the worker */
        bool generations;    /* there were reloads: more workers than Workers= may run */
        int burst;           /* decisions in a row at most */

        /* What should be in the counters */
        struct counters expected;

        /* Out of 256: how often it goes wrong */
        unsigned spawn_fails, no_descriptor, channel_full, channel_gone, set_lost, vanishes, told,
                grows;
};

/* Begins with `w->settings` as they are set; everything else is made. */
void world_init(struct world *w, uint64_t seed);
void world_deinit(struct world *w);

/* Sane settings for `workers` workers of capacity `connections`. */
void world_default_settings(struct world *w, uint32_t workers, uint32_t connections);

uint32_t world_random(struct world *w, uint32_t below);
bool world_chance(struct world *w, unsigned of_256);

/* --- Events. Each ends with the decisions that follow from it, and with all checks. --- */

/* The listeners' turn: up to `burst` clients are accepted. Returns how many were. */
uint32_t world_accept(struct world *w, uint32_t burst);

/* The worker in this row says READY (0: it pauses), takes `n` from its queue, says DONE or FAILED
 * for the `k`th that it holds, says DONE for any other id, ends. */
void world_ready(struct world *w, uint32_t row, uint32_t capacity);
void world_receive(struct world *w, uint32_t row, size_t n);
void world_done(struct world *w, uint32_t row, size_t k);
void world_failed(struct world *w, uint32_t row, size_t k);
void world_done_unreceived(struct world *w, uint32_t row, size_t k);
void world_done_bad(struct world *w, uint32_t row, uint64_t id);
void world_exit(struct world *w, uint32_t row);

/* It answers what it was asked; answers what it was not. */
void world_pong(struct world *w, uint32_t row);
void world_pong_bad(struct world *w, uint32_t row, uint32_t value);

/* The next generation is tried; it comes into force, or is given up. */
void world_try(struct world *w);
void world_end_trial(struct world *w, bool commit);

/* Connections in its queue. */
uint32_t world_count_waiting(const struct world *w, uint32_t row);

/* Time goes by. When it reaches the timer, the pool is asked. */
void world_pass(struct world *w, usec_t t);
void world_wait(struct world *w); /* up to the timer */

/* Distribute=, delays, bounds and what the pool's size goes by become others. */
void world_change_settings(struct world *w);

/* So do limits for sources, before the others tell the pool. */
void world_change_limits(struct world *w);

void world_stop(struct world *w);

/* --- Looking --- */

enum worker_state world_state(const struct world *w, uint32_t row);
uint32_t world_count(const struct world *w, enum worker_state state);

/* Returns the first row in this state, or fails. */
uint32_t world_find(struct world *w, enum worker_state state);

/* Fails the test and says where: the seed and the event bring it back. */
void world_fail(const struct world *w, const char *what, const char *function)
        __attribute__((noreturn));

#define world_expect(w, condition)                                                                 \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        world_fail(w, #condition, __func__);                                       \
        } while (false)
