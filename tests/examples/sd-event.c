/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo in the loop of sd-event(3). For brevity, what a client does not take is lost. */

#include <acceptd.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

static struct acceptd_worker *w;

static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct acceptd_connection *c = userdata;
        char buffer[4096];
        ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        int r;

        (void)events;
        if (n > 0)
                (void)send(fd, buffer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0 || (n < 0 && errno == EAGAIN))
                return 0;

        sd_event_source_disable_unref(source);
        r = acceptd_worker_finish(w, c);
        free(c);
        return r;
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        sd_event *loop = sd_event_source_get_event(source);
        struct acceptd_connection c, *copy;
        int r;

        (void)fd, (void)events, (void)userdata;
        while ((r = acceptd_worker_receive(w, &c, sizeof(c))) == ACCEPTD_CONNECTION) {
                sd_event_source *client;

                copy = malloc(sizeof(c));
                if (!copy)
                        return -ENOMEM;
                *copy = c;
                r = sd_event_add_io(loop, &client, c.fd, EPOLLIN, on_client, copy);
                if (r < 0)
                        return r;
        }
        return r < 0 || acceptd_worker_is_finished(w) ? sd_event_exit(loop, r < 0 ? r : 0) : 0;
}

int main(void)
{
        sd_event *loop = NULL;
        int r = sd_event_default(&loop);

        if (r >= 0)
                r = acceptd_worker_open(&w, 0);
        if (r >= 0)
                r = acceptd_worker_ready(w, 1000);
        if (r >= 0)
                r = sd_event_add_io(
                        loop, NULL, acceptd_worker_get_fd(w), EPOLLIN, on_channel, NULL);
        if (r >= 0)
                r = sd_event_loop(loop);
        sd_event_unref(loop);
        return acceptd_worker_exit(w, r);
}
