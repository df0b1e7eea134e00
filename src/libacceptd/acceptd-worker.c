/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a program calls of its worker: opening, receiving, waiting, ends. Knows nothing of what is
 * served. Each call stands behind one gate: not in a process that was forked, and one thread at a
 * time.
 */

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "libacceptd/acceptd.h"
#include "libacceptd/environment.h"
#include "libacceptd/heard.h"
#include "libacceptd/said.h"
#include "libacceptd/signals.h"
#include "libacceptd/worker-inside.h"
#include "wire/record.h"

/* What a program sees under one name is on the wire under another. */
static_assert((int)ACCEPTD_FAILURE_OTHER == RECORD_FAILURE_OTHER &&
                      (int)ACCEPTD_FAILURE_START == RECORD_FAILURE_START &&
                      (int)ACCEPTD_FAILURE_SIGNAL == RECORD_FAILURE_SIGNAL &&
                      (int)ACCEPTD_FAILURE_DESCRIPTOR == RECORD_FAILURE_DESCRIPTOR &&
                      (int)ACCEPTD_FAILURE_REFUSED == RECORD_FAILURE_REFUSED,
        "reasons of FAILED");
static_assert((int)ACCEPTD_DRAIN_STOP == RECORD_DRAIN_STOP &&
                      (int)ACCEPTD_DRAIN_RELOAD == RECORD_DRAIN_RELOAD &&
                      (int)ACCEPTD_DRAIN_RECYCLE == RECORD_DRAIN_RECYCLE &&
                      (int)ACCEPTD_DRAIN_RETIRE == RECORD_DRAIN_RETIRE,
        "reasons of DRAIN");

#define IS_OWN_SIZE 1 /* the kernel makes a page of it */

/* Two objects on one channel would each hear half of what the dispatcher says. */
static bool environment_is_taken;

static bool is_forked(const struct acceptd_worker *worker)
{
        return *worker->is_own == 0;
}

/* --- The begin and the end --- */

