/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wire/wire.h"

/* What the files of stub-worker share: stub-worker.c says what it is. */

#define STUB_CONNECTIONS_MAX 4096
#define STUB_REPORT_MAX      65536

enum serve {
        SERVE_LINE,   /* write the line, close, DONE */
        SERVE_ECHO,   /* the same after one request was given back */
        SERVE_HOLD,   /* write the line, DONE when the client closes */
        SERVE_OBEY,   /* as hold; each line that the client writes is a deed */
        SERVE_REPORT, /* write what this process looks like from inside, close, DONE */
        SERVE_RACE,   /* attack the dispatcher until the client shuts down its side, and report */
};

struct connection {
        int fd;
        uint16_t listener;
        uint64_t id;
};

struct stub {
        int channel;
        const char *number;
        uint32_t capacity;
        uint64_t features; /* named in each READY, whether or not they were offered */
        enum serve serve;
        const struct deed *deed;
        const char *deed_arg;
        unsigned at; /* after so many connections; 0: after READY; UINT_MAX: at start */
        int ready_delay;
        bool never_ready, never_receive, ignore_term, ignore_drain, no_done, wrong_pong;

        bool draining;
        unsigned received;
        size_t n_connections;
        struct connection connections[STUB_CONNECTIONS_MAX];
        struct connection *current; /* the connection that a deed is about, or NULL */
        char report[STUB_REPORT_MAX];
};

struct deed {
        const char *name;
        int arg; /* as getopt's has_arg */
        const char *help;
        void (*run)(struct stub *stub, const char *arg);
};

extern const struct deed stub_deeds[];
extern const size_t stub_n_deeds;

/* --- stub-worker.c: what a deed is made of --- */

/* Writes a line to stderr, for a test; also ends this worker. */
void stub_say(const struct stub *stub, const char *format, ...) _printf_(2, 3);
void stub_die(const struct stub *stub, const char *format, ...) _printf_(2, 3);

/* Sends raw bytes; what the dispatcher makes of them is the test. */
void stub_send(const struct stub *stub, const void *data, size_t size);
void stub_send_ready(const struct stub *stub, uint32_t capacity);
void stub_send_record(const struct stub *stub, enum record_type type, uint32_t value, uint64_t id);

/* Closes a connection, and says DONE unless this worker never does; or says FAILED. */
void stub_finish(struct stub *stub, struct connection *connection);
void stub_fail(struct stub *stub, struct connection *connection, uint32_t reason);

/* --- stub-worker-deeds.c --- */

void stub_run_deed(struct stub *stub, const struct deed *deed, const char *arg);

/* A client's line "deed [argument]", or several with ";" in between; "done" finishes the
 * connection and must come last. */
void stub_obey(struct stub *stub, struct connection *connection, char *line);

/* Never looks at anything again. */
void stub_hang(void) __attribute__((noreturn));

/* --- stub-worker-options.c --- */

/* A number, or `otherwise` where there is no text. */
unsigned long stub_number(const char *text, unsigned long otherwise);

/* Reads the command line; exits where it is wrong, or asks for help. */
void stub_options(struct stub *stub, int argc, char *argv[]);

/* --- stub-worker-race.c --- */

/* Tries to open the dispatcher's memory and ledger until the client has something to say, or shuts
 * down its side. Then it gets the line "race tries=N dispatcher=N neighbours=N signals=N". */
void stub_race(const struct stub *stub, int client);

/* --- stub-worker-report.c --- */

/* Writes down what this process looks like from inside. */
void stub_report(struct stub *stub);
