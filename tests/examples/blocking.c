/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <acceptd.h>
#include <unistd.h>
int main(void)
{
        struct acceptd_worker *w = NULL;
        struct acceptd_connection c;
        int r = acceptd_worker_open(&w, ACCEPTD_BLOCKING);
        if (r >= 0)
                r = acceptd_worker_ready(w, 1);
        while (r >= 0 && (r = acceptd_worker_wait(w, &c, sizeof(c), ACCEPTD_FOREVER)) == 1) {
                (void)!write(c.fd, "Hello\n", 6);
                r = acceptd_worker_finish(w, &c);
        }
        return acceptd_worker_exit(w, r);
}
