/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A pool, workers and a loop, without a dispatcher. */

#include "small-pool.h"

void small_pool_init(struct small_pool *p)
{
        struct pool_memory memory = {
                .state = &p->state,
                .rows = p->rows,
                .n_rows = SMALL_POOL_ROWS,
                .slots = p->slots,
                .n_slots = SMALL_POOL_SLOTS,
        };

        *p = (struct small_pool){};
        settings_init(&p->settings);
        settings_resolve(&p->settings, 1);
        p->settings.workers = p->settings.workers_max = 1;
        p->settings.max_connections = SMALL_POOL_SLOTS;
        p->settings.connections_per_worker = SMALL_POOL_SLOTS;
        assert_int_equal(pool_rows_needed(&p->settings), SMALL_POOL_ROWS);
        assert_int_equal(pool_init(&p->pool, &p->settings, &memory), 0);
        assert_int_equal(loop_init(&p->loop, false), 0);
        p->context.pool = &p->pool;
        p->context.loop = &p->loop;
        p->context.userdata = p;
        for (uint32_t i = 0; i < SMALL_POOL_ROWS; i++)
                worker_init(&p->workers[i], &p->context, i);
}

void small_pool_done(struct small_pool *p)
{
        for (uint32_t i = 0; i < SMALL_POOL_ROWS; i++)
                worker_deinit(&p->workers[i]);
        loop_deinit(&p->loop);
        pool_deinit(&p->pool);
        settings_done(&p->settings);
}

struct worker *small_pool_add_worker(struct small_pool *p, uint32_t row, uint32_t capacity)
{
        struct worker *w = &p->workers[row];

        assert_int_equal(channel_open(&w->channel), 0);
        w->number = pool_next_number(&p->pool);
        pool_spawned(&p->pool, row, 4711, false, usec_now());
        assert_int_equal(pool_ready(&p->pool, row, capacity, 0, usec_now()), 0);
        return w;
}

void small_pool_say(struct worker *w, uint8_t type, uint32_t value, uint64_t id)
{
        struct record record = raw_record(type, value, id);

        assert_int_equal(raw_send(w->channel.queue_fd, &record, sizeof(record), -1, 0), 0);
}

uint64_t small_pool_receive(struct worker *w, uint64_t *ret_id)
{
        struct record record;
        const char *why;
        uint64_t inode = 0;
        int fd = -1;

        assert_int_equal(wire_receive(w->channel.queue_fd, false, &record, &fd, &why), 0);
        if (fd >= 0)
                inode = inode_of(fd);
        fd_close(fd);
        *ret_id = record.id;
        return inode;
}

enum worker_state small_pool_state(const struct worker *w)
{
        return w->context->pool->workers[w->row].record->state;
}

int small_pool_run(struct small_pool *p)
{
        int r = 1;

        for (int i = 0; i < 1000 && r > 0; i++)
                r = sd_event_run(p->loop.event, 0);
        assert_int_not_equal(r, 1); /* it does not spin */

        return r;
}
