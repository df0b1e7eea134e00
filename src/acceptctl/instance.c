/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Finding instances by their files and sockets. Only the control socket is ever connected to: the
 * listening sockets would start the instance.
 */

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "acceptctl/instance.h"
#include "base/fd.h"
#include "base/words.h"
#include "varlink/client.h"
#include "varlink/interfaces.h"
#include "varlink/message.h"

/* Opens what is below the root, and never leaves that: a symlink in a tree of somebody else may
 * lead to this machine's own sockets. Returns a descriptor or -errno. */
static int open_below(const struct places *places, const char *path, int flags)
{
        struct open_how how = {
                .flags = (unsigned)(flags | O_CLOEXEC),
                .resolve = RESOLVE_IN_ROOT,
        };
        _cleanup_(fd_closep) int root = -1;
        int fd;

        if (places->root[0] == '\0') {
                fd = open(path, flags | O_CLOEXEC);
                return fd < 0 ? -errno : fd;
        }

        root = open(places->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return -errno;

        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
        return fd < 0 ? -errno : fd;
}

static bool exists(const struct places *places, const char *path, int flags)
{
        int fd = open_below(places, path, O_PATH | flags);

        if (fd < 0)
                return false;

        (void)fd_close(fd);
        return true;
}

bool instance_read_file(const struct places *places, const char *path, char *text, size_t size)
{
        _cleanup_(fd_closep) int fd = open_below(places, path, O_RDONLY);
        ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

        if (n < 0)
                return false;

        text[n] = '\0';
        return true;
}

/* Returns a path for the caller to free, or NULL without memory. */
static char *socket_path(const char *name)
{
        char *path;

        return asprintf(&path, "/run/acceptd/%s/" VARLINK_POOL_SOCKET, name) < 0 ? NULL : path;
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
static int scan(char ***names, size_t *n, const struct places *places, const char *folder,
        const char *ending)
{
        int fd = open_below(places, folder, O_RDONLY | O_DIRECTORY);
        struct dirent *entry;
        int r = 0;
        DIR *dir;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        dir = fdopendir(fd);
        if (!dir) {
                r = -errno;
                (void)fd_close(fd);
                return r;
        }

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
                _cleanup_(freep) char *path = socket_path(names[i]);

                if (path && exists(places, path, 0))
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
        _cleanup_(words_freep) char **names = calloc(1, sizeof(*names));
        size_t n = 0;
        int r;

        if (!names)
                return -ENOMEM;

        r = scan(&names, &n, places, "/run/acceptd", "");
        if (r < 0)
                return r;
        drop_others(places, names, &n);
        r = scan(&names, &n, places, "/etc/acceptd", ".conf");
        if (r < 0)
                return r;

        qsort(names, n, sizeof(*names), compare);
        *ret_names = TAKE_PTR(names);
        return 0;
}

bool instance_is_configured(const struct places *places, const char *name)
{
        _cleanup_(freep) char *path = NULL;

        return asprintf(&path, "/etc/acceptd/%s.conf", name) >= 0 && exists(places, path, 0);
}

bool instance_can_be_seen(const struct places *places)
{
        return places->root[0] == '\0' || exists(places, "/run/systemd/units", 0);
}

/* There is no control socket. What runs has a link there, made by systemd, that leads nowhere. */
static int explain_no_socket(const struct places *places, const char *name)
{
        _cleanup_(freep) char *link = NULL;

        if (asprintf(&link, "/run/systemd/units/invocation:acceptd@%s.service", name) < 0)
                return -ENOMEM;

        return exists(places, link, O_NOFOLLOW) ? INSTANCE_DEAF : INSTANCE_STOPPED;
}

/* As varlink_connect() */
static int connect_to(const struct places *places, const char *path, usec_t deadline,
        struct varlink_stream *ret_stream)
{
        _cleanup_(fd_closep) int fd = -1;
        char link[32];

        if (places->root[0] == '\0')
                return varlink_connect(path, deadline, ret_stream);

        fd = open_below(places, path, O_PATH);
        if (fd < 0)
                return fd;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        return varlink_connect(link, deadline, ret_stream);
}

int instance_open(const struct places *places, const char *name, const char *method,
        json_t *parameters_consume, bool more, usec_t deadline, struct varlink_stream *ret_stream)
{
        _cleanup_(freep) char *path = socket_path(name);
        json_auto_t *parameters = parameters_consume;
        struct varlink_stream stream = VARLINK_STREAM_NULL;
        int r;

        if (!path || !parameters)
                return -ENOMEM;

        r = connect_to(places, path, deadline, &stream);
        if (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR)
                return explain_no_socket(places, name);
        if (r < 0)
                return r;

        r = varlink_send_call(&stream, method, TAKE_PTR(parameters), more, deadline);
        if (r < 0) {
                varlink_stream_done(&stream);
                return instance_explain_end(r);
        }

        *ret_stream = stream;
        return 0;
}

int instance_explain_end(int error)
{
        /* The dispatcher hangs up on strangers. */
        return error == -ECONNRESET && geteuid() != 0 ? -EACCES : error;
}

int instance_call(const struct places *places, const char *name, const char *method,
        json_t *parameters_consume, usec_t timeout, json_t **ret_reply)
{
        usec_t deadline = usec_add(usec_now(), timeout);
        struct varlink_stream stream = VARLINK_STREAM_NULL;
        int r;

        r = instance_open(places, name, method, parameters_consume, false, deadline, &stream);
        if (r < 0)
                return r;

        r = varlink_receive_reply(&stream, deadline, ret_reply);
        varlink_stream_done(&stream);
        return instance_explain_end(r);
}

static bool is_pattern(const char *text)
{
        return strpbrk(text, "*?[") != NULL;
}

/* Adds all instances that match. Returns 0, -ESRCH where there is none, or -errno. */
static int add_matches(const struct places *places, const char *pattern, char ***names, size_t *n)
{
        _cleanup_(words_freep) char **all = NULL;
        bool found = false;
        int r;

        r = instance_list(places, &all);
        for (size_t i = 0; r >= 0 && all[i]; i++) {
                char *name;

                if (fnmatch(pattern, all[i], 0) != 0)
                        continue;
                found = true;
                name = strdup(all[i]);
                r = name ? add_name(names, n, name) : -ENOMEM;
        }

        return r < 0 || found ? r : -ESRCH;
}

int instance_expand(
        const struct places *places, char *const *texts, char ***ret_names, const char **ret_wrong)
{
        _cleanup_(words_freep) char **names = calloc(1, sizeof(*names));
        size_t n = 0;
        int r = names ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && texts[i]; i++) {
                _cleanup_(freep) char *name = instance_parse_name(texts[i]);

                *ret_wrong = texts[i];
                if (!name)
                        return -EINVAL;
                r = is_pattern(name) ? add_matches(places, name, &names, &n)
                                     : add_name(&names, &n, TAKE_PTR(name));
        }

        if (r >= 0)
                *ret_names = TAKE_PTR(names);
        return r;
}

const char *instance_name_error(int error)
{
        return error == INSTANCE_STOPPED ? "stopped"
               : error == -EACCES        ? "running" /* all that others than root can know */
               : error == -ETIMEDOUT     ? "no answer"
               : error == INSTANCE_DEAF  ? "unreachable"
                                         : "unknown";
}
