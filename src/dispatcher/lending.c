/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What follows from workers and dispatcher having the same open sockets, with Accept=no. It must
 * not know what the workers do with them.
 *
 * Two things that one of them does to a socket are done to all.
 *
 * O_NONBLOCK. Programs with an event loop set it when they start. Without it they would stop in an
 * accept() that finds nobody, until the next client comes. The service manager sets or clears it
 * (NonBlocking=) whenever it starts the dispatcher, also after a crash, when the programs go on. So
 * the unit has NonBlocking=yes, which is what most of them set anyway. For the others it is
 * noted in the ledger what it is like, when a worker is ready, when it has proved itself and so on,
 * and the next dispatcher makes it so again. In between are some milliseconds.
 *
 * shutdown(2). It closes the port for all, though every descriptor stays open. A TCP socket can be
 * told to listen again, a UNIX one cannot.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "dispatcher/ledger.h"
#include "dispatcher/lending.h"
#include "os/journal.h"

static_assert(LEDGER_NAMES_MAX <= 64, "each has one bit");

#define SUSPECTS_MAX 128

int lending_set_up(
        struct process_template *process, const struct listener *listeners, size_t n_listeners)
{
        _cleanup_(freep) char *names = NULL;
        _cleanup_(freep) int *fds = calloc(n_listeners, sizeof(*fds));
        size_t size;
        FILE *f = open_memstream(&names, &size);

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; fds && i < n_listeners; i++) {
                fds[i] = listeners[i].fd;
                fprintf(f, "%s%s", i > 0 ? ":" : "", listeners[i].name);
        }
        if (fclose(f) != 0 || !fds)
                return -ENOMEM;

        return process_template_lend(process, fds, n_listeners, names);
}

void lending_note(struct pool_state *state, const struct listener *listeners, size_t n_listeners)
{
        uint64_t bits = 0;

        for (size_t i = 0; i < n_listeners; i++) {
                int flags = fcntl(listeners[i].fd, F_GETFL);

                if (flags >= 0 && flags & O_NONBLOCK)
                        bits |= UINT64_C(1) << listeners[i].index;
        }
        state->nonblocking = bits;
        state->noted = true;
}

void lending_restore(
        const struct pool_state *state, const struct listener *listeners, size_t n_listeners)
{
        for (size_t i = 0; state->noted && i < n_listeners; i++) {
                int flags = fcntl(listeners[i].fd, F_GETFL);
                bool on = state->nonblocking & UINT64_C(1) << listeners[i].index;

                if (flags >= 0 && !(flags & O_NONBLOCK) == on)
                        (void)fcntl(listeners[i].fd, F_SETFL, flags ^ O_NONBLOCK);
        }
}

/* Those who are ending, as far as there are some: servers do it when they stop. Else all. */
static void format_suspects(const struct pool *pool, char *text)
{
        bool ending = false;
        size_t n = 0;

        for (uint32_t i = 0; i < pool->n_rows; i++)
                ending = ending || pool->workers[i].record->state > WORKER_READY;

        text[0] = '\0';
        for (uint32_t i = 0; i < pool->n_rows && n < SUSPECTS_MAX; i++) {
                const struct worker_row *record = pool->workers[i].record;

                if (record->state == WORKER_NONE || (ending && record->state <= WORKER_READY))
                        continue;
                n += (size_t)snprintf(text + n, SUSPECTS_MAX - n, "%s%" PRIu64 " (PID %d)",
                        n > 0 ? ", " : "", record->number, record->pid);
        }
}

bool lending_mend(const struct listener *listener, const struct pool *pool)
{
        struct pollfd pollfd = { .fd = listener->fd };
        char suspects[SUSPECTS_MAX];
        bool mended;

        mended = listen(listener->fd, INT32_MAX) == 0 && poll(&pollfd, 1, 0) == 0;
        format_suspects(pool, suspects);
        journal_event(MESSAGE_LISTENER_SHUT_DOWN,
                JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_LISTENER", listener->name),
                        JOURNAL_TEXT("ACCEPTD_ADDRESS", listener->address),
                        JOURNAL_TEXT("ACCEPTD_SUSPECTS", suspects)),
                "Somebody called shutdown(2) on the listening socket %s (%s), which closed it for "
                "all; of the workers it can have been %s. %s",
                listener->address, listener->name, suspects[0] ? suspects : "one that is gone",
                mended ? "It listens again." : "Its socket unit has to be restarted.");
        return mended;
}
