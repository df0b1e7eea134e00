/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The dispatcher's lines for the journal or a terminal. Called from all over the dispatcher; knows
 * nothing of it.
 */

#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/journal.h"

#define LINE_LEN_MAX 2048U /* what is longer is cut */

static bool stderr_is_journal;

void journal_open(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        stderr_is_journal = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
                fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void journal_log(int priority, const char *format, ...)
{
        char line[LINE_LEN_MAX];
        int saved = errno;
        size_t len;
        va_list args;

        len = (size_t)(stderr_is_journal ? snprintf(line, sizeof(line), "<%d>", priority)
                                         : snprintf(line, sizeof(line), "acceptd: "));

        errno = saved; /* for %m */
        va_start(args, format);
        (void)vsnprintf(line + len, sizeof(line) - len - 1, format, args);
        va_end(args);

        len = strlen(line);
        line[len++] = '\n';
        (void)!write(STDERR_FILENO, line, len);
        errno = saved;
}
