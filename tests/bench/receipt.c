/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker that does as acceptd-echo, and counts how long each connection took from accept to
 * receipt. At the end it adds to the file $BENCH_RECEIPT one line `MICROSECONDS CONNECTIONS` for
 * each time that occurred.
 */

#include <fcntl.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "libacceptd/acceptd.h"
#include "workers/echo.h"

#define CAPACITY    1024
#define RECEIVE_MAX 32
#define LONGEST     1000000U /* a second or more */

static unsigned counts[LONGEST + 1];

static int on_end(void *userdata, uint64_t id, int fd_consume)
{
        return acceptd_worker_finish(
                userdata, &(struct acceptd_connection){ .id = id, .fd = fd_consume });
}

static int receive(struct echo *echo, struct acceptd_worker *worker, unsigned *burst)
{
        struct acceptd_connection new;
        int r = 0;

        for (unsigned i = 0; i < *burst && r >= 0; i++) {
                r = acceptd_worker_receive(worker, &new, sizeof(new));
                if (r != ACCEPTD_CONNECTION)
                        return MIN(r, 0);
                counts[MIN(new.waited_us, (uint64_t)LONGEST)]++;
                r = echo_start(echo, new.fd, new.id, false);
        }

        *burst = MIN(*burst * 2, (unsigned)RECEIVE_MAX);
        return r;
}

static int run(struct acceptd_worker *worker)
{
        struct echo echo;
        unsigned burst = 1;
        int r;

        r = echo_init(&echo, USEC_INFINITY, on_end, NULL, worker);
        if (r >= 0)
                r = acceptd_worker_ready(worker, CAPACITY);
        if (r >= 0)
                r = echo_set_capacity(&echo, (unsigned)r);

        if (r >= 0)
                r = echo_watch_source(&echo, acceptd_worker_get_fd(worker), EPOLLIN);

        while (r >= 0 && !acceptd_worker_is_finished(worker)) {
                bool heard = false;

                r = echo_turn(&echo, &heard);
                if (r >= 0 && heard)
                        r = receive(&echo, worker, &burst);
                if (!heard)
                        burst = 1;
        }

        return r;
}

int main(void)
{
        const char *path = getenv("BENCH_RECEIPT");
        _cleanup_(fclosep) FILE *f = path ? fopen(path, "ae") : NULL;
        _cleanup_(acceptd_worker_freep) struct acceptd_worker *worker = NULL;
        int r;

        if (!f)
                return EX_USAGE;
        r = acceptd_worker_open(&worker, 0);
        if (r >= 0)
                r = run(worker);
        if (r < 0)
                fprintf(stderr, "receipt: %s\n", acceptd_worker_explain(worker, r));

        for (unsigned i = 0; i <= LONGEST; i++)
                if (counts[i] > 0)
                        fprintf(f, "%u %u\n", i, counts[i]);
        return acceptd_exit_status(r);
}
