/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "dispatcher/channel.h"
#include "os/process.h"
#include "policy/pool.h"

struct dispatcher;

/*
 * One worker as the dispatcher holds it: a process, its channel, and the event sources of both.
 * What state it is in and what it has is in the pool's row of the same index.
 */

struct worker {
        struct dispatcher *dispatcher;
        uint32_t row;
        uint64_t number;
        pid_t pid;
        int pidfd;
        struct channel channel;
        sd_event_source *channel_source;
        sd_event_source *exit_source;
};

void worker_init(struct worker *w, struct dispatcher *dispatcher, uint32_t row);

/* Closes what the worker had here. It does not touch the process. */
void worker_deinit(struct worker *w);

/* Starts the process, and tells the pool. Returns 0 or -errno; then nothing is left of it. */
int worker_start(struct worker *w);

/* Takes over a worker that runs already and has its row. Returns 0 or -errno. */
int worker_adopt(struct worker *w, struct channel *channel_consume, int pidfd_consume);

void worker_ask(struct worker *w, enum pool_question question);
void worker_sample(struct worker *w);
void worker_drain(struct worker *w);

/* The same, and says why. */
void worker_retire(struct worker *w);
void worker_recycle(struct worker *w);
void worker_terminate(struct worker *w);
void worker_abort(struct worker *w);
void worker_kill(struct worker *w);

/* It broke the protocol: says so, once, and kills it. */
void worker_violates(struct worker *w, const char *what);

/* Nothing is left in the queue of this dead worker: forgets it. */
void worker_bury(struct worker *w);

/* Nothing is left in a queue that is taken back. */
void worker_queue_empty(struct worker *w);
