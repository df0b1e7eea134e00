/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the program behind acceptd-listen says with sd_notify(3), and what comes of it. Everything
 * that has no effect is told once, so that nobody searches for it.
 */

#include <inttypes.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/words.h"
#include "workers/family.h"
#include "workers/server.h"

#define HEAR_MAX 64 /* messages in one turn */

/* Bits of server->told besides those of the fields */
#define TOLD_STRANGER (UINT64_C(1) << 63)
#define TOLD_OTHERS   (UINT64_C(1) << 62)
#define TOLD_EXTEND   (UINT64_C(1) << 61)
#define TOLD_MAIN     (UINT64_C(1) << 60)

static bool is_first(struct server *server, uint64_t bit)
{
        bool first = !(server->told & bit);

        server->told |= bit;
        return first;
}

static void on_ready(struct server *server, const char *value)
{
        if (streq(value, "1"))
                server_become_ready(server);
}

static void on_status(struct server *server, const char *value)
{
        char text[SERVER_STATUS_MAX] = "";
        _cleanup_(fclosep) FILE *f = fmemopen(text, sizeof(text) - 1, "w");

        if (!f)
                return;
        /* An escape takes four bytes, and "..." three. */
        words_print_safely(value, SERVER_STATUS_MAX / 4 - 4, f);
        (void)fflush(f);
        if (streq(text, server->status))
                return;

        (void)memcpy(server->status, text, sizeof(text));
        server->status_told = text[0] == '\0';
}

static void on_watchdog(struct server *server, const char *value)
{
        if (streq(value, "1"))
                server_feed_watchdog(server, 0);
        else if (streq(value, "trigger"))
                server_hang(server, "has triggered its watchdog");
}

static void on_watchdog_usec(struct server *server, const char *value)
{
        uint64_t usec;

        if (!words_parse_number(value, 0, USEC_INFINITY, &usec))
                return;

        server->watchdog = usec == 0 ? USEC_INFINITY : usec;
        server->watchdog_at = USEC_INFINITY;
        server_feed_watchdog(server, 0);
}

static void on_extend(struct server *server, const char *value)
{
        uint64_t usec;

        if (!words_parse_number(value, 0, USEC_INFINITY, &usec))
                return;
        if (server->ready && !server->leaving)
                server_feed_watchdog(server, usec);
        else if (is_first(server, TOLD_EXTEND))
                server_say("%s asks for more time (EXTEND_TIMEOUT_USEC=). To start and to end it "
                           "has what the settings leave it: TimeoutStartSec=, DrainTimeoutSec=, "
                           "ReloadDrainTimeoutSec=, TimeoutStopSec=",
                        server->options.command[0]);
}

static void on_stopping(struct server *server, const char *value)
{
        if (!streq(value, "1"))
                return;
        if (!server->leaving)
                server_say("%s is ending, and nobody has asked it to", server->options.command[0]);
        server->leaving = true;
}

static void on_main_pid(struct server *server, const char *value)
{
        _cleanup_(fd_closep) int pidfd = -1;
        uint64_t pid;

        if (!words_parse_number(value, 0, INT32_MAX, &pid) || (pid_t)pid == server->pid)
                return;

        /* opened first: then it is the one that is looked at */
        pidfd = pidfd_open((pid_t)pid, 0);
        if (pidfd < 0 || !family_has((pid_t)pid)) {
                if (is_first(server, TOLD_MAIN))
                        server_say("%s names process %" PRIu64
                                   " its main process, which it has not "
                                   "started: ignored",
                                server->options.command[0], pid);
                return;
        }

        server_say("the main process of %s is %" PRIu64 " now", server->options.command[0], pid);
        fd_close(server->pidfd);
        server->pidfd = TAKE_FD(pidfd);
        server->pid = (pid_t)pid;
        server->guard.groups[SERVER_GROUP_OF_SUCCESSOR] = getpgid(server->pid);
}

static const struct field {
        const char *name;
        void (*act)(struct server *server, const char *value);
        const char *why_not; /* without act; NULL: nothing to say */
} fields[] = {
        { "READY", on_ready, NULL },
        { "STATUS", on_status, NULL },
        { "WATCHDOG", on_watchdog, NULL },
        { "WATCHDOG_USEC", on_watchdog_usec, NULL },
        { "EXTEND_TIMEOUT_USEC", on_extend, NULL },
        { "STOPPING", on_stopping, NULL },
        { "MAINPID", on_main_pid, NULL },
        { "BARRIER", NULL, NULL },        /* answered at its receipt */
        { "MONOTONIC_USEC", NULL, NULL }, /* of RELOADING= */
        { "FDNAME", NULL, NULL },         /* of FDSTORE= */
        { "FDPOLL", NULL, NULL },
        { "MAINPIDFDID", NULL, NULL }, /* of MAINPID= */
        { "MAINPIDFD", NULL, NULL },
        { "FDSTORE", NULL, "descriptors cannot be stored here; those that came are closed" },
        { "FDSTOREREMOVE", NULL, "there is no store for descriptors here" },
        { "RELOADING", NULL, "at a reload the pool starts it anew" },
};

static void obey_field(struct server *server, const char *name, const char *value)
{
        char safe[64] = "";
        _cleanup_(fclosep) FILE *f = NULL;

        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                if (!streq(name, fields[i].name))
                        continue;
                if (fields[i].act)
                        fields[i].act(server, value);
                else if (fields[i].why_not && is_first(server, UINT64_C(1) << i))
                        server_say("%s says %s=: ignored, %s", server->options.command[0], name,
                                fields[i].why_not);
                return;
        }

        /* ERRNO= and the like, and private ones (X_...) */
        if (!is_first(server, TOLD_OTHERS))
                return;
        f = fmemopen(safe, sizeof(safe) - 1, "w");
        if (!f)
                return;
        words_print_safely(name, sizeof(safe) / 4 - 4, f);
        (void)fflush(f);
        server_say("%s says %s=: ignored, as all else that is not described in acceptd-listen(8)",
                server->options.command[0], safe);
}

/* Does what one message asks for. */
static void obey(struct server *server, struct notification *message)
{
        char *rest = message->text, *line;

        /* The main process is known without a look at it. */
        if (message->sender != server->pid && !family_has(message->sender)) {
                if (is_first(server, TOLD_STRANGER))
                        server_say(
                                "a notification of process %d is ignored: %s has not started it, "
                                "or it is gone already",
                                (int)message->sender, server->options.command[0]);
                return;
        }

        while ((line = strsep(&rest, "\n"))) {
                char *value = strchr(line, '=');

                if (!value)
                        continue;
                *value++ = '\0';
                obey_field(server, line, value);
        }
}

int server_hear(struct server *server)
{
        for (unsigned i = 0; i < HEAR_MAX; i++) {
                struct notification message = {};
                int r = notify_socket_receive(server->notify_fd, &message);

                if (r <= 0)
                        return r;
                obey(server, &message);
        }

        return 0;
}
