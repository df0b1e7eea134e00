/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The settings in force as a file in memory, in the form that --check prints. It was written by
 * this program or another version of it: what that knew and this one does not is left out, with a
 * message; what cannot be read, or leaves something open, is not used at all.
 */

#include <fcntl.h>
#include <sys/mman.h>

#include "dispatcher/ledger.h"
#include "os/journal.h"
#include "settings/settings-change.h"
#include "settings/settings-file.h"
#include "takeover/kept-settings.h"

#define PATH_SIZE 48

static void name_file(char *path, int fd)
{
        (void)snprintf(path, PATH_SIZE, "/proc/self/fd/%d", fd);
}

/* Returns a stream that writes into the file behind `fd`, or NULL without memory. */
static FILE *open_writer(int fd)
{
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        FILE *f = copy < 0 ? NULL : fdopen(copy, "w");

        if (!f)
                fd_close(copy);
        return f;
}

/* --- Reading --- */

/* After a crash in the middle of a reload there may be two, and the ledger says which one counts.
 * Where it cannot be asked it is the latest. */
static struct inherited *find_settings(struct inheritance *inheritance)
{
        uint64_t number;
        const struct inherited *ledger =
                inheritance_find_latest(inheritance, STORE_LEDGER, &number);
        uint64_t generation = ledger ? ledger_read_generation(ledger->fd) : 0;

        for (size_t i = 0; i < inheritance->n; i++) {
                struct inherited *entry = &inheritance->entries[i];
                struct store_entry e = inheritance_read_name(entry);

                if (e.kind == STORE_SETTINGS && entry->fd >= 0 && e.number == generation)
                        return entry;
        }

        return inheritance_find_latest(inheritance, STORE_SETTINGS, &number);
}

/* Returns true for an assignment to a key that this version does not have. */
static bool is_unknown(const char *line)
{
        size_t n = strcspn(line, "=");

        if (line[0] == '#' || line[0] == '[' || line[n] != '=')
                return false;
        for (size_t i = 0; i < SETTING_COUNT; i++)
                if (strlen(settings_key(i)) == n && strncmp(settings_key(i), line, n) == 0)
                        return false;

        return true;
}

/* Returns a file without what this version does not know, for the caller to close, or -errno. */
static int leave_out_unknown(int fd)
{
        _cleanup_(fd_closep) int copy = memfd_create("acceptd-settings", MFD_CLOEXEC);
        _cleanup_(fclosep) FILE *in = NULL, *out = NULL;
        _cleanup_(freep) char *line = NULL;
        char path[PATH_SIZE];
        size_t size = 0;

        if (copy < 0)
                return -errno;
        out = open_writer(copy);
        if (!out)
                return -ENOMEM;
        name_file(path, fd);
        in = fopen(path, "re");
        if (!in)
                return -errno;

        while (getline(&line, &size, in) >= 0)
                if (!is_unknown(line))
                        (void)fputs(line, out);
                else
                        journal_event(MESSAGE_GOES_ON_WITHOUT, NULL,
                                "The settings that were in force have a key that this version "
                                "does not know, and it is ignored: %.*s=",
                                (int)MIN(strcspn(line, "="), (size_t)64), line);
        if (ferror(in) || fflush(out) != 0)
                return -EIO;

        return TAKE_FD(copy);
}

/* Says `source` of the key that the line is about, if it is about one. */
static void set_source(struct settings *s, const char *line, const char *source)
{
        size_t n = strcspn(line, "=");

        for (size_t i = 0; line[n] == '=' && i < SETTING_COUNT; i++) {
                char *copy;

                if (strlen(settings_key(i)) != n || strncmp(settings_key(i), line, n) != 0)
                        continue;
                copy = strdup(source);
                if (!copy)
                        return;
                free(s->sources[i]);
                s->sources[i] = copy;
        }
}

/* Where a value was said stands in the comment before it; the file here is none of the user's. */
static void restore_sources(struct settings *s, const char *path)
{
        _cleanup_(fclosep) FILE *in = fopen(path, "re");
        _cleanup_(freep) char *line = NULL, *source = NULL;
        size_t size = 0;

        while (in && getline(&line, &size, in) >= 0) {
                const char *comment = startswith(line, "# ");

                line[strcspn(line, "\n")] = '\0';
                if (source)
                        set_source(s, line, source);
                free(TAKE_PTR(source));
                source = comment ? strdup(comment) : NULL;
        }
}

int kept_settings_read(struct settings *s, int fd, char **ret_message)
{
        _cleanup_(fd_closep) int copy = leave_out_unknown(fd);
        char path[PATH_SIZE];
        int r;

        if (copy < 0)
                return copy;
        name_file(path, copy);
        r = settings_file_read(s, path, ret_message);
        if (r < 0)
                return r;
        /* They were in force, so they had a number. */
        if (s->workers == 0 || (s->accept && s->workers_max == UINT32_MAX)) {
                *ret_message = strdup("Workers= or WorkersMax= is not there");
                return -EINVAL;
        }
        settings_resolve(s, 0); /* with Accept=no there is no WorkersMax= */
        restore_sources(s, path);

        return settings_check(s, ret_message);
}

bool kept_settings_load(struct settings *s, struct inheritance *inheritance)
{
        struct inherited *entry = find_settings(inheritance);
        _cleanup_(freep) char *message = NULL;
        const char *why;
        int r;

        if (!entry)
                return false;

        r = kept_settings_read(s, entry->fd, &message);
        if (r >= 0)
                return true;

        why = message ?: strerror(-r);
        journal_event(MESSAGE_LEDGER_DAMAGED, JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", why)),
                "The settings that were in force cannot be read: %s. They are read as at a start.",
                why);
        store_remove_name(entry->name);
        entry->fd = fd_close(entry->fd);
        settings_done(s);
        settings_init(s);
        return false;
}

/* --- Keeping --- */

int kept_settings_make(const struct settings *s)
{
        _cleanup_(fd_closep) int fd =
                memfd_create("acceptd-settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        _cleanup_(fclosep) FILE *f = NULL;
        int r;

        if (fd < 0)
                return -errno;
        f = open_writer(fd);
        if (!f)
                return -ENOMEM;

        r = settings_print(s, f);
        if (r < 0)
                return r;
        if (fflush(f) != 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int kept_settings_store(const struct settings *s, uint32_t generation)
{
        int fd;

        if (store_get_size() == 0)
                return 0;

        fd = kept_settings_make(s);
        if (fd < 0)
                return fd;

        store_give(STORE_SETTINGS, generation, fd);
        return 0;
}

void kept_settings_forget(uint32_t generation)
{
        store_remove(STORE_SETTINGS, generation);
}

void kept_settings_keep(
        const struct settings *s, uint32_t generation, struct inheritance *inheritance)
{
        _cleanup_(fd_closep) int fd =
                inheritance_take_numbered(inheritance, STORE_SETTINGS, generation);
        int r;

        if (fd >= 0)
                return;

        r = kept_settings_store(s, generation);
        if (r < 0)
                (void)journal_event_errno(MESSAGE_GOES_ON_WITHOUT, r,
                        "The settings cannot be kept for after a crash: %m");
}
