/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * metrics: on standard output, or as the answer to one request of HTTP, which is all that a scrape
 * is. With --http, standard input and output are its connection, as acceptd-inetd(8) has it.
 */

#include <poll.h>
#include <strings.h>
#include <unistd.h>

#include "acceptctl/ask.h"
#include "acceptctl/metrics.h"
#include "base/words.h"

#define REQUEST_MAX  8192
#define REQUEST_USEC (5 * USEC_PER_SEC)

/* A scrape has to be answered while one instance hangs. */
#define SCRAPE_USEC (500 * USEC_PER_MSEC)

/* Returns the statuses by name, or NULL. One that is stopped and was not asked for is left out. */
static json_t *get_all(const struct arguments *a, char **names)
{
        _cleanup_(words_freep) char **all = NULL;
        struct arguments now = *a;
        json_t *statuses = json_object();

        if (!statuses || (!names[0] && instance_list(&a->places, &all) < 0))
                return statuses;

        now.deadline = usec_add(usec_now(), SCRAPE_USEC);
        for (char **name = names[0] ? names : all; *name; name++) {
                json_t *status = NULL;
                int r = ask_status(&now, *name, &status);

                /* Nor one that this user may not look at, as the one that it is a worker of. */
                if (r >= 0 || (r != INSTANCE_STOPPED && r != -EACCES) || names[0])
                        (void)json_object_set_new(statuses, *name, status ?: json_null());
        }

        return statuses;
}

/* --- HTTP --- */

/* Reads up to the empty line behind the heads. Returns false where there is none in time. */
static bool read_request(char *text, size_t size)
{
        usec_t end = usec_add(usec_now(), REQUEST_USEC), now;
        size_t n = 0;

        text[0] = '\0';
        while (!strstr(text, "\r\n\r\n") && !strstr(text, "\n\n")) {
                struct pollfd pollfd = { .fd = STDIN_FILENO, .events = POLLIN };
                ssize_t r;

                now = usec_now();
                if (now >= end || n + 1 >= size ||
                        poll(&pollfd, 1, (int)((end - now) / USEC_PER_MSEC + 1)) <= 0)
                        return false;
                r = read(STDIN_FILENO, text + n, size - 1 - n);
                if (r <= 0)
                        return false;
                n += (size_t)r;
                text[n] = '\0';
        }

        return true;
}

/* Whether an Accept: head names OpenMetrics, whatever it likes better. */
static bool wants_openmetrics(const char *request)
{
        for (const char *line = strchr(request, '\n'); line; line = strchr(line, '\n')) {
                line++;
                if (strncasecmp(line, "accept:", 7) == 0) {
                        const char *found = strstr(line, "application/openmetrics-text");

                        return found && found < line + strcspn(line, "\n");
                }
        }

        return false;
}

static void answer(const char *status, const char *type, const char *body, size_t size, bool head)
{
        printf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                status, type, size);
        if (!head)
                (void)fwrite(body, 1, size, stdout);
}

static void refuse(const char *status)
{
        char body[64];
        int n = snprintf(body, sizeof(body), "%s\n", status);

        answer(status, "text/plain", body, (size_t)n, false);
}

/* Returns an exit status. */
static int serve(const struct arguments *a, char **names)
{
        char request[REQUEST_MAX] = "";
        _cleanup_(freep) char *body = NULL;
        json_auto_t *statuses = NULL;
        bool openmetrics, head;
        const char *path;
        size_t size;
        FILE *f;

        if (!read_request(request, sizeof(request))) {
                refuse("400 Bad Request");
                return 0;
        }
        head = startswith(request, "HEAD ") != NULL;
        path = startswith(request, "GET ") ?: startswith(request, "HEAD ");
        if (!path) {
                refuse("405 Method Not Allowed");
                return 0;
        }
        if (strncmp(path, "/metrics", 8) != 0 || !strchr(" ?", path[8])) {
                refuse("404 Not Found");
                return 0;
        }

        statuses = get_all(a, names);
        openmetrics = wants_openmetrics(request);
        f = open_memstream(&body, &size);
        if (!statuses || !f) {
                refuse("503 Service Unavailable");
                return EXIT_FAILURE;
        }
        metrics_write(f, &a->places, statuses, openmetrics);
        if (fclose(f) != 0)
                refuse("503 Service Unavailable");
        else
                answer("200 OK", metrics_content_type(openmetrics), body, size, head);

        return 0;
}

int command_metrics(const struct arguments *a, char **names)
{
        json_auto_t *statuses = NULL;

        if (a->http)
                return serve(a, names);

        statuses = get_all(a, names);
        if (!statuses)
                return say_out_of_memory();
        metrics_write(stdout, &a->places, statuses, a->openmetrics);
        return 0;
}
