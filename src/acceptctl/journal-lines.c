/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The end of the journal, as systemctl shows it. It only reads.
 */

#include <systemd/sd-journal.h>
#include <time.h>

#include "acceptctl/journal-lines.h"
#include "acceptctl/say.h"
#include "base/time.h"
#include "base/words.h"

static int match(sd_journal *journal, const char *field, const char *name)
{
        char text[512];

        (void)snprintf(text, sizeof(text), "%s=acceptd@%s.service", field, name);
        return sd_journal_add_match(journal, text, 0);
}

/* What the unit's processes said, and what the service manager said of it. */
static int add_matches(sd_journal *journal, const char *name)
{
        int r;

        r = match(journal, "_SYSTEMD_UNIT", name);
        if (r >= 0)
                r = sd_journal_add_disjunction(journal);
        if (r >= 0)
                r = match(journal, "UNIT", name);
        if (r >= 0)
                r = sd_journal_add_match(journal, "_PID=1", 0);

        return r;
}

static void print_field(sd_journal *journal, const char *field, size_t max)
{
        const void *data;
        _cleanup_(freep) char *text = NULL;
        size_t size, cut = strlen(field) + 1;

        if (sd_journal_get_data(journal, field, &data, &size) < 0 || size < cut)
                return;
        text = strndup((const char *)data + cut, size - cut);
        if (text)
                words_print_safely(text, max, stdout);
}

static void print_entry(sd_journal *journal)
{
        uint64_t usec = 0;
        char when[64] = "-";
        struct tm tm;
        time_t t;

        if (sd_journal_get_realtime_usec(journal, &usec) >= 0) {
                t = (time_t)(usec / USEC_PER_SEC);
                if (localtime_r(&t, &tm))
                        (void)strftime(when, sizeof(when), "%b %d %H:%M:%S", &tm);
        }

        printf("%s ", when);
        print_field(journal, "SYSLOG_IDENTIFIER", 64);
        fputc('[', stdout);
        print_field(journal, "_PID", 16);
        fputs("]: ", stdout);
        print_field(journal, "MESSAGE", 1024);
        fputc('\n', stdout);
}

void journal_lines_show(const char *name, uint64_t n)
{
        _cleanup_(sd_journal_closep) sd_journal *journal = NULL;
        int r;

        if (sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM) < 0 ||
                add_matches(journal, name) < 0 || sd_journal_seek_tail(journal) < 0)
                return;

        r = sd_journal_previous_skip(journal, n);
        for (bool first = true; r > 0 && n > 0; n--, first = false) {
                if (first)
                        fputc('\n', stdout);
                print_entry(journal);
                r = sd_journal_next(journal);
        }
}
