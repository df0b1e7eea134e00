/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Adoption: a new image of the dispatcher takes over what the one before it left.
 *
 * Where each piece lies. The ledger (memfd) has the counters, one row for each worker and one slot
 * for each open connection; it is the state itself, so it is as it was in the moment of the crash.
 * The settings in force are a memfd of their own. Each worker has three descriptors: a pidfd, the
 * dispatcher's end of its channel, and a copy of the worker's end, which keeps what is queued
 * there. A connection in a worker's hand is that process' alone and needs nothing from here. All
 * descriptors lie in the service manager's store under the names of os/store.h, a worker's by its
 * row; at a reload they come in a list, with the connections in hand.
 *
 * In which order things are written. A worker is started, gets its row, then its three descriptors
 * are stored, and only then it is sent a connection. It is forgotten the other way round: the row
 * first, then the descriptors. A slot is taken, filled and then marked in use; it names its worker
 * before the connection is sent, and is marked SENT after. The settings of a new generation are
 * stored before the ledger says that it is in force, and those of the last one are removed after.
 * A ledger that has to be copied is copied whole, then stored under the next number, then the old
 * one is removed. The service manager handles what it is sent in the order in which it was sent,
 * also when the sender is dead by then.
 *
 * So a crash can leave, and this is done about it:
 *
 *   a process without a row (died between spawn and row)           ended by leftovers.c
 *   descriptors without a row                                      closed; the channel is shut
 *                                                                  down, so that whoever has its
 *                                                                  other end drains
 *   a row with some of its descriptors                             the process is killed, its
 *                                                                  queue goes to others if it is
 *                                                                  there
 *   a pidfd that is not the row's process                          as if it were not there
 *   a slot that names no worker, without a descriptor in hand      lost: it died with the process
 *   a slot that names a worker, and perhaps was never sent         the worker is asked (LIST)
 *   a DONE that was heard and not noted, or noted twice            the same
 *   two files of settings                                          the ledger says which counts
 *   two ledgers                                                    the higher number counts
 *   a counter that is one too small                                mended by pool_init()
 *   a ledger that cannot be used                                   its workers drain, new ones
 *                                                                  start, counters begin anew
 *
 * After a reload nothing of this happens but that every worker is asked what it holds.
 */

#include <inttypes.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/stop-point.h"
#include "dispatcher/lending.h"
#include "os/journal.h"
#include "takeover/adoption.h"
#include "takeover/kept-settings.h"
#include "takeover/leftovers.h"

/* --- The ledger --- */

static struct ledger_needs get_needs(const struct dispatcher *d)
{
        return (struct ledger_needs){ .n_rows = d->rows_needed, .n_slots = d->slots_needed };
}

/* Opens the pool on the ledger that is there. */
static int open_pool(struct dispatcher *d)
{
        struct pool_memory memory = ledger_get_memory(&d->ledger, d->rows_needed);

        return pool_init(&d->pool, d->settings, &memory);
}

static int new_pool(struct dispatcher *d, uint64_t number)
{
        struct ledger_needs needs = get_needs(d);
        int r;

        r = ledger_create(&d->ledger, ledger_count_rows(0, &needs), needs.n_slots);
        if (r < 0)
                return r;

        d->ledger.number = number;
        (void)store_add(STORE_LEDGER, number, d->ledger.fd);
        return open_pool(d);
}

