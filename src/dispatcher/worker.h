/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/channel.h"
#include "dispatcher/waiting.h"
#include "os/loop.h"
#include "os/process.h"
#include "policy/pool.h"

/*
 * One worker as the dispatcher holds it: a process, its channel, and the event sources of both.
 * What state it is in and what it has is in the pool's row of the same index.
 */

/* What the workers share. */
struct worker_context {
        struct pool *pool;
        struct loop *loop;
        struct process_template process; /* of the generation in force */
        char **trial_argv;               /* of the generation that is tried */
        bool trial_leaves_batch;
        const char *told;        /* why the last start failed, as far as worker.c knows */
        const char *told_end;    /* what that took to end; NULL: nothing was told */
        struct waiting waiting;  /* of the connections that they had */
        struct wire_batch batch; /* what one said, while it is heard */

        /* Something comes on a worker's channel: to call worker_hear(); its process has ended:
         * worker_end(). The callbacks get the worker. */
        sd_event_io_handler_t on_channel;
        sd_event_io_handler_t on_exit;
        void *userdata; /* for these two */
};

struct worker {
        struct worker_context *context;
        uint32_t row;
        uint64_t number;
        pid_t pid;
        int pidfd;
        int start_error; /* errno: its program could not be executed */
        const char
                *fault; /* what it is ended for here, in words that go on with `detail`, or NULL */
        const char *detail;
        bool has_old_names; /* in the descriptor store: store_forget_old_worker() */
        uint64_t ticket;    /* it is not heard before that is stored: worker_look_at_store() */
        struct channel channel;
        sd_event_source *channel_source;
        sd_event_source *exit_source;
};

void worker_init(struct worker *w, struct worker_context *context, uint32_t row);

/* Closes what the worker had here. It does not touch the process. */
void worker_deinit(struct worker *w);

/* Starts the process, and tells the pool. `on_trial`: the program of the generation that is tried.
 * Returns 0 or -errno; then nothing is left of it. */
int worker_start(struct worker *w, bool on_trial);

/* Takes over a worker that runs already and has its row. Returns 0 or -errno. */
int worker_adopt(struct worker *w, struct channel *channel_consume, int pidfd_consume);

/* What waited for the service manager went on: a worker that was not heard may be so now. */
void worker_look_at_store(struct worker *w);

/* Hears what it said: one datagram. Returns 1 where it became ready, 0 or -errno. */
int worker_hear(struct worker *w);

/* Its process has ended. Returns true where that is a failed start; `ret_trouble`, with room for
 * WORKER_TROUBLE_MAX, says how it ended then. One start after another that fails alike is one
 * trouble, and logged once: `told` is the last one, or "". */
#define WORKER_TROUBLE_MAX 128
bool worker_end(struct worker *w, const char *told, char *ret_trouble);

/* Writes that the workers' program cannot be executed, and why (errno), with room as above. */
void worker_format_not_started(
        const struct worker_context *context, bool on_trial, int error, char *text);

/* Returns 0 or -errno. */
int worker_ask(struct worker *w, enum pool_question question);
void worker_sample(struct worker *w);
void worker_drain(struct worker *w, enum pool_drain reason);
void worker_terminate(struct worker *w);
void worker_abort(struct worker *w);
void worker_kill(struct worker *w);

/* It broke the protocol: says so, once, and kills it. */
void worker_violates(struct worker *w, const char *what);

/* Its channel gave -errno. Where a worker can have caused that, says so, kills it and returns 0.
 * Else this program is broken: returns -errno, for the loop to end with; the next dispatcher takes
 * over all workers, this one too. */
int worker_cannot_talk(struct worker *w, int error);

/* Nothing is left in the queue of this dead worker: forgets it. */
void worker_bury(struct worker *w);

/* Nothing is left in a queue that is taken back. */
void worker_queue_empty(struct worker *w);
