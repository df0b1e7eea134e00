/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The way of a connection, and its way back: src/dispatcher/hand.c. Workers are channels only. */

#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "dispatcher/hand.h"
#include "small-pool.h"

static struct small_pool small;
static struct hand hand;

static int begin(void **state)
{
        leaks_begin(state);
        small_pool_init(&small);
        hand_init(&hand, &small.pool, small.workers, &small.loop);
        return 0;
}

static int end(void **state)
{
        hand_deinit(&hand);
        small_pool_done(&small);
        return leaks_end(state);
}

/* A connection is in hand. Returns its inode; *ret_client is the other end. */
static uint64_t put_one(int *ret_client)
{
        int pair[2];

        open_pair(SOCK_STREAM, pair);
        *ret_client = pair[1];
        hand_put(&hand, pair[0], pool_accepted(&small.pool, 0, usec_now()));
        assert_int_equal(hand.n, small.pool.n_in_hand);
        return inode_of(pair[0]);
}

static bool sees_end(int client)
{
        struct pollfd p = { .fd = client, .events = POLLIN };
        char byte;

        return poll(&p, 1, 0) == 1 && read(client, &byte, 1) == 0;
}

static void test_sent_and_closed(void **state _unused_)
{
        struct worker *w = small_pool_add_worker(&small, 0, 1);
        uint64_t inode, id;
        int client;

        inode = put_one(&client);
        assert_int_equal(hand_try_all(&hand), 0);
        assert_int_equal(hand.n, 0);
        assert_int_equal(small.pool.n_in_hand, 0);
        assert_false(sees_end(client));
        assert_int_equal(small_pool_receive(w, &id), inode);
        assert_true(sees_end(client)); /* the worker closed it, and nobody else had it */
        fd_close(client);
}

static void test_waits_for_credit(void **state _unused_)
{
        struct worker *w;
        uint64_t first, second, id;
        int clients[2];

        first = put_one(&clients[0]);
        second = put_one(&clients[1]);
        assert_int_equal(hand_try_all(&hand), 0);
        assert_int_equal(hand.n, 2);

        /* The older one goes first, and the other one takes its place. */
        w = small_pool_add_worker(&small, 0, 1);
        assert_int_equal(hand_try_all(&hand), 0);
        assert_int_equal(hand.n, 1);
        assert_int_equal(small_pool_receive(w, &id), first);
        assert_int_equal(pool_done(&small.pool, 0, id), 0);

        assert_int_equal(hand_try_all(&hand), 0);
        assert_int_equal(hand.n, 0);
        assert_int_equal(small_pool_receive(w, &id), second);
        fd_close(clients[0]);
        fd_close(clients[1]);
}

/* Its channel is shut down: it is killed, and the next one gets the connection. */
static void test_goes_to_another(void **state _unused_)
{
        struct worker *first = small_pool_add_worker(&small, 0, 1), *second;
        uint64_t inode, id;
        int client;

        inode = put_one(&client);
        assert_int_equal(shutdown(first->channel.queue_fd, SHUT_RDWR), 0);
        assert_int_equal(hand_try_all(&hand), 0);
        assert_int_equal(small_pool_state(first), WORKER_KILLED);
        assert_int_equal(hand.n, 1);

        second = small_pool_add_worker(&small, 1, 1);
        assert_int_equal(hand_try_all(&hand), 0);
        assert_int_equal(small_pool_receive(second, &id), inode);
        fd_close(client);
}

/* Else all workers would be killed, one after the other, for what none of them did. */
static void test_own_fault_is_not_the_workers(void **state _unused_)
{
        struct worker *w = small_pool_add_worker(&small, 0, 1);
        int client, channel_fd;

        (void)put_one(&client);
        channel_fd = TAKE(w->channel.fd, -1);
        assert_int_equal(hand_try_all(&hand), -EBADF);
        w->channel.fd = channel_fd;
        assert_int_equal(small_pool_state(w), WORKER_READY);
        assert_int_equal(hand.n, 1);
        assert_int_equal(small.pool.n_in_hand, 1);
        assert_false(sees_end(client));
        fd_close(client);
}

static void test_refused(void **state _unused_)
{
        int clients[2];

        (void)put_one(&clients[0]);
        (void)put_one(&clients[1]);
        hand_refuse(&hand);
        assert_int_equal(hand.n, 0);
        assert_int_equal(small.pool.n_in_hand, 0);
        assert_true(sees_end(clients[0]));
        assert_true(sees_end(clients[1]));
        assert_int_equal(small.state.counters.refused[REFUSED_STRANDED], 2);
        assert_int_equal(hand.n_refused, 2);
        hand_log_refused(&hand);
        assert_int_equal(hand.n_refused, 0);
        fd_close(clients[0]);
        fd_close(clients[1]);
}

