/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo in an edge-triggered loop of its own. For brevity, what a client does not take is lost.
 */

#include <acceptd.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int serve(struct acceptd_worker *w, struct acceptd_connection *c)
{
        char buffer[4096];
        ssize_t n;
        int r;

        while ((n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
                (void)send(c->fd, buffer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
                return 0;

        r = acceptd_worker_finish(w, c);
        free(c);
        return r;
}

static int receive(struct acceptd_worker *w, int epoll)
{
        struct acceptd_connection c;
        int r;

        while ((r = acceptd_worker_receive(w, &c, sizeof(c))) == ACCEPTD_CONNECTION) {
                struct epoll_event event = { .events = EPOLLIN | EPOLLET };

                event.data.ptr = malloc(sizeof(c));
                if (!event.data.ptr)
                        return -ENOMEM;
                *(struct acceptd_connection *)event.data.ptr = c;
                if (epoll_ctl(epoll, EPOLL_CTL_ADD, c.fd, &event) < 0)
                        return -errno;
        }
        return r;
}

int main(void)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLET };
        struct acceptd_worker *w = NULL;
        int epoll = epoll_create1(EPOLL_CLOEXEC), r = acceptd_worker_open(&w, 0);

        if (r >= 0)
                r = acceptd_worker_ready(w, 1000);
        if (r >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, acceptd_worker_get_fd(w), &event) < 0)
                r = -errno;
        while (r >= 0 && !acceptd_worker_is_finished(w)) {
                if (epoll_wait(epoll, &event, 1, -1) < 1)
                        continue;
                r = event.data.ptr ? serve(w, event.data.ptr) : receive(w, epoll);
        }
        return acceptd_worker_exit(w, r);
}
