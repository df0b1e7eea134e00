/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cmocka.h> /* wants the first four */

#include "base/time.h"
#include "descriptor-store.h"

/*
 * The real dispatcher under test: started as systemd starts it, with listening sockets that the
 * test made, its messages and notifications read by the test, and its end checked for anything that
 * it leaves behind. All functions fail the running cmocka test when something does not happen; all
 * of them that wait do so for an event, up to a deadline that only a failing test ever reaches.
 *
 * A test is: listen, start, await_ready, ... , stop. In between the dispatcher may be killed and
 * started again, as often as the test likes. What was written is shown when it fails before
 * its end, and always with HARNESS_DUMP=1 in the environment.
 */

#define HARNESS_DEADLINE (60 * USEC_PER_SEC)
#define HARNESS_SOCKETS  16

/* What the dispatcher or a worker wrote, and how far the test has read it. */
struct transcript {
        char *text;
        size_t size, cursor;
};

struct harness {
        char dir[64];   /* folder of this test */
        char marks[96]; /* "--marks=FOLDER" for the stub: only the first worker misbehaves */
        char fifo[96];  /* for the stub's deed "wait" */
        pid_t pid;      /* the dispatcher, or 0 */
        int pidfd;
        int log_fd, notify_fd;
        struct transcript log, notify;
        int sockets[HARNESS_SOCKETS]; /* what the dispatcher gets, in this order */
        char names[HARNESS_SOCKETS][64];
        size_t n_sockets;
        struct descriptor_store store; /* for the next dispatcher */
        bool is_deaf;                  /* what the service manager is told stays unread */
        unsigned n_crashes;
        char *descriptors_before;
        uid_t user; /* of unprivileged dispatchers; 0: none yet */
        bool finished;
};

struct harness_config {
        const char *const *options;     /* each goes after a -o */
        const char *const *stub;        /* arguments of stub-worker */
        const char *const *command;     /* another worker's command line; empty: none is given */
        const char *const *arguments;   /* before everything else */
        const char *const *environment; /* "NAME=VALUE", besides the usual */
        rlim_t nofile;                  /* RLIMIT_NOFILE, soft and hard; 0: as it is */
        usec_t watchdog;                /* $WATCHDOG_USEC; 0: none */
        size_t store;                   /* $FDSTORE, and so many are kept; 0: none */
        const char *program;            /* absolute or in this folder, in place of acceptd */
        bool subreaper;                 /* as number 1 of a container, it gets orphans */
        bool unprivileged;              /* as another user, where the test is root */
        bool readable;                  /* whose program that user can read */
        bool unconfined;                /* and without acceptd-confine */
};

struct counters {
        uint64_t accepted, open, done, failed, lost, lost_idle, refused, taken_back;
};

#define WORDS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

#define HARNESS_TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)

int harness_setup(void **state);
int harness_teardown(void **state);

/* Has the dispatcher get a descriptor. The original is the harness'. */
void harness_pass(struct harness *h, int fd_consume, const char *name);

/* Starts it: harness_start(h, .options = WORDS("Workers=2"), .stub = WORDS("--serve=hold")). */
#define harness_start(h, ...) harness_start_config(h, &(struct harness_config){ __VA_ARGS__ })
void harness_start_config(struct harness *h, const struct harness_config *config);

/* Waits for READY=1. */
void harness_await_ready(struct harness *h);

/* Waits until so many workers, since the start, are known to be ready. */
void harness_await_workers(struct harness *h, unsigned n);

/* Waits for a line with all of these words, after the last that was found, and returns it; it is
 * valid until the next call. */
#define harness_await_line(h, ...)   harness_await(h, &(h)->log, WORDS(__VA_ARGS__))
#define harness_await_notify(h, ...) harness_await(h, &(h)->notify, WORDS(__VA_ARGS__))
const char *harness_await(struct harness *h, struct transcript *t, const char *const *words);

/* Waits for a stub to say something; which one it was. */
struct stub_id {
        unsigned worker;
        pid_t pid;
};
struct stub_id harness_await_stub(struct harness *h, const char *says);

/* Lets every worker go on that waits at h->fifo, once there is one. */
void harness_release(struct harness *h);

/* How many lines so far have all of these words. */
#define harness_count_lines(h, ...) harness_count(&(h)->log, WORDS(__VA_ARGS__))
unsigned harness_count(const struct transcript *t, const char *const *words);

/* Waits for events on the test's own descriptor, while the dispatcher's output flows on. Returns
 * the events. Without `fd` (-1), reads what there is and returns at once. */
short harness_wait(struct harness *h, int fd, short events);

/* Reads the counters, and with them the law: accepted = open + done + failed + lost + refused. All
 * that the dispatcher was told before has been handled then. */
struct counters harness_counters(struct harness *h);

/* Reads them until one of them, given by its offset in the struct, has this value. */
#define harness_await_counter(h, field, value)                                                     \
        harness_await_counter_at(h, #field, offsetof(struct counters, field), value)
struct counters harness_await_counter_at(
        struct harness *h, const char *name, size_t offset, uint64_t value);

/* Waits for the end of any process, the test's child or not. */
void harness_await_death(struct harness *h, pid_t pid);

/* Waits for the dispatcher to die of SIGKILL; what it left in its store is for the next one, which
 * is started as the first one was. */
void harness_await_crash(struct harness *h);

/* Kills it itself. */
void harness_crash(struct harness *h);

/* SIGTERM, then expect_exit(h, 0). */
void harness_stop(struct harness *h);

/* Waits for the dispatcher to exit with this status; then no process, zombie or descriptor may be
 * left, nor anything in its store. The last call of each test. */
void harness_expect_exit(struct harness *h, int status);

/* Leaves the test as skipped; what it has started is ended without a look at it. */
void harness_skip(struct harness *h, const char *why) __attribute__((noreturn));

/* Copies the program at `path` into the folder of the test; `path` becomes that of the copy. */
void harness_copy_program(const struct harness *h, const char *name, char path[static PATH_MAX]);

/* The path of something that was built, relative to the folder of this test program; static. */
const char *harness_path(const char *relative);