/* The queue of a worker that died is empty then, and its row free. */
static void test_taken_back(void **state _unused_)
{
        struct worker *dead = small_pool_add_worker(&small, 0, 1), *heir;
        uint64_t inode, id;
        int client;

        inode = put_one(&client);
        assert_int_equal(hand_try_all(&hand), 0);
        pool_killed(&small.pool, 0, usec_now());
        (void)pool_exited(&small.pool, 0, usec_now());
        assert_int_equal(hand_take_back(&hand, dead), 0);
        assert_int_equal(hand.n, 1);
        assert_int_equal(small_pool_state(dead), WORKER_NONE);

        heir = small_pool_add_worker(&small, 1, 1);
        assert_int_equal(hand_try_all(&hand), 0);
        assert_int_equal(small_pool_receive(heir, &id), inode);
        assert_int_equal(small.state.counters.taken_back, 1);
        fd_close(client);
}

/* A connection that is received without a descriptor to spare would be gone: unix(7). */
static void test_no_descriptor_to_take_it_back(void **state _unused_)
{
        struct worker *dead = small_pool_add_worker(&small, 0, 1);
        int client;

        (void)put_one(&client);
        assert_int_equal(hand_try_all(&hand), 0);
        pool_killed(&small.pool, 0, usec_now());
        (void)pool_exited(&small.pool, 0, usec_now());

        leave_descriptors(0);
        assert_int_equal(hand_take_back(&hand, dead), 0);
        assert_true(hand.exhausted);
        assert_int_equal(hand.n, 0);
        assert_int_equal(channel_count_queued(&dead->channel), 1);

        leave_descriptors(1);
        assert_int_equal(hand_take_back(&hand, dead), 0);
        assert_false(hand.exhausted);
        assert_int_equal(hand.n, 1);
        fd_close(client);
}

/* The kernel finds a name: unix(7), autobind. */
static void listen_somewhere(struct listener *listener)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *listener = LISTENER_NULL;
        listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(listener->fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
        assert_int_equal(listen(listener->fd, 8), 0);
}

static int connect_to(const struct listener *listener)
{
        struct sockaddr_un address = {};
        socklen_t len = sizeof(address);
        int client;

        assert_int_equal(getsockname(listener->fd, (struct sockaddr *)&address, &len), 0);
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, len), 0);
        return client;
}

static void test_accepted(void **state _unused_)
{
        struct worker *w = small_pool_add_worker(&small, 0, 1);
        struct listener listener;
        int client;
        uint64_t id;

        listen_somewhere(&listener);
        assert_int_equal(hand_accept(&hand, &listener), ACCEPT_EMPTY);
        client = connect_to(&listener);
        assert_int_equal(hand_accept(&hand, &listener), 0);
        assert_int_equal(hand.n, 0);
        assert_true(small_pool_receive(w, &id) > 0);
        assert_int_equal(small.state.counters.accepted, 1);
        /* nobody asked who it is */
        assert_int_equal(slots_get(&small.pool.slots, id)->source_kind, SOURCE_UNKNOWN);
        fd_close(client);
        fd_close(listener.fd);
}

/* Nothing has to be decided anew, however many are refused. */
static void test_refused_for_who_it_is(void **state _unused_)
{
        struct worker *w = small_pool_add_worker(&small, 0, 8);
        struct pool_decision decision;
        struct listener listener;
        int served, refused[3];
        uint64_t id;

        small.settings.max_per_source = 1;
        pool_settings_changed(&small.pool);
        for (int i = 0; i < 8 && small.pool.dirty; i++)
                pool_decide(&small.pool, usec_now(), &decision);
        listen_somewhere(&listener);
        served = connect_to(&listener);
        assert_int_equal(hand_accept(&hand, &listener), 0);
        assert_true(small_pool_receive(w, &id) > 0);
        small.pool.dirty = false; /* a sample is due */
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                refused[i] = connect_to(&listener);
                assert_int_equal(hand_accept(&hand, &listener), 0);
                assert_true(sees_end(refused[i]));
                fd_close(refused[i]);
        }
        assert_false(small.pool.dirty);
        assert_int_equal(hand.n, 0);
        assert_int_equal(slots_get(&small.pool.slots, id)->source_kind, SOURCE_UID);
        assert_int_equal(small.state.counters.accepted, 4);
        assert_int_equal(small.state.counters.refused[REFUSED_SOURCE], 3);
        assert_int_equal(small.pool.slots.n_used, 1);
        fd_close(served);
        fd_close(listener.fd);
}

#define HAND(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                HAND(test_sent_and_closed),
                HAND(test_waits_for_credit),
                HAND(test_goes_to_another),
                HAND(test_own_fault_is_not_the_workers),
                HAND(test_refused),
                HAND(test_taken_back),
                HAND(test_no_descriptor_to_take_it_back),
                HAND(test_accepted),
                HAND(test_refused_for_who_it_is),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
