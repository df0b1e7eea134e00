/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/time.h"
#include "wire/record.h"

/*
 * A worker and the dispatcher's part in its play: what it is told, what it says, and whether it may
 * say that. The first rule that it breaks is kept; nothing is asked of it after that.
 */

#define PLAY_CONNECTIONS_MAX 100
#define PLAY_WHY_MAX         256

struct play_connection {
        uint64_t id;
        int client;  /* the client's end; -1: closed */
        bool listed; /* HELD in the present answer */
        bool ended;  /* DONE or FAILED was said */
};

struct play {
        pid_t pid;
        int pidfd, channel;
        usec_t timeout;

        uint32_t capacity; /* of the last READY */
        uint64_t offered, taken;
        unsigned n_readys; /* in the second from readys_since on */
        usec_t readys_since;
        bool ready;   /* one was said */
        bool drained; /* it was told so */

        bool asked; /* the answer to `question` is awaited */
        bool asked_list;
        uint32_t question;

        struct play_connection connections[PLAY_CONNECTIONS_MAX];
        unsigned n_connections, n_ended, n_failed;
        uint64_t next_id;
        void *finished; /* memory of FINISHED, or NULL */

        bool dead;
        bool left;              /* processes of its group outlived it */
        int code, status;       /* of waitid(2) */
        char why[PLAY_WHY_MAX]; /* the rule that it broke; "" for none */
};

/* What is awaited. */
typedef bool play_until_t(const struct play *play);
play_until_t play_until_ready, play_until_answered, play_until_all_ended, play_until_dead,
        play_until_never;

/* Starts the command. Returns 0 or -errno. */
int play_start(struct play *play, char **argv, uint32_t features, usec_t timeout);

/* Kills what is left. */
void play_end(struct play *play);

/* Notes a broken rule, unless one is noted. Returns false. */
bool play_breaks(struct play *play, const char *format, ...) _printf_(2, 3);

/* Listens until that is so. Returns false if a rule is broken before, or when the time is over:
 * then `late` says what it failed to do. */
bool play_await(struct play *play, play_until_t *until, const char *late);

/* The same for a time, in which nothing has to happen. */
bool play_listen(struct play *play, usec_t time);

/* Each returns false where a rule was broken. */
bool play_tell(struct play *play, uint8_t type, uint32_t value, uint64_t id, int fd);
bool play_ask(struct play *play, uint8_t type);
bool play_connect(struct play *play);
void play_say(struct play *play, unsigned i, const char *text);
void play_hang_up(struct play *play); /* all clients close */
bool play_share_finished(struct play *play);
bool play_drain(struct play *play, bool with_record);
