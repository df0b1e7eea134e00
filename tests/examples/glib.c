/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo in the main loop of GLib. For brevity, what a client does not take is lost. */

#include <acceptd.h>
#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>

static struct acceptd_worker *w;
static GMainLoop *loop;
static int result;

static void on_result(int r)
{
        result = r;
        if (r < 0 || acceptd_worker_is_finished(w))
                g_main_loop_quit(loop);
}

static gboolean on_client(gint fd, GIOCondition condition, gpointer userdata)
{
        char buffer[4096];
        ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

        (void)condition;
        if (n > 0)
                (void)send(fd, buffer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0 || (n < 0 && errno == EAGAIN))
                return G_SOURCE_CONTINUE;

        on_result(acceptd_worker_finish(w, userdata));
        g_free(userdata);
        return G_SOURCE_REMOVE;
}

static gboolean on_channel(gint fd, GIOCondition condition, gpointer userdata)
{
        struct acceptd_connection c;
        int r;

        (void)fd, (void)condition, (void)userdata;
        while ((r = acceptd_worker_receive(w, &c, sizeof(c))) == ACCEPTD_CONNECTION)
                g_unix_fd_add(c.fd, G_IO_IN | G_IO_HUP, on_client, g_memdup2(&c, sizeof(c)));
        on_result(r);
        return G_SOURCE_CONTINUE;
}

int main(void)
{
        int r = acceptd_worker_open(&w, 0);

        if (r >= 0)
                r = acceptd_worker_ready(w, 1000);
        if (r >= 0) {
                loop = g_main_loop_new(NULL, FALSE);
                g_unix_fd_add(acceptd_worker_get_fd(w), G_IO_IN, on_channel, NULL);
                g_main_loop_run(loop);
                g_main_loop_unref(loop);
                r = result;
        }
        return acceptd_worker_exit(w, r);
}
