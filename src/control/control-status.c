/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How the instance is, as JSON: the Status of src/varlink/interfaces.c. It changes nothing.
 */

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control-methods.h"
#include "dispatcher/dispatcher.h"
#include "os/journal.h"

#define INTEGER(number) ((json_int_t)(number))

static int get_option(int fd, int option)
{
        int value = -1;
        socklen_t len = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

/* On a listening socket the kernel tells its backlog in two fields that mean something else on a
 * connection: tcp_get_info() in net/ipv4/tcp.c. Only of TCP. */
static json_t *make_listener(const struct listener *l)
{
        json_t *json = json_pack("{s:o, s:o, s:s, s:n, s:n, s:n}", "name",
                varlink_make_text(l->name), "address", varlink_make_text(l->address), "kind",
                get_option(l->fd, SO_TYPE) == SOCK_SEQPACKET ? "seqpacket" : "stream", "backlog",
                "backlogLimit", "drops");
        uint32_t memory[SK_MEMINFO_VARS] = {};
        struct tcp_info info = {};
        socklen_t len = sizeof(info);

        if (!json || getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
                return json;
        (void)json_object_set_new(json, "backlog", json_integer(info.tcpi_unacked));
        (void)json_object_set_new(json, "backlogLimit", json_integer(info.tcpi_sacked));

        len = sizeof(memory);
        if (getsockopt(l->fd, SOL_SOCKET, SO_MEMINFO, memory, &len) == 0)
                (void)json_object_set_new(json, "drops", json_integer(memory[SK_MEMINFO_DROPS]));

        return json;
}

static json_t *make_listeners(const struct dispatcher *d, const char *name)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < d->n_listeners; i++)
                if (!name || streq(name, d->listeners[i].name))
                        (void)json_array_append_new(list, make_listener(&d->listeners[i]));

        return list;
}

/* Of what nobody here sees with Accept=no, there is no figure. */
static json_t *make_figure(const struct pool *pool, uint64_t number)
{
        return pool->settings->accept ? json_integer(INTEGER(number)) : NULL;
}

/* 0 is never. */
static json_t *make_time(usec_t at)
{
        return at == 0 || at == USEC_INFINITY ? NULL : json_integer(INTEGER(at));
}

static const char *const recyclings[] = {
        [RECYCLE_CONNECTIONS] = "connections",
        [RECYCLE_AGE] = "age",
        [RECYCLE_SIZE] = "memory",
};

/* Why it is about to be replaced, or is; NULL: it is not. */
static json_t *make_recycling(const struct pool *pool, const struct pool_worker *w)
{
        enum pool_recycling why = pool_why_recycle(pool, (uint32_t)(w - pool->workers), usec_now());

        return why == RECYCLE_NONE ? NULL : json_string(recyclings[why]);
}

static json_t *make_worker(const struct pool *pool, const struct pool_worker *w)
{
        const struct worker_row *row = w->record;

        return json_pack("{s:I, s:I, s:s, s:I, s:o?, s:o?, s:o?, s:o?, s:o?, s:I, s:o?}", "number",
                INTEGER(row->number), "pid", INTEGER(row->pid), "state",
                worker_state_info(row->state)->name, "generation", INTEGER(row->generation),
                "capacity", make_figure(pool, row->capacity), "open", make_figure(pool, w->open),
                "handedOver", make_figure(pool, row->handed_over), "memory",
                w->size > 0 ? json_integer(INTEGER(w->size)) : NULL, "recycling",
                make_recycling(pool, w), "since", INTEGER(row->started_at), "idleSince",
                make_time(w->idle_since));
}

static json_t *make_workers(const struct pool *pool, json_int_t number)
{
        json_t *list = json_array();

        for (uint32_t i = 0; list && i < pool->n_rows; i++) {
                const struct worker_row *row = pool->workers[i].record;

                if (row->state != WORKER_NONE && (number == 0 || INTEGER(row->number) == number))
                        (void)json_array_append_new(list, make_worker(pool, &pool->workers[i]));
        }

        return list;
}

