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

#define INTEGER(number) ((json_int_t)(number))

static const char *const refusals[REFUSALS] = {
        [REFUSED_STOPPING] = "stopping",
        [REFUSED_STRANDED] = "stranded",
};

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

static json_t *make_listeners(const struct dispatcher *d)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < d->n_listeners; i++)
                (void)json_array_append_new(list, make_listener(&d->listeners[i]));

        return list;
}

/* Of what nobody here sees with Accept=no, there is no figure. */
static json_t *make_figure(const struct pool *pool, uint64_t number)
{
        return pool->settings->accept ? json_integer(INTEGER(number)) : NULL;
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

        return json_pack("{s:I, s:I, s:s, s:I, s:o?, s:o?, s:o?, s:o?, s:o?, s:I}", "number",
                INTEGER(row->number), "pid", INTEGER(row->pid), "state",
                worker_state_info(row->state)->name, "generation", INTEGER(row->generation),
                "capacity", make_figure(pool, row->capacity), "open", make_figure(pool, w->open),
                "handedOver", make_figure(pool, row->handed_over), "memory",
                w->size > 0 ? json_integer(INTEGER(w->size)) : NULL, "recycling",
                make_recycling(pool, w), "since", INTEGER(row->started_at));
}

static json_t *make_workers(const struct pool *pool)
{
        json_t *list = json_array();

        for (uint32_t i = 0; list && i < pool->n_rows; i++)
                if (pool->workers[i].record->state != WORKER_NONE)
                        (void)json_array_append_new(list, make_worker(pool, &pool->workers[i]));

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
                (void)json_object_set_new(
                        by_reason, refusals[i], json_integer(INTEGER(c->refused[i])));

        return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I}", "accepted",
                INTEGER(c->accepted), "open", INTEGER(figures->open), "done", INTEGER(c->done),
                "failed", INTEGER(c->failed), "lost", INTEGER(c->lost), "refused",
                INTEGER(figures->refused), "refusedBy", by_reason, "takenBack",
                INTEGER(c->taken_back));
}

static const char *name_state(const struct dispatcher *d, const struct pool_figures *figures)
{
        if (d->pool.stopping)
                return "stopping";
        if (health_is_degraded(&d->health, figures))
                return "degraded";

        return d->health.is_ready ? "ready" : "starting";
}

json_t *control_make_status(struct dispatcher *d, const char *instance)
{
        char text[STATUS_MAX];
        struct pool_figures figures;

        pool_get_figures(&d->pool, &figures);
        health_format(&d->health, text);

        return json_pack("{s:o, s:s, s:I, s:s, s:o, s:I, s:I, s:I, s:o?, s:o?, s:o, s:o}",
                "instance", varlink_make_text(instance), "version", ACCEPTD_VERSION, "mainPID",
                INTEGER(getpid()), "state", name_state(d, &figures), "statusText",
                varlink_make_text(text), "generation", INTEGER(d->pool.state->generation),
                "workersReady", INTEGER(figures.workers_ready), "workersWanted",
                INTEGER(d->settings->workers), "maxConnections",
                make_figure(&d->pool, d->settings->max_connections), "counters",
                make_counters(&d->pool, &figures), "listeners", make_listeners(d), "workers",
                make_workers(&d->pool));
}
