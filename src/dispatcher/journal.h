/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <syslog.h>

#include "base/base.h"

/*
 * What the dispatcher has to say. One call, one line; priorities are those of syslog(3).
 *
 * Lines go to stderr. Where that is the journal (sd-daemon(3)), each carries its priority.
 */

/* Looks at $JOURNAL_STREAM. Before, and without it, lines carry the program's name instead. */
void journal_open(void);

void journal_log(int priority, const char *format, ...) _printf_(2, 3);

#define log_error(...)   journal_log(LOG_ERR, __VA_ARGS__)
#define log_warning(...) journal_log(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  journal_log(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    journal_log(LOG_INFO, __VA_ARGS__)

/* Logs with errno set to that of `r` (-errno) for %m, and gives `r` back. */
#define log_error_errno(r, ...)                                                                    \
        ({                                                                                         \
                int _r = (r);                                                                      \
                errno = -_r;                                                                       \
                log_error(__VA_ARGS__);                                                            \
                _r;                                                                                \
        })