/* Returns 1 where the pool is open, 0 where there is nothing to go by, or -errno. */
static int old_pool(struct dispatcher *d, const char *name, int fd_consume, uint64_t number)
{
        struct ledger_needs needs = get_needs(d);
        const char *why = "its records contradict each other";
        bool copied;
        int r;

        r = ledger_adopt(&d->ledger, fd_consume, &needs, &why);
        copied = r > 0;
        if (r >= 0) {
                d->ledger.number = copied ? number + 1 : number;
                r = open_pool(d);
        }
        if (r >= 0 && !d->pool.state->stopping) {
                if (copied) {
                        (void)store_add(STORE_LEDGER, d->ledger.number, d->ledger.fd);
                        STOP_POINT("ledger-copied");
                        store_remove_name(name);
                }
                return 1;
        }

        pool_deinit(&d->pool);
        ledger_done(&d->ledger);
        if (r >= 0 || r == -EBADMSG)
                store_remove_name(name);
        if (r >= 0) /* it was stopping, and was ended before it had finished */
                return 0;
        if (r != -EBADMSG)
                return r;

        journal_event(MESSAGE_LEDGER_DAMAGED, JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", why)),
                "The ledger of the dispatcher before this one cannot be used: %s. Its workers are "
                "drained, and new ones started.",
                why);
        return 0;
}

int adoption_open_pool(struct dispatcher *d, struct inheritance *inheritance)
{
        uint64_t number;
        struct inherited *entry = inheritance_find_latest(inheritance, STORE_LEDGER, &number);

        if (entry) {
                int r = old_pool(d, entry->name, TAKE_FD(entry->fd), number);

                if (r != 0)
                        return r < 0 ? r : 0;
        }

        return new_pool(d, number + 1);
}

void adoption_forget_ledger(const struct dispatcher *d)
{
        store_remove(STORE_LEDGER, d->ledger.number);
}

/* --- The workers --- */

/* Takes what the worker of a row has, under the names of this version or those of old. */
static int take_worker(struct worker *w, const struct worker_row *r, struct channel *channel,
        struct inheritance *inheritance)
{
        int pidfd = inheritance_take_numbered(inheritance, STORE_PIDFD, w->row);

        channel->fd = inheritance_take_numbered(inheritance, STORE_CHANNEL, w->row);
        channel->queue_fd = inheritance_take_numbered(inheritance, STORE_QUEUE, w->row);
        if (pidfd >= 0 || channel->fd >= 0 || channel->queue_fd >= 0)
                return pidfd;

        pidfd = inheritance_take_old(inheritance, STORE_PIDFD, r->number);
        channel->fd = inheritance_take_old(inheritance, STORE_CHANNEL, r->number);
        channel->queue_fd = inheritance_take_old(inheritance, STORE_QUEUE, r->number);
        w->has_old_names = pidfd >= 0 || channel->fd >= 0 || channel->queue_fd >= 0;
        return pidfd;
}

/* Rows are used again, so the name alone does not say whose it is. 0: it is dead, and reaped. */
static int check_pidfd(int pidfd, pid_t pid)
{
        pid_t is = pidfd < 0 ? 0 : process_get_pid(pidfd);

        return is == 0 || is == pid ? pidfd : fd_close(pidfd);
}

/* Returns 1 where the worker goes on, 0 where it is gone, or -errno. */
static int restore_worker(struct dispatcher *d, uint32_t row, struct inheritance *inheritance)
{
        const struct worker_row *r = d->pool.workers[row].record;
        struct worker *w = &d->workers[row];
        struct channel channel = CHANNEL_NULL;
        _cleanup_(fd_closep) int pidfd =
                check_pidfd(take_worker(w, r, &channel, inheritance), r->pid);
        bool complete = pidfd >= 0 && channel.fd >= 0 && channel.queue_fd >= 0;
        int result;

        if (!complete && pidfd >= 0)
                process_signal(pidfd, SIGKILL);
        if (!complete && r->state != WORKER_DEAD)
                (void)pool_exited(&d->pool, row, usec_now());

        if (channel.queue_fd < 0) {
                w->number = r->number;
                w->pid = r->pid;
                channel_close(&channel);
                worker_bury(w);
                return 0;
        }

        result = worker_adopt(w, &channel, TAKE_FD(pidfd));
        if (result < 0)
                return result;
        if (r->state == WORKER_DEAD) {
                channel_reclaim(&w->channel);
                return 0;
        }

        if (r->state == WORKER_DRAINING)
                channel_shutdown(&w->channel);
        if (r->state == WORKER_ABORTED || r->state == WORKER_KILLED)
                channel_reclaim(&w->channel);
        pool_adopted(&d->pool, row);
        return 1;
}

