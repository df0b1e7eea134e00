/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which listeners there are, where they come from, and that they outlive a crash. The service
 * manager stores one socket once, also where it is sent again by each dispatcher; and it passes a
 * socket twice that both a socket unit and the store have, which inheritance.c sees to. It must not
 * know of connections.
 */

#include <unistd.h>

#include "dispatcher/ledger.h"
#include "os/journal.h"
#include "takeover/kept-listeners.h"
#include "takeover/leftovers.h"

void kept_listeners_free(struct listener *listeners, size_t n)
{
        for (size_t i = 0; i < n; i++)
                listener_done(&listeners[i]);
        free(listeners);
}

static size_t count_names(const struct listener *listeners, size_t n)
{
        size_t names = 0;

        for (size_t i = 0; i < n; i++) {
                size_t k = 0;

                while (k < i && !streq(listeners[k].name, listeners[i].name))
                        k++;
                names += k == i;
        }

        return names;
}

static bool has_control_socket(const struct inheritance *inheritance)
{
        for (size_t i = 0; i < inheritance->n; i++)
                if (streq(inheritance->entries[i].name, STORE_CONTROL))
                        return true;

        return false;
}

/* Returns what is wrong where there is no listener, or NULL without memory. `listen_pid` is for
 * whom sockets were passed, or NULL: a shell in between has another number. */
static char *explain_no_socket(const char *listen_pid, bool has_control)
{
        char *text;

        if (listen_pid && strtol(listen_pid, NULL, 10) != getpid())
                return asprintf(&text,
                               "No socket was passed to this process, %d, but to process %s "
                               "($LISTEN_PID); a script that starts acceptd has to do so "
                               "with exec",
                               (int)getpid(), listen_pid) < 0
                               ? NULL
                               : text;

        if (has_control)
                return strdup(
                        "No socket was passed that can be served: acceptd-control is the name "
                        "of what acceptctl talks to; allowed is any other FileDescriptorName= "
                        "in the .socket unit that does not begin with % + = or !");

        return strdup("No socket was passed; allowed are listening stream and seqpacket sockets "
                      "from a .socket unit, or, in a terminal: systemd-socket-activate -l "
                      "127.0.0.1:7777 acceptd");
}

static int check(const struct inheritance *inheritance, const char *listen_pid,
        const struct listener *listeners, size_t n, char **ret_message)
{
        if (count_names(listeners, n) > LEDGER_NAMES_MAX) {
                *ret_message = strdup("The sockets have too many names; allowed are 64 different "
                                      "FileDescriptorName=");
                return -ENOSPC;
        }
        if (n > 0 || inheritance->from_reload || leftovers_is_after_crash(inheritance))
                return 0;

        *ret_message = explain_no_socket(listen_pid, has_control_socket(inheritance));
        return -ENOTCONN;
}

int kept_listeners_collect(struct inheritance *inheritance, const char *listen_pid, bool accept,
        struct listener **ret_listeners, size_t *ret_n, char **ret_message)
{
        struct listener *listeners = calloc(inheritance->n + 1, sizeof(*listeners));
        size_t n = 0;
        int r;

        if (!listeners)
                return -ENOMEM;

        r = inheritance_check(inheritance, ret_message);
        for (size_t i = 0; r >= 0 && i < inheritance->n; i++) {
                const char *name = inheritance_get_listener(inheritance, i);

                if (!name)
                        continue;
                r = listener_init(&listeners[n], TAKE_FD(inheritance->entries[i].fd), name, accept,
                        ret_message);
                listeners[n++].is_kept = inheritance->entries[i].is_kept;
        }

        if (r >= 0)
                r = check(inheritance, listen_pid, listeners, n, ret_message);
        if (r < 0) {
                kept_listeners_free(listeners, n);
                return r;
        }

        *ret_listeners = listeners;
        *ret_n = n;
        return 0;
}

void kept_listeners_store(const struct listener *listeners, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!store_listener(listeners[i].name, listeners[i].fd))
                        journal_event(MESSAGE_GOES_ON_WITHOUT, NULL,
                                "The listener %s cannot be kept for after a crash: its "
                                "FileDescriptorName= is too long.",
                                listeners[i].address);
}

void kept_listeners_forget(const struct listener *listeners, size_t n)
{
        for (size_t i = 0; i < n; i++)
                store_forget_listener(listeners[i].name);
}

int kept_listeners_add(struct inheritance *inheritance, const struct listener *listeners, size_t n)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                _cleanup_(freep) char *name = NULL;

                if (asprintf(&name, "%s%s", listeners[i].is_kept ? STORE_LISTENER : "",
                            listeners[i].name) < 0)
                        return -ENOMEM;
                r = inheritance_add(inheritance, listeners[i].fd, name);
        }

        return r;
}

void kept_listeners_tell(
        const struct listener *listeners, size_t n, const char *instance, char *text, size_t size)
{
        char served[LISTENER_ADDRESS_MAX + 32] = "";
        size_t n_kept = 0;

        text[0] = '\0';
        for (size_t i = 0; i < n; i++) {
                n_kept += listeners[i].is_kept;
                if (listeners[i].is_kept)
                        (void)snprintf(
                                served, sizeof(served), "%s is served", listeners[i].address);
        }
        if (n_kept > 1)
                (void)snprintf(served, sizeof(served), "%zu addresses are served", n_kept);

        if (n == 0)
                (void)snprintf(text, size,
                        "nobody listens: systemctl restart acceptd@%s.socket opens its addresses",
                        instance);
        else if (n_kept > 0)
                (void)snprintf(text, size,
                        "%s, though the socket unit was edited and does not have %s any more: "
                        "systemctl restart acceptd@%s.socket",
                        served, n_kept > 1 ? "them" : "it", instance);
        if (text[0])
                journal_event(MESSAGE_LISTENERS_KEPT,
                        JOURNAL_FIELDS(JOURNAL_NUMBER("ACCEPTD_COUNT", n_kept),
                                JOURNAL_TEXT("ACCEPTD_REASON", text)),
                        "The dispatcher that crashed had other sockets than systemd passes now; %s.",
                        text);
}
