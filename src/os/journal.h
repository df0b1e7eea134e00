/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"
#include "os/messages.h"

/*
 * What the dispatcher has to say. Nothing here ever blocks: what cannot be delivered now is dropped
 * and counted, and the count is delivered later.
 *
 * Where stderr is the journal ($JOURNAL_STREAM: systemd.exec(5)), messages go to journald with
 * their fields, or, where it cannot be reached, as lines that begin with <N>, the priority.
 * Elsewhere they are lines for people, without.
 */

/* A field beside MESSAGE=: a number, or a text where that is not NULL. */
struct journal_field {
        const char *name; /* NULL ends an array */
        const char *text;
        uint64_t number;
};

/* clang-format off */
#define JOURNAL_TEXT(n, t)   { .name = (n), .text = (t) }
#define JOURNAL_NUMBER(n, v) { .name = (n), .number = (uint64_t)(v) }
#define JOURNAL_FIELDS(...)  ((const struct journal_field[]){ __VA_ARGS__, {} })
/* clang-format on */

/* Opens the way to journald. `instance` (lent for good) becomes ACCEPTD_INSTANCE= of each message;
 * NULL as long as it is not known. May be called again. */
void journal_open(const char *instance);

/* From now on lines, also where stderr is the journal. It takes a line's unit from the stream, and
 * so knows that of a process that has already ended; of a datagram's sender it would not. */
void journal_use_lines(void);

/* Says `message`, with `fields` (or NULL) and the text. Too many of one kind in a short time are
 * counted instead. */
void journal_event(enum message message, const struct journal_field *fields, const char *format,
        ...) _printf_(3, 4);

/* Delivers what journal_event() could only count, where that is possible now and due. Returns true
 * while some is left: call it again in a second. */
bool journal_report(void);

/* Delivers it before it is due: this program ends, or another one takes its place. */
void journal_flush(void);

/* What a message is, for somebody else than the journal. */
const char *journal_get_name(enum message message); /* as in os/messages.h */
const char *journal_get_id(enum message message);
int journal_get_priority(enum message message);

/* What was said of one kind, in this program's life, but CONNECTION_ENDED: how often, when
 * (CLOCK_MONOTONIC), and the last text. */
struct journal_last {
        uint64_t n;
        usec_t at;
        char text[256];
};

const struct journal_last *journal_get_last(enum message message);

/* Has `listener` be told all that is said, too, but what is too much; NULL: nobody any more. */
typedef void (*journal_listener_t)(
        void *userdata, enum message message, const struct journal_field *fields, const char *text);
void journal_listen(journal_listener_t listener, void *userdata);

/* Says `message`, with errno set to that of `r` (-errno) for %m. Gives `r` back. */
#define journal_event_errno(message, r, ...)                                                       \
        ({                                                                                         \
                int _r = (r);                                                                      \
                errno = -_r;                                                                       \
                journal_event((message), NULL, __VA_ARGS__);                                       \
                _r;                                                                                \
        })

/* The same of what ends the dispatcher. */
#define log_error_errno(r, ...) journal_event_errno(MESSAGE_FAILED, (r), __VA_ARGS__)
