/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Adoption: the ledger says which workers there were, the descriptors come with their names. A
 * worker whose set is complete goes on with what it has; of any other, the queue is taken back and
 * the process is ended.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/stop-point.h"
#include "os/journal.h"
#include "os/store.h"
#include "settings/settings-file.h"
#include "takeover/adoption.h"
#include "takeover/leftovers.h"

/* After a crash in the middle of a reload there may be two, and the ledger says which one counts.
 * Where it cannot be asked it is the latest. */
static struct inherited *find_settings(const struct inheritance *inheritance)
{
        struct inherited *found = NULL;
        unsigned long generation = 0, latest = 0;

        for (size_t i = 0; i < inheritance->n; i++)
                if (streq(inheritance->entries[i].name, STORE_LEDGER))
                        generation = ledger_read_generation(inheritance->entries[i].fd);

        for (size_t i = 0; i < inheritance->n; i++) {
                struct inherited *entry = &inheritance->entries[i];
                const char *number = startswith(entry->name, STORE_SETTINGS "-");
                unsigned long n = number ? strtoul(number, NULL, 10) : 0;

                if (!number || entry->fd < 0)
                        continue;
                if (n == generation)
                        return entry;
                if (!found || n > latest) {
                        found = entry;
                        latest = n;
                }
        }

        return found;
}

bool adoption_load_settings(struct settings *s, struct inheritance *inheritance)
{
        struct inherited *entry = find_settings(inheritance);
        _cleanup_(freep) char *message = NULL;
        const char *why;
        char path[48];
        int r;

        if (!entry)
                return false;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", entry->fd);
        r = settings_file_read(s, path, &message);
        if (r >= 0) {
                settings_resolve(s, 1); /* for what a version before this one did not keep */
                r = settings_check(s, &message);
        }
        if (r >= 0)
                return true;

        why = message ?: strerror(-r);
        journal_event(MESSAGE_LEDGER_DAMAGED, JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", why)),
                "The settings that were in force cannot be read: %s. They are read as at a start.",
                why);
        store_remove(entry->name);
        entry->fd = fd_close(entry->fd);
        settings_done(s);
        settings_init(s);
        return false;
}

int adoption_make_settings(const struct settings *s)
{
        _cleanup_(fd_closep) int fd = memfd_create(STORE_SETTINGS, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        _cleanup_(fclosep) FILE *f = NULL;
        int copy, r;

        if (fd < 0)
                return -errno;
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
                return -errno;
        f = fdopen(copy, "w");
        if (!f) {
                fd_close(copy);
                return -ENOMEM;
        }

        r = settings_print(s, f);
        if (r < 0)
                return r;
        if (fflush(f) != 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int adoption_store_settings(const struct settings *s, uint32_t generation)
{
        _cleanup_(fd_closep) int fd = -1;
        char name[STORE_NAME_MAX];

        if (store_get_size() == 0)
                return 0;

        fd = adoption_make_settings(s);
        if (fd < 0)
                return fd;

        store_add(store_name(name, STORE_SETTINGS, generation), fd);
        return 0;
}

void adoption_forget_settings(uint32_t generation)
{
        char name[STORE_NAME_MAX];

        store_remove(store_name(name, STORE_SETTINGS, generation));
}

static int new_pool(struct dispatcher *d)
{
        struct pool_memory memory;
        int r;

        r = ledger_create(&d->ledger, LEDGER_ROWS, LEDGER_SLOTS);
        if (r < 0)
                return r;

        store_add(STORE_LEDGER, d->ledger.fd);
        memory = ledger_get_memory(&d->ledger, d->rows_needed);
        return pool_init(&d->pool, d->settings, &memory);
}

/* Returns 1 where the pool is open, 0 where there is nothing to go by, or -errno. */
static int old_pool(struct dispatcher *d, int fd_consume)
{
        const char *why = "its records contradict each other";
        struct pool_memory memory;
        int r;

        r = ledger_adopt(&d->ledger, fd_consume, &why);
        if (r >= 0) {
                memory = ledger_get_memory(&d->ledger, d->rows_needed);
                r = pool_init(&d->pool, d->settings, &memory);
        }
        if (r >= 0 && !d->pool.state->stopping)
                return 1;

        pool_deinit(&d->pool);
        ledger_done(&d->ledger);
        store_remove(STORE_LEDGER);
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
        int fd = inheritance_take(inheritance, STORE_LEDGER);

        if (fd >= 0) {
                int r = old_pool(d, fd);

                if (r != 0)
                        return r < 0 ? r : 0;
        }

        return new_pool(d);
}

static int take(struct inheritance *inheritance, const char *what, uint64_t number)
{
        char name[STORE_NAME_MAX];

        return inheritance_take(inheritance, store_name(name, what, number));
}

static int take_in_hand(struct inheritance *inheritance, uint64_t id)
{
        char name[STORE_NAME_MAX];

        return inheritance_take(inheritance, store_name(name, STORE_IN_HAND, id));
}

/* Returns 1 where the worker goes on, 0 where it is gone, or -errno. */
static int restore_worker(struct dispatcher *d, uint32_t row, struct inheritance *inheritance)
{
        const struct worker_row *r = d->pool.workers[row].record;
        _cleanup_(fd_closep) int pidfd = take(inheritance, STORE_PIDFD, r->number);
        struct channel channel = {
                .fd = take(inheritance, STORE_CHANNEL, r->number),
                .queue_fd = take(inheritance, STORE_QUEUE, r->number),
        };
        struct worker *w = &d->workers[row];
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

/* Has the settings stored under the generation in force: after a reload, too, if those that were in
 * force could not be read. Others are strangers afterwards. */
static void keep_settings(const struct dispatcher *d, struct inheritance *inheritance)
{
        uint32_t generation = d->pool.state->generation;
        _cleanup_(fd_closep) int fd = take(inheritance, STORE_SETTINGS, generation);
        int r;

        if (fd >= 0)
                return;

        r = adoption_store_settings(d->settings, generation);
        if (r < 0)
                (void)journal_event_errno(MESSAGE_GOES_ON_WITHOUT, r,
                        "The settings cannot be kept for after a crash: %m");
}

/* What is left belongs to no row: a worker that was just being started, and holds nothing; or one
 * of a ledger that cannot be used, which finishes what it has. */
static void end_strangers(struct inheritance *inheritance)
{
        for (size_t i = 0; i < inheritance->n; i++) {
                struct inherited *entry = &inheritance->entries[i];

                if (entry->fd < 0 || !startswith(entry->name, STORE_PREFIX) ||
                        streq(entry->name, STORE_CONTROL) || streq(entry->name, STORE_CALLER))
                        continue;

                if (startswith(entry->name, STORE_CHANNEL))
                        (void)shutdown(entry->fd, SHUT_WR);
                store_remove(entry->name);
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
                int fd = take_in_hand(inheritance, slot->id);

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
                                JOURNAL_TEXT("ACCEPTD_REASON", "the dispatcher died with them")),
                        "%" PRIu32 " connection%s that no worker had got when the last dispatcher "
                        "died %s lost.",
                        lost, lost == 1 ? "" : "s", lost == 1 ? "is" : "are");
}

int adoption_restore(struct dispatcher *d, struct inheritance *inheritance)
{
        uint32_t n_workers = 0;

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
        keep_settings(d, inheritance);
        leftovers_end(d, inheritance);
        end_strangers(inheritance);
        if (n_workers > 0)
                log_adopted(d, n_workers);

        return 0;
}