static int map_is_own(struct acceptd_worker *worker)
{
        uint8_t *page =
                mmap(NULL, IS_OWN_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (page == MAP_FAILED)
                return -errno;

        *page = 1;
        worker->is_own = page;
        return madvise(page, IS_OWN_SIZE, MADV_WIPEONFORK) < 0 ? -errno : 0;
}

static void worker_free(struct acceptd_worker *worker)
{
        waker_done(&worker->waker);
        fd_close(worker->channel);
        noted_done(&worker->noted);
        held_done(&worker->held);
        if (worker->is_own)
                (void)munmap((void *)(uintptr_t)worker->is_own, IS_OWN_SIZE);
        (void)pthread_mutex_destroy(&worker->lock);
        free(worker->instance);
        free(worker->names);
        free(worker);
}

/* Returns 0 or -errno; `fd` is the worker's from then on. */
static int worker_new(struct acceptd_worker **ret, int fd, const char *listeners, uint64_t flags)
{
        struct acceptd_worker *worker;
        int r;

        if ((flags & ~ACCEPTD_BLOCKING) != 0)
                return -EINVAL;
        worker = calloc(1, sizeof(*worker));
        if (!worker)
                return -ENOMEM;

        (void)pthread_mutex_init(&worker->lock, NULL);
        worker->channel = -1;
        worker->blocking = (flags & ACCEPTD_BLOCKING) != 0;
        worker->receives = true;
        r = waker_init(&worker->waker, fd);
        if (r >= 0)
                r = map_is_own(worker);
        if (r >= 0)
                r = environment_split_names(listeners, &worker->names, &worker->n_names);
        if (r >= 0)
                r = fd_set_cloexec(fd, true);
        if (r < 0) {
                worker_free(worker);
                return r;
        }

        worker->channel = fd;
        *ret = worker;
        return 0;
}

int acceptd_worker_open_fd(struct acceptd_worker **ret, int fd, const char *listeners,
        uint64_t features, uint64_t flags)
{
        int r = environment_check_channel(fd);

        if (r >= 0)
                r = worker_new(ret, fd, listeners, flags);
        if (r >= 0)
                (*ret)->features = features & RECORD_FEATURES;
        return r;
}

int acceptd_worker_open(struct acceptd_worker **ret, uint64_t flags)
{
        const char *instance = getenv("ACCEPTD_INSTANCE");
        struct acceptd_worker *worker;
        int fd, r;

        if (__atomic_load_n(&environment_is_taken, __ATOMIC_ACQUIRE))
                return -EBUSY;
        fd = environment_get_channel();
        if (fd < 0)
                return fd;
        r = worker_new(&worker, fd, getenv("ACCEPTD_LISTENERS"), flags);
        if (r < 0)
                return r;

        worker->features = environment_get_number("ACCEPTD_FEATURES") & RECORD_FEATURES;
        worker->number = environment_get_number("ACCEPTD_WORKER");
        worker->instance = instance ? strdup(instance) : NULL;
        if (instance && !worker->instance) {
                worker->channel = -1; /* it stays open */
                worker_free(worker);
                return -ENOMEM;
        }

        worker->from_environment = true;
        __atomic_store_n(&environment_is_taken, true, __ATOMIC_RELEASE);
        *ret = worker;
        return 0;
}

void acceptd_worker_free(struct acceptd_worker *worker)
{
        if (!worker)
                return;

        if (!is_forked(worker))
                (void)said_now(worker); /* the last words, if they can be said */
        if (worker->from_environment)
                __atomic_store_n(&environment_is_taken, false, __ATOMIC_RELEASE);
        worker_free(worker);
}

int acceptd_worker_exit(struct acceptd_worker *worker, int result)
{
        if (result < 0)
                fprintf(stderr, "acceptd: %s\n", acceptd_worker_explain(worker, result));
        acceptd_worker_free(worker);
        return acceptd_exit_status(result);
}

/* --- READY --- */

static int mistake(struct acceptd_worker *worker, const char *what)
{
        worker->mistake = what;
        return -EINVAL;
}

static int announce(struct acceptd_worker *worker, unsigned capacity)
{
        int lowered, r;

        if (capacity == 0) {
                if (worker->capacity == 0 && !worker->announced)
                        return mistake(worker,
                                "the first READY cannot be a pause: the capacity has to be 1 or more");
                if (!(worker->features & RECORD_FEATURE_PAUSE))
                        return -EOPNOTSUPP;
                return said_ready(worker, 0);
        }

        lowered = environment_lower_capacity(MIN(capacity, HELD_SIZE_MAX), worker->held.n_held);
        if (lowered < 0)
                return lowered;
        r = held_grow(&worker->held, (uint32_t)lowered);
        if (r >= 0)
                r = said_ready(worker, (uint32_t)lowered);
        return r < 0 ? r : lowered;
}

int acceptd_worker_ready(struct acceptd_worker *worker, unsigned capacity)
{
        int r = worker_enter(worker);

        return r < 0 ? r : worker_leave(worker, announce(worker, capacity));
}

/* --- Receiving --- */

static int receive(struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size)
{
        int r;

        if (size < sizeof(*ret))
                return mistake(worker,
                        "the size of struct acceptd_connection is that of no version: pass sizeof");
        if (size > sizeof(*ret))
                memset((char *)ret + sizeof(*ret), 0, size - sizeof(*ret));

        r = said_in_passing(worker);
        return r < 0 ? r : heard_receive(worker, ret);
}

int acceptd_worker_receive(
        struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size)
{
        int r = worker_enter(worker);

        return r < 0 ? r : worker_leave(worker, receive(worker, ret, size));
}

/* The time that is left, for ppoll(). Returns NULL for ever. */
static const struct timespec *get_rest(usec_t deadline, struct timespec *buffer)
{
        usec_t now = usec_now(), rest;

        if (deadline == USEC_INFINITY)
                return NULL;

        rest = deadline - MIN(now, deadline);
        *buffer = (struct timespec){
                .tv_sec = (time_t)(rest / USEC_PER_SEC),
                .tv_nsec = (long)(rest % USEC_PER_SEC * 1000),
        };
        return buffer;
}

/* Returns 1 if there may be something to receive, 0 when the time has passed, or -errno. */
static int await(struct acceptd_worker *worker, usec_t deadline)
{
        struct pollfd pollfd = { .fd = worker->waker.epoll, .events = POLLIN };
        unsigned outlived = signals_count_outlived();
        struct timespec buffer;
        int n = ppoll(&pollfd, 1, get_rest(deadline, &buffer), NULL);

        if (n < 0 && errno == EINTR && outlived != signals_count_outlived())
                return 1;

        return n < 0 ? -errno : n;
}

/* Before this thread is away. Returns 1 if it need not be, or 0 or -errno. */
static int tell_all(struct acceptd_worker *worker)
{
        int r = worker_enter(worker);

        if (r < 0)
                return r;
        if (said_is_pending(worker) && !worker->blocked)
                r = said_now(worker);
        if (r >= 0)
                r = worker->drained && !said_is_pending(worker);
        return worker_leave(worker, r);
}

/* There is no drain before all is said. */
static int receive_last(struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size)
{
        int r = worker_enter(worker);

        if (r < 0)
                return r;
        r = receive(worker, ret, size);
        if (r == ACCEPTD_DRAIN && said_is_pending(worker))
                r = ACCEPTD_NOTHING;
        return worker_leave(worker, r);
}

int acceptd_worker_wait(struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size,
        uint64_t timeout_us)
{
        usec_t deadline = timeout_us == 0 ? 0 : usec_add(usec_now(), timeout_us);
        int r;

        if (is_forked(worker))
                return -ECHILD;
        if (!__atomic_exchange_n(&worker->outlives_signals, true, __ATOMIC_RELAXED))
                signals_outlive();
        do {
                r = tell_all(worker);
                if (r == 0)
                        r = await(worker, deadline);
                if (r <= 0)
                        return r;
                r = receive_last(worker, ret, size);
        } while (r == ACCEPTD_NOTHING);

        return r;
}

int acceptd_worker_set_receiving(struct acceptd_worker *worker, int receiving)
{
        int r = worker_enter(worker);

        if (r < 0)
                return r;
        worker->receives = receiving != 0;
        return worker_leave(worker, said_watch(worker));
}

/* --- Ends --- */

static int finish(struct acceptd_worker *worker, uint64_t id)
{
        int r = held_finish(&worker->held, id);

        if (r < 0)
                return r;

        noted_add(&worker->noted, id);
        noted_set_idle(&worker->noted, worker->held.n_idle);
        return said_soon(worker);
}

static int fail(struct acceptd_worker *worker, uint64_t id, unsigned reason)
{
        int r;

        if (!(worker->features & RECORD_FEATURE_FAILED))
                return finish(worker, id);

        r = held_fail(&worker->held, id, reason);
        if (r < 0)
                return r;

        noted_set_idle(&worker->noted, worker->held.n_idle);
        return said_soon(worker);
}

int acceptd_worker_done(struct acceptd_worker *worker, uint64_t id)
{
        int r = worker_enter(worker);

        return r < 0 ? r : worker_leave(worker, finish(worker, id));
}

int acceptd_worker_failed(struct acceptd_worker *worker, uint64_t id, unsigned reason)
{
        int r = worker_enter(worker);

        return r < 0 ? r : worker_leave(worker, fail(worker, id, reason));
}

/* It is noted first: where this process dies in between, the kernel closes it as well, and the
 * client sees no difference. */
int acceptd_worker_finish(struct acceptd_worker *worker, const struct acceptd_connection *c)
{
        int r = worker_enter(worker);

        if (r < 0)
                return r;
        noted_add(&worker->noted, c->id);
        (void)worker_leave(worker, 0);

        fd_close(c->fd); /* without the lock: it may linger */
        r = worker_enter(worker);
        if (r < 0)
                return r;
        r = held_finish(&worker->held, c->id);
        if (r >= 0) {
                noted_set_idle(&worker->noted, worker->held.n_idle);
                r = said_soon(worker);
        }
        return worker_leave(worker, r);
}

int acceptd_worker_idle(struct acceptd_worker *worker, uint64_t id, int idle)
{
        int r = worker_enter(worker);

        if (r < 0)
                return r;
        r = held_set_idle(&worker->held, id, idle != 0);
        if (r >= 0)
                noted_set_idle(&worker->noted, worker->held.n_idle);
        return worker_leave(worker, r);
}

int acceptd_worker_flush(struct acceptd_worker *worker)
{
        int r = worker_enter(worker);

        if (r < 0)
                return r;
        r = said_now(worker);
        return worker_leave(worker, r < 0 ? r : said_is_pending(worker));
}
