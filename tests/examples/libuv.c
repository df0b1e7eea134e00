/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo in the loop of libuv. For brevity, what a client does not take is lost. */

#include <acceptd.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

struct client {
        uv_poll_t poll;
        struct acceptd_connection c;
};

static struct acceptd_worker *w;
static uv_poll_t channel;
static int result;

static void on_result(int r)
{
        result = r;
        if (r < 0 || acceptd_worker_is_finished(w))
                uv_stop(channel.loop);
}

static void on_closed(uv_handle_t *handle)
{
        struct client *client = (struct client *)handle;

        on_result(acceptd_worker_finish(w, &client->c));
        free(client);
}

static void on_client(uv_poll_t *poll, int status, int events)
{
        struct client *client = (struct client *)poll;
        char buffer[4096];
        ssize_t n = recv(client->c.fd, buffer, sizeof(buffer), MSG_DONTWAIT);

        (void)status, (void)events;
        if (n > 0)
                (void)send(client->c.fd, buffer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        else if (n == 0 || errno != EAGAIN)
                uv_close((uv_handle_t *)poll, on_closed);
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
        struct acceptd_connection c;
        int r;

        (void)status, (void)events;
        while ((r = acceptd_worker_receive(w, &c, sizeof(c))) == ACCEPTD_CONNECTION) {
                struct client *client = malloc(sizeof(*client));

                if (!client)
                        abort();
                client->c = c;
                uv_poll_init(poll->loop, &client->poll, c.fd);
                uv_poll_start(&client->poll, UV_READABLE, on_client);
        }
        on_result(r);
}

int main(void)
{
        int r = acceptd_worker_open(&w, 0);

        if (r >= 0)
                r = acceptd_worker_ready(w, 1000);
        if (r >= 0) {
                uv_poll_init(uv_default_loop(), &channel, acceptd_worker_get_fd(w));
                uv_poll_start(&channel, UV_READABLE, on_channel);
                uv_run(uv_default_loop(), UV_RUN_DEFAULT);
                r = result;
        }
        return acceptd_worker_exit(w, r);
}
