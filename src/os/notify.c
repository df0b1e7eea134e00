/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What passes between this process and the service manager: sd_notify(3). It must not know what is
 * ready or stored.
 *
 * The service manager reads one queue for all its services, which takes some hundred messages
 * (net.unix.max_dgram_qlen). Nobody reads it while it reloads itself, or for good once it has
 * crashed and "freezes execution"; all else goes on, and so has this process. So nothing is waited
 * for: what finds no room waits here, and a timer tries again.
 *
 * What waits is of two kinds. Of the status line and the watchdog only the latest counts, and takes
 * the place of one before it. States and descriptors must arrive in their order, and are a list.
 * That list is short by itself: a descriptor that is taken out before it went in leaves nothing, so
 * there are two for each name at most; a state takes the place of one like it right before; and
 * there is no reload while nothing is taken.
 */

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/words.h"
#include "os/journal.h"
#include "os/manager-socket.h"
#include "os/notify.h"

#define TEXT_SIZE 1024
#define NAME_SIZE 64

/* Between two tries, doubling while nothing is taken */
#define RETRY_MIN_USEC (10 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (100 * USEC_PER_MSEC)

/* Nothing was taken for so long: the log says so. */
#define STUCK_LOG_USEC USEC_PER_SEC

struct pending {
        struct pending *next;
        uint64_t ticket;
        const char *state; /* literal, which one; NULL: a descriptor */
        char *text;
        char name[NAME_SIZE]; /* of a descriptor that is stored; else "" */
        int fd;               /* -1: none */
        bool is_own;
};

static struct {
        struct pending *first, *last;
        uint64_t last_ticket;

        char status[TEXT_SIZE]; /* "": none waits */
        bool watchdog;

        usec_t taken_at;     /* the last one, or when the first had to wait */
        usec_t retry;        /* how long until the next try; 0: nothing waits */
        bool has_told_stuck; /* the log */
        sd_event_source *timer;
        void (*on_progress)(void *userdata);
        void *userdata;
} notify;

bool notify_is_service(void)
{
        const char *pid = getenv("SYSTEMD_EXEC_PID");

        return pid && strtol(pid, NULL, 10) == getpid();
}

int notify_open(void)
{
        return manager_socket_open();
}

/* --- What waits --- */

/* Returns false where there is no room now. */
static bool deliver(const char *text, int fd)
{
        if (!manager_socket_send(text, fd))
                return false;

        notify.taken_at = usec_now();
        notify.has_told_stuck = false;
        return true;
}

static void free_pending(struct pending *m)
{
        if (m->is_own)
                fd_close(m->fd);
        free(m->text);
        free(m);
}

/* It is the one behind `before`, or the first one. */
static void remove_pending(struct pending *before, struct pending *m)
{
        if (before)
                before->next = m->next;
        else
                notify.first = m->next;
        if (notify.last == m)
                notify.last = before;
        free_pending(m);
}

static bool something_waits(void)
{
        return notify.first || notify.watchdog || notify.status[0];
}

static void arm(void)
{
        if (!notify.timer || !something_waits())
                return;

        (void)sd_event_source_set_time(notify.timer, usec_add(usec_now(), notify.retry));
        (void)sd_event_source_set_enabled(notify.timer, SD_EVENT_ONESHOT);
}

/* Something has to wait from now on. */
static void begin_waiting(void)
{
        if (notify.retry > 0)
                return;

        notify.retry = RETRY_MIN_USEC;
        notify.taken_at = usec_now();
        arm();
}

/* The watchdog first: it is the one that is missed in time. */
static bool send_watchdog(void)
{
        if (notify.watchdog && !deliver("WATCHDOG=1", -1))
                return false;

        notify.watchdog = false;
        return true;
}

static bool send_list(void)
{
        struct pending *m;

        while ((m = notify.first)) {
                if (!deliver(m->text, m->fd))
                        return false;
                remove_pending(NULL, m);
        }

        return true;
}

static bool send_status(void)
{
        if (notify.status[0] && !deliver(notify.status, -1))
                return false;

        notify.status[0] = '\0';
        return true;
}

/* Returns true where nothing waits any more. */
static bool send_all(void)
{
        if (!send_watchdog() || !send_list() || !send_status())
                return false;

        notify.retry = 0;
        return true;
}

/* Adds a message that has to wait. Without memory it is lost, as one that cannot be sent. */
static uint64_t append(struct pending *m_consume)
{
        if (notify.last)
                notify.last->next = m_consume;
        else
                notify.first = m_consume;
        notify.last = m_consume;
        m_consume->ticket = ++notify.last_ticket;
        begin_waiting();
        return m_consume->ticket;
}

static struct pending *new_pending(const char *text, int fd, bool is_own)
{
        struct pending *m = calloc(1, sizeof(*m));

        if (m) {
                *m = (struct pending){ .text = strdup(text), .fd = fd, .is_own = is_own };
                if (m->text)
                        return m;
                free(m);
        }
        if (is_own)
                fd_close(fd);
        return NULL;
}

/* --- States --- */

/* A newline would end the status, and begin something else. */
static void put_status(char *text, const char *prefix, const char *status)
{
        (void)snprintf(text, TEXT_SIZE, "%sSTATUS=%s", prefix, status);
        words_flatten(text + strlen(prefix));
}

static struct pending *last_state(void)
{
        struct pending *found = NULL;

        for (struct pending *m = notify.first; m; m = m->next)
                if (m->state)
                        found = m;

        return found;
}