static json_t *make_counters(const struct pool *pool, const struct pool_figures *figures)
{
        const struct counters *c = pool->counters;
        json_t *by_reason;

        if (!pool->settings->accept)
                return NULL;

        by_reason = json_object();

        for (size_t i = 0; by_reason && i < REFUSALS; i++)
                (void)json_object_set_new(by_reason, refusal_name((enum refusal)i),
                        json_integer(INTEGER(c->refused[i])));

        return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I}", "accepted",
                INTEGER(c->accepted), "open", INTEGER(figures->open), "done", INTEGER(c->done),
                "failed", INTEGER(c->failed), "lost", INTEGER(c->lost), "lostIdle",
                INTEGER(pool->state->lost_idle), "refused", INTEGER(figures->refused), "refusedBy",
                by_reason, "takenBack", INTEGER(c->taken_back));
}

static const char *name_state(const struct dispatcher *d, const struct pool_figures *figures)
{
        if (d->pool.stopping)
                return "stopping";
        if (health_is_degraded(&d->health, figures))
                return "degraded";

        return d->health.is_ready ? "ready" : "starting";
}

/* What was said to the journal, by kind. */
static json_t *make_events(void)
{
        json_t *events = json_object();

        for (enum message m = 0; events && m < MESSAGE_COUNT; m++) {
                const struct journal_last *last = journal_get_last(m);

                if (last->n > 0)
                        (void)json_object_set_new(events, journal_get_name(m),
                                json_pack("{s:I, s:I, s:o}", "count", INTEGER(last->n), "last",
                                        INTEGER(last->at), "text", varlink_make_text(last->text)));
        }

        return events;
}

/* Up to the last bucket that has any. */
static json_t *make_waiting(const struct dispatcher *d)
{
        const struct waiting *waiting = &d->context.waiting;
        json_t *buckets;
        size_t n = WAITING_BUCKETS;

        if (!d->settings->accept)
                return NULL;

        buckets = json_array();
        while (n > 0 && waiting->buckets[n - 1] == 0)
                n--;
        for (size_t i = 0; buckets && i < n; i++)
                (void)json_array_append_new(buckets, json_integer(INTEGER(waiting->buckets[i])));

        return json_pack("{s:o, s:I}", "buckets", buckets, "sumUSec", INTEGER(waiting->sum));
}

static uint64_t sum_capacity(const struct pool *pool)
{
        uint64_t sum = 0;

        for (uint32_t i = 0; i < pool->n_rows; i++)
                if (pool->workers[i].record->state == WORKER_READY)
                        sum += pool->workers[i].record->capacity;

        return sum;
}

/* What there is beside the state: limits, highest values, troubles. */
static json_t *make_details(const struct dispatcher *d)
{
        const struct pool *pool = &d->pool;
        usec_t next = backoff_is_failing(&pool->backoff) ? pool->backoff.not_before : 0;

        /* A slot is used for the first time only when all before it are in use. */
        return json_pack("{s:b, s:o?, s:o?, s:I, s:I, s:o?, s:o?, s:o?, s:o?, s:o}", "paused",
                pool_is_held(pool), "capacity", make_figure(pool, sum_capacity(pool)),
                "openHighest", make_figure(pool, pool->slots.head->n_touched), "workersStarted",
                INTEGER(pool->state->last_number), "failedStarts", INTEGER(d->health.n_failed),
                "nextStart", make_time(next), "fullUSec", make_figure(pool, d->crowd.total),
                "fullLast", make_time(d->crowd.until), "waiting", make_waiting(d), "events",
                make_events());
}

json_t *control_make_status(
        struct dispatcher *d, const char *instance, const struct control_filter *filter)
{
        char text[STATUS_MAX];
        json_auto_t *details = make_details(d);
        struct pool_figures figures;
        json_t *status;

        pool_get_figures(&d->pool, &figures);
        health_format(&d->health, text);

        status = json_pack("{s:o, s:s, s:I, s:s, s:o, s:I, s:I, s:I, s:o?, s:o?, s:o, s:o}",
                "instance", varlink_make_text(instance), "version", ACCEPTD_VERSION, "mainPID",
                INTEGER(getpid()), "state", name_state(d, &figures), "statusText",
                varlink_make_text(text), "generation", INTEGER(d->pool.state->generation),
                "workersReady", INTEGER(figures.workers_ready), "workersWanted",
                INTEGER(d->settings->workers), "maxConnections",
                make_figure(&d->pool, d->settings->max_connections), "counters",
                make_counters(&d->pool, &figures), "listeners", make_listeners(d, filter->listener),
                "workers", make_workers(&d->pool, filter->worker));
        if (status && (!details || json_object_update(status, details) < 0)) {
                json_decref(status);
                return NULL;
        }

        return status;
}
