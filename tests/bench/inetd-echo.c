/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * cat without its start-up: what a program in C that serves one connection on stdin and stdout
 * costs at least. For systemd's Accept=yes and its kin.
 */

#include <unistd.h>

int main(void)
{
        char buffer[65536];
        ssize_t n;

        while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0)
                for (ssize_t sent = 0, k; sent < n; sent += k) {
                        k = write(STDOUT_FILENO, buffer + sent, (size_t)(n - sent));
                        if (k < 0)
                                return 1;
                }

        return n < 0;
}
