/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The parts of the load generator: load.c has the loop, load-connection.c what happens on a
 * connection, load-result.c the figures, load-options.c the command line.
 */

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/time.h"

/* Connections take their bytes from one table, each from a place of its own; the end repeats the
 * begin, so that no piece has to be put together. */
#define TABLE_SIZE  (1U << 20)
#define CHUNK_MAX   65536U
#define IN_FLIGHT   16384U /* short connections at once, at the most */
#define EVENTS_MAX  256
#define NOBODY      UINT32_MAX
#define SOURCES_MAX 65536U

/* Logarithmic, with 32 steps for each power of two: latencies are off by 3 % at most. */
#define STEPS   32U
#define BUCKETS (64U * STEPS)

enum outcome {
        OUTCOME_OK,
        OUTCOME_REFUSED, /* nobody listens */
        OUTCOME_EOF,     /* end of file before all came back */
        OUTCOME_RESET,
        OUTCOME_TIMEOUT,
        OUTCOME_WRONG, /* other bytes than were sent */
        OUTCOME_ERROR, /* anything else; this machine's fault, most likely */
        OUTCOMES,
};

enum kind { KIND_SHORT, KIND_HELD, KINDS };

enum state {
        STATE_NONE,
        STATE_RETRY,    /* connect() said EAGAIN: the backlog of an AF_UNIX listener is full */
        STATE_EXCHANGE, /* connecting, sending or receiving */
        STATE_IDLE,     /* held: all came back, the next exchange is not due */
        STATE_ENDING,   /* all was sent and shut down; end of file is to come */
};

struct connection {
        int fd;
        enum kind kind;
        enum state state;
        bool connected; /* and counted */
        bool wants_out;
        uint32_t place; /* in the table */
        uint64_t sent, received, goal;
        usec_t begun;            /* of the connection or the exchange */
        usec_t opened;           /* of the connection */
        struct sockaddr_in here; /* with --failures */
        uint32_t previous, next; /* in the list of those that a timeout threatens */
};

struct list {
        uint32_t first, last;
};

struct load {
        /* options */
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_un un;
        } to;
        socklen_t to_size;
        int type;
        uint32_t sources, destinations;
        uint32_t n_held, n_clients;
        uint32_t held_bytes, short_bytes;
        usec_t held_interval, duration, timeout, slow;
        double rate;
        uint64_t count;
        bool half_close;
        bool held_fixed; /* each exchange is held_bytes */
        bool unchecked;  /* any bytes will do */
        FILE *failures;  /* a line for each, or NULL */

        int epoll_fd, signal_fd;
        struct connection *connections;
        uint32_t n_connections;
        uint32_t *free_short;
        uint32_t n_free;
        struct list waiting[KINDS], retries;

        usec_t now, begin, stop_at, reported_at;
        bool stopping;
        uint64_t held_turns;
        uint64_t random;

        uint32_t n_active;
        uint64_t started, short_started, connected, retried, exchanges, held_total;
        uint64_t outcomes[KINDS][OUTCOMES];
        uint64_t latencies[BUCKETS], max_latency, n_slow;
        int first_error;
};

/* The bytes that connections send. */
void load_fill_table(void);

/* Begins a short connection; one must be free. */
void load_start_short(struct load *l);

/* A held connection's turn: the next exchange, or another try. One that has not finished its last
 * exchange goes without. */
void load_take_turn(struct load *l, struct connection *c);

/* The last thing that a held connection does. */
void load_end_held(struct load *l, struct connection *c);

void load_on_event(struct load *l, struct connection *c, uint32_t events);

/* Tries again those that met a full backlog. */
void load_retry(struct load *l);

/* Ends those of the list that took longer than the timeout. */
void load_end_overdue(struct load *l, const struct list *list);

/* For --failures: the clock and the time of day; a connection that failed. */
void load_note_clock(const struct load *l);
void load_note_failure(const struct load *l, const struct connection *c, enum outcome outcome);

/* A short connection was served. */
void load_count_latency(struct load *l, usec_t latency);

/* Once a second, on stderr. */
void load_report_progress(struct load *l);

/* One line of key=value. Returns the number of failures. */
uint64_t load_print_result(const struct load *l);

/* Exits where they make no sense. */
void load_parse_options(struct load *l, int argc, char *argv[]);
_Noreturn void load_refuse(const char *what, const char *allowed);