/* --- What is left --- */

/* Returns false for what somebody else takes. */
static bool is_stranger(const struct inherited *entry, unsigned *n_control)
{
        if (entry->fd < 0 || inheritance_read_name(entry).kind == STORE_CALLER)
                return false;

        return !streq(entry->name, STORE_CONTROL) || (*n_control)++ > 0;
}

/* What is left belongs to no row: a worker that was just being started, and holds nothing; or one
 * of a ledger that cannot be used, which finishes what it has. */
static void end_strangers(struct inheritance *inheritance)
{
        unsigned n_control = 0;

        for (size_t i = 0; i < inheritance->n; i++) {
                struct inherited *entry = &inheritance->entries[i];
                enum store_kind kind = inheritance_read_name(entry).kind;

                if (!is_stranger(entry, &n_control))
                        continue;
                if (kind == STORE_CHANNEL)
                        (void)shutdown(entry->fd, SHUT_WR);
                if (kind == STORE_NOTHING)
                        journal_event(MESSAGE_GOES_ON_WITHOUT, NULL,
                                "Descriptor %d (\"%s\") is %s. It is closed.", entry->fd,
                                entry->name,
                                streq(entry->name, STORE_CONTROL)
                                        ? "a second control socket"
                                        : "nothing that this version knows");
                store_remove_name(entry->name);
                entry->fd = fd_close(entry->fd);
        }
}

static void log_adopted(const struct dispatcher *d, uint32_t n_workers)
{
        uint32_t open = d->pool.slots.n_used;

        journal_event(MESSAGE_ADOPTED,
                JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_WORKERS", n_workers),
                        JOURNAL_NUMBER("ACCEPTD_OPEN", open)),
                "Took over %" PRIu32 " worker%s with %" PRIu32 " open connection%s.", n_workers,
                n_workers == 1 ? "" : "s", open, open == 1 ? "" : "s");
}

/* What was between accept and send: after a crash it is gone with the process that had it. */
static void restore_hand(struct dispatcher *d, struct inheritance *inheritance)
{
        uint32_t lost = 0;
        struct slot *slot;

        while ((slot = pool_get_in_hand(&d->pool, d->hand.n))) {
                int fd = inheritance_take_numbered(inheritance, STORE_IN_HAND, slot->id);

                if (fd < 0)
                        fd = inheritance_take_old(inheritance, STORE_IN_HAND, slot->id);
                if (fd < 0) {
                        pool_lost(&d->pool, slot);
                        lost++;
                        continue;
                }
                hand_put(&d->hand, fd, slot);
        }

        if (lost > 0)
                journal_event(MESSAGE_CONNECTIONS_LOST,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", lost),
                                JOURNAL_NUMBER("ACCEPTD_IDLE", 0),
                                JOURNAL_TEXT("ACCEPTD_REASON", "the dispatcher died with them")),
                        "%" PRIu32 " connection%s that no worker had got when the last dispatcher "
                        "died %s lost.",
                        lost, lost == 1 ? "" : "s", lost == 1 ? "is" : "are");
}

int adoption_restore(struct dispatcher *d, struct inheritance *inheritance)
{
        uint32_t n_workers = 0;

        if (!d->settings->accept && !inheritance->from_reload)
                lending_restore(d->pool.state, d->listeners, d->n_listeners);
        for (uint32_t i = 0; i < d->pool.n_rows; i++) {
                int r;

                if (d->pool.workers[i].record->state == WORKER_NONE)
                        continue;
                r = restore_worker(d, i, inheritance);
                if (r < 0)
                        return r;
                n_workers += (uint32_t)r;
                STOP_POINT("restored");
        }

        restore_hand(d, inheritance);
        kept_settings_keep(d->settings, d->pool.state->generation, inheritance);
        leftovers_end(d, inheritance);
        end_strangers(inheritance);
        if (n_workers > 0)
                log_adopted(d, n_workers);

        return 0;
}
