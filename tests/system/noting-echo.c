/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The echo worker, with a note of each connection that it receives and of each that it has
 * finished: one line in the file $NOTES, which all workers share. Its own main is linked to the
 * library through this. See test-chaos.sh.
 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/time.h"
#include "libacceptd/acceptd.h"

int __real_acceptd_worker_receive(
        struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size);
int __real_acceptd_worker_finish(struct acceptd_worker *worker, const struct acceptd_connection *c);
int __wrap_acceptd_worker_receive(
        struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size);
int __wrap_acceptd_worker_finish(struct acceptd_worker *worker, const struct acceptd_connection *c);

static int notes_fd = -1;

__attribute__((constructor)) static void open_notes(void)
{
        notes_fd = open(getenv("NOTES") ?: "", O_WRONLY | O_APPEND | O_CLOEXEC);
}

/* One write() each: lines of several workers do not mix. */
_printf_(1, 2) static void note(const char *format, ...)
{
        char line[128];
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        if (write(notes_fd, line, (size_t)n) != n)
                _exit(EXIT_FAILURE); /* without notes there is no test */
}

int __wrap_acceptd_worker_receive(
        struct acceptd_worker *worker, struct acceptd_connection *ret, size_t size)
{
        struct sockaddr_in peer = {};
        char address[INET_ADDRSTRLEN] = "";
        int r = __real_acceptd_worker_receive(worker, ret, size);

        if (r != ACCEPTD_CONNECTION)
                return r;

        (void)getpeername(ret->fd, (struct sockaddr *)&peer, &(socklen_t){ sizeof(peer) });
        (void)inet_ntop(AF_INET, &peer.sin_addr, address, sizeof(address));
        note("received %d %" PRIu64 " %s:%u %" PRIu64 "\n", getpid(), ret->id, address,
                ntohs(peer.sin_port), usec_now());
        return r;
}

int __wrap_acceptd_worker_finish(struct acceptd_worker *worker, const struct acceptd_connection *c)
{
        note("done %d %" PRIu64 "\n", getpid(), c->id);
        return __real_acceptd_worker_finish(worker, c);
}