/* `state` is a literal. */
static void send_state(const char *state, const char *text)
{
        struct pending *m;

        if (!manager_socket_is_there() || (!notify.first && deliver(text, -1)))
                return;

        m = last_state();
        if (m && m->state == state) {
                char *copy = strdup(text);

                if (copy) {
                        free(m->text);
                        m->text = copy;
                }
                return;
        }

        m = new_pending(text, -1, false);
        if (m) {
                m->state = state;
                (void)append(m);
        }
}

static void send_latest(const char *text)
{
        if (!manager_socket_is_there())
                return;

        notify.status[0] = '\0'; /* an older one */
        if (!notify.first && deliver(text, -1))
                return;

        (void)snprintf(notify.status, sizeof(notify.status), "%s", text);
        begin_waiting();
}

static const char state_ready[] = "READY=1\n", state_stopping[] = "STOPPING=1\n",
                  state_reloading[] = "RELOADING=1\n";

void notify_ready(const char *status)
{
        char text[TEXT_SIZE];

        put_status(text, state_ready, status);
        notify.status[0] = '\0';
        send_state(state_ready, text);
}

void notify_status(const char *status)
{
        char text[TEXT_SIZE];

        put_status(text, "", status);
        send_latest(text);
}

void notify_starting(const char *status, usec_t extend)
{
        char text[TEXT_SIZE], prefix[64];

        (void)snprintf(prefix, sizeof(prefix), "EXTEND_TIMEOUT_USEC=%" PRIu64 "\n", extend);
        put_status(text, prefix, status);
        send_latest(text);
}

void notify_reloading(void)
{
        char text[TEXT_SIZE];

        (void)snprintf(
                text, sizeof(text), "%sMONOTONIC_USEC=%" PRIu64, state_reloading, usec_now());
        send_state(state_reloading, text);
}

void notify_stopping(const char *status, usec_t extend)
{
        char text[TEXT_SIZE], prefix[64];

        (void)snprintf(prefix, sizeof(prefix), "%sEXTEND_TIMEOUT_USEC=%" PRIu64 "\n",
                state_stopping, extend);
        put_status(text, prefix, status);
        notify.status[0] = '\0';
        send_state(state_stopping, text);
}

void notify_watchdog(void)
{
        if (!manager_socket_is_there())
                return;

        notify.watchdog = true;
        if (!send_watchdog())
                begin_waiting();
}

/* --- Descriptors --- */

/* The other side has it when this one closes it: a message holds its descriptors itself. */
static uint64_t store(const char *name, int fd, bool is_own)
{
        char text[TEXT_SIZE];
        struct pending *m;

        /* Without FDPOLL=0 what hangs up is dropped, and that is when it is needed. */
        (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
        if (!manager_socket_is_there() || (!notify.first && deliver(text, fd))) {
                if (is_own)
                        fd_close(fd);
                return 0;
        }

        m = new_pending(text, fd, is_own);
        if (!m)
                return 0;
        (void)snprintf(m->name, sizeof(m->name), "%s", name);
        return append(m);
}

uint64_t notify_store(const char *name, int fd)
{
        return store(name, fd, false);
}

uint64_t notify_give(const char *name, int fd_consume)
{
        return store(name, fd_consume, true);
}

/* Returns true where one of that name was still waiting to go in. */
static bool cancel(const char *name)
{
        struct pending *before = NULL;

        for (struct pending *m = notify.first; m; before = m, m = m->next)
                if (streq(m->name, name)) {
                        remove_pending(before, m);
                        return true;
                }

        return false;
}

void notify_unstore(const char *name)
{
        char text[TEXT_SIZE];
        struct pending *m;

        if (!manager_socket_is_there() || cancel(name))
                return;

        (void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
        if (!notify.first && deliver(text, -1))
                return;

        m = new_pending(text, -1, false);
        if (m)
                (void)append(m);
}

bool notify_is_out(uint64_t ticket)
{
        return !notify.first || notify.first->ticket > ticket;
}

/* --- Later --- */

bool notify_is_stuck(usec_t time)
{
        return notify.first && usec_now() - notify.taken_at >= time;
}

static void tell_stuck(void)
{
        if (!notify_is_stuck(STUCK_LOG_USEC) || notify.has_told_stuck)
                return;

        notify.has_told_stuck = true;
        journal_event(MESSAGE_GOES_ON_WITHOUT, NULL,
                "The service manager takes no messages. Workers that start now serve, and would "
                "be lost in a crash of this process.");
}

static int on_timer(
        sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata _unused_)
{
        usec_t before = notify.taken_at;

        if (!send_all()) {
                notify.retry = notify.taken_at != before ? RETRY_MIN_USEC
                                                         : MIN(2 * notify.retry, RETRY_MAX_USEC);
                tell_stuck();
                arm();
        }
        if (notify.on_progress)
                notify.on_progress(notify.userdata);

        return 0;
}

int notify_watch(struct loop *loop, void (*on_progress)(void *userdata), void *userdata)
{
        int r = loop_add_timer(loop, &notify.timer, on_timer, NULL);

        if (r < 0)
                return r;

        notify.on_progress = on_progress;
        notify.userdata = userdata;
        arm();
        return 0;
}

void notify_unwatch(void)
{
        notify.timer = sd_event_source_disable_unref(notify.timer);
        notify.on_progress = NULL;
        while (notify.first)
                remove_pending(NULL, notify.first);
        notify.retry = 0;
}

bool notify_flush(usec_t timeout)
{
        usec_t until = usec_add(usec_now(), timeout);

        while (!send_all() && usec_now() < until)
                (void)poll(NULL, 0, (int)(RETRY_MIN_USEC / USEC_PER_MSEC));

        return !notify.first;
}
