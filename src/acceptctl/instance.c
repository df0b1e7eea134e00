/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Finding instances by their files and sockets. Only the control socket is
 * ever connected to: the listening sockets would start the instance.
 */

#include <dirent.h>
#include <unistd.h>

#include "acceptctl/instance.h"
#include "base/words.h"
#include "varlink/client.h"
#include "varlink/interfaces.h"
#include "varlink/message.h"

/* Returns a path for the caller to free, or NULL without memory. */
_printf_(2, 3) static char *make_path(const struct places *places, const char *format, ...)
{
        _cleanup_(freep) char *end = NULL;
        char *path;
        va_list args;
        int r;

        va_start(args, format);
        r = vasprintf(&end, format, args);
        va_end(args);
        if (r < 0) {
                end = NULL;
                return NULL;
        }

        return asprintf(&path, "%s%s", places->root, end) < 0 ? NULL : path;
}

static char *socket_path(const struct places *places, const char *name)
{
        return make_path(places, "/run/acceptd/%s/" VARLINK_POOL_SOCKET, name);
}

static bool is_valid(const char *name)
{
        return *name != '\0' && *name != '.' && !strchr(name, '/');
}

static char *cut_ending(char *name, const char *ending)
{
        size_t n = strlen(name), m = strlen(ending);

        if (n > m && streq(name + n - m, ending))
                name[n - m] = '\0';

        return name;
}

char *instance_parse_name(const char *text)
{
        const char *rest = startswith(text, "acceptd@");
        char *name = strdup(rest ?: text);

        if (!name)
                return NULL;
        if (rest)
                cut_ending(cut_ending(name, ".service"), ".socket");
        if (!is_valid(name))
                free(TAKE_PTR(name));

        return name;
}

/* Adds the name, which the list takes over, unless it is in it already. */
static int add_name(char ***names, size_t *n, char *name_consume)
{
        char **larger;

        for (size_t i = 0; i < *n; i++)
                if (streq((*names)[i], name_consume)) {
                        free(name_consume);
                        return 0;
                }

        larger = realloc(*names, (*n + 2) * sizeof(*larger));
        if (!larger) {
                free(name_consume);
                return -ENOMEM;
        }
        larger[(*n)++] = name_consume;
        larger[*n] = NULL;
        *names = larger;

        return 0;
}

/* Adds what is in `folder` and ends with `ending`. A folder that is not there is empty. */
static int scan(char ***names, size_t *n, const char *folder, const char *ending)
{
        struct dirent *entry;
        DIR *dir = folder ? opendir(folder) : NULL;
        int r = 0;

        if (!folder)
                return -ENOMEM;
        if (!dir)
                return errno == ENOENT ? 0 : -errno;

        while (r >= 0 && (entry = readdir(dir))) {
                size_t length = strlen(entry->d_name), cut = strlen(ending);
                char *name;

                if (!is_valid(entry->d_name) || length <= cut ||
                        !streq(entry->d_name + length - cut, ending))
                        continue;
                name = strndup(entry->d_name, length - cut);
                r = name ? add_name(names, n, name) : -ENOMEM;
        }

        (void)closedir(dir);
        return r;
}

/* In /run/acceptd there are also sockets; an instance has a folder with its own. */
static void drop_others(const struct places *places, char **names, size_t *n)
{
        size_t kept = 0;

        for (size_t i = 0; i < *n; i++) {
                _cleanup_(freep) char *path = socket_path(places, names[i]);

                if (path && access(path, F_OK) == 0)
                        names[kept++] = names[i];
                else
                        free(names[i]);
        }

        if (names)
                names[kept] = NULL;
        *n = kept;
}

static int compare(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int instance_list(const struct places *places, char ***ret_names)
{
        _cleanup_(freep) char *running = make_path(places, "/run/acceptd");
        _cleanup_(freep) char *settings = make_path(places, "/etc/acceptd");
        _cleanup_(words_freep) char **names = calloc(1, sizeof(*names));
        size_t n = 0;
        int r;

        if (!names)
                return -ENOMEM;

        r = scan(&names, &n, running, "");
        if (r < 0)
                return r;
        drop_others(places, names, &n);
        r = scan(&names, &n, settings, ".conf");
        if (r < 0)
                return r;

        qsort(names, n, sizeof(*names), compare);
        *ret_names = TAKE_PTR(names);
        return 0;
}

bool instance_is_configured(const struct places *places, const char *name)
{
        _cleanup_(freep) char *path = make_path(places, "/etc/acceptd/%s.conf", name);

        return path && access(path, F_OK) == 0;
}

int instance_call(const struct places *places, const char *name, const char *method, usec_t timeout,
        json_t **ret_reply)
{
        _cleanup_(freep) char *path = socket_path(places, name);
        struct varlink_stream stream = VARLINK_STREAM_NULL;
        usec_t deadline = usec_add(usec_now(), timeout);
        int r;

        if (!path)
                return -ENOMEM;

        r = varlink_connect(path, deadline, &stream);
        if (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR)
                return INSTANCE_STOPPED;
        if (r < 0)
                return r;

        r = varlink_call(&stream, method, json_object(), deadline, ret_reply);
        varlink_stream_done(&stream);
        /* The dispatcher hangs up on all but root. */
        return r == -ECONNRESET && geteuid() != 0 ? -EACCES : r;
}
