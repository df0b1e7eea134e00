/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Settings files: opening them, drop-ins, lines. inih takes a line apart into section, key and
 * value; what a value means is settings.c's matter. Files are read as in systemd.syntax(7): a
 * comment is a line of its own, a backslash at the end joins the next line.
 */

#include <dirent.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/words.h"
#include "settings/settings-file.h"

static const char *const not_understood =
        "not understood (allowed: [Section], Key=Value, and comments that start with # or ;)";

/* One file being read. */
struct reader {
        struct settings *settings;
        const char *path;
        FILE *file;
        unsigned line_number;       /* of the last physical line */
        unsigned first_line_number; /* of the logical line */
        char *line;                 /* the logical line, ends in a newline */
        size_t line_length;         /* without it */
        const char *rest;           /* what inih has not taken of it */
        int error;
        char *message;
};

_printf_(3, 4) static int complain(char **ret_message, int error, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(ret_message, format, arguments) < 0) {
                *ret_message = NULL;
                error = -ENOMEM;
        }
        va_end(arguments);
        return error;
}

/* Keeps the first mistake only: later ones may follow from it. */
static void reader_complain(struct reader *reader, const char *problem)
{
        if (reader->error == 0)
                reader->error = complain(&reader->message, -EINVAL, "%s:%u: %s", reader->path,
                        reader->first_line_number, problem);
}

static bool is_comment(const char *line)
{
        line += strspn(line, " \t");
        return *line == '#' || *line == ';';
}

/* Cuts the line ending off. If the line then ends in a backslash that is no escaped one, puts a
 * space in its place and returns true: the next line belongs to it. */
static bool cut_line(char *line)
{
        size_t length = strlen(line), n = 0;

        if (length > 0 && line[length - 1] == '\n')
                length--;
        if (length > 0 && line[length - 1] == '\r')
                length--;
        line[length] = '\0';

        while (n < length && line[length - 1 - n] == '\\')
                n++;
        if (n % 2 == 0)
                return false;

        line[length - 1] = ' ';
        return true;
}

/* Appends a physical line to the logical one, and the newline that inih looks for. */
static int reader_append(struct reader *reader, const char *line)
{
        size_t length = strlen(line);
        char *larger = realloc(reader->line, reader->line_length + length + 2);

        if (!larger)
                return -ENOMEM;

        memcpy(larger + reader->line_length, line, length);
        reader->line_length += length;
        memcpy(larger + reader->line_length, "\n", 2);
        reader->line = larger;
        return 0;
}

/* Reads the next logical line. Returns false at the end of the file and after an error. */
static bool reader_next(struct reader *reader)
{
        _cleanup_(freep) char *line = NULL;
        bool more = true;
        size_t size = 0;

        free(TAKE_PTR(reader->line));
        reader->line_length = 0;

        while (more) {
                ssize_t n = getline(&line, &size, reader->file);

                if (n < 0) {
                        if (!feof(reader->file))
                                reader->error = complain(&reader->message, -errno,
                                        "cannot read %s: %m", reader->path);
                        break;
                }

                reader->line_number++;
                if (is_comment(line))
                        continue;
                if (!reader->line)
                        reader->first_line_number = reader->line_number;

                if (strlen(line) != (size_t)n) {
                        reader_complain(reader, "a zero byte: this is not a text file");
                        break;
                }

                more = cut_line(line);
                if (reader_append(reader, line) < 0) {
                        reader->error = -ENOMEM;
                        break;
                }
        }

        return reader->line && reader->error == 0;
}

/* inih ignores what follows the bracket. */
static bool is_bad_header(const char *line)
{
        line += strspn(line, " \t");
        if (*line != '[')
                return false;

        line += strcspn(line, "]");
        return *line == '\0' || line[1 + strspn(line + 1, " \t\n")] != '\0';
}

/* fgets() for inih. */
static char *on_read(char *buffer, int size, void *stream)
{
        struct reader *reader = stream;
        size_t n;

        if (!reader->rest || *reader->rest == '\0') {
                if (!reader_next(reader))
                        return NULL;
                reader->rest = reader->line;

                if (is_bad_header(reader->line)) {
                        reader_complain(reader, "a section header is [Name], alone on its line");
                        return NULL;
                }
        }

        n = MIN(strlen(reader->rest), (size_t)size - 1);
        memcpy(buffer, reader->rest, n);
        buffer[n] = '\0';
        reader->rest += n;
        return buffer;
}

/* Returns, as inih wants it, 0 for a mistake. */
static int on_value(void *user, const char *section, const char *key, const char *value)
{
        _cleanup_(freep) char *source = NULL, *message = NULL;
        struct reader *reader = user;
        int r;

        /* inih also takes Key:Value */
        if (reader->line[strcspn(reader->line, "=:")] == ':') {
                reader_complain(reader, not_understood);
                return 0;
        }

        if (asprintf(&source, "%s:%u", reader->path, reader->first_line_number) < 0) {
                source = NULL;
                reader->error = -ENOMEM;
                return 0;
        }

        r = settings_set(reader->settings, section, key, value, source, &message);
        if (r < 0 && message)
                reader_complain(reader, message);
        else if (r < 0)
                reader->error = r;

        return r >= 0;
}

static int parse(struct settings *s, FILE *file, const char *path, char **ret_message)
{
        struct reader reader = { .settings = s, .file = file, .path = path };
        int r;

        /* Debian's libinih reads these at run time; its defaults cut lines at 200 bytes and values
         * at a semicolon. */
        ini_allow_inline_comments = false;
        ini_allow_multiline = false;
        ini_allow_no_value = false;
        ini_stop_on_first_error = true;
        ini_use_stack = false;
        ini_allow_realloc = true;
        ini_max_line = (int)SETTINGS_SIZE_MAX + 2;

        r = ini_parse_stream(on_read, &reader, on_value, &reader);
        if (r > 0)
                reader_complain(&reader, not_understood);
        else if (r < 0 && reader.error == 0)
                reader.error = -ENOMEM;

        free(reader.line);
        *ret_message = reader.message;
        return reader.error;
}

/* Returns the descriptor of a regular file, which is to be `what`. */
static int open_file(const char *path, const char *what, struct stat *ret_st, char **ret_message)
{
        /* O_NONBLOCK: whoever names a FIFO gets an answer, too. */
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        if (fd < 0 || fstat(fd, ret_st) < 0)
                return complain(ret_message, -errno, "cannot open %s: %m", path);

        if (S_ISDIR(ret_st->st_mode))
                return complain(ret_message, -EISDIR, "%s is a directory, not %s", path, what);
        if (!S_ISREG(ret_st->st_mode))
                return complain(ret_message, -EINVAL, "%s is not a regular file", path);

        return TAKE_FD(fd);
}

static int read_file(struct settings *s, const char *path, char **ret_message)
{
        _cleanup_(fclosep) FILE *file = NULL;
        _cleanup_(fd_closep) int fd = -1;
        struct stat st = {};

        fd = open_file(path, "a settings file", &st, ret_message);
        if (fd < 0)
                return fd;
        if (st.st_size > (off_t)SETTINGS_SIZE_MAX)
                return complain(ret_message, -EFBIG,
                        "%s is larger than 1 MiB: this is not a settings file", path);

        file = fdopen(fd, "r");
        if (!file)
                return -ENOMEM;
        (void)TAKE_FD(fd);

        return parse(s, file, path, ret_message);
}

static int is_drop_in(const struct dirent *entry)
{
        size_t length = strlen(entry->d_name);

        return entry->d_name[0] != '.' && length > strlen(".conf") &&
               streq(entry->d_name + length - strlen(".conf"), ".conf");
}

/* alphasort() would go by the locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_in(
        struct settings *s, const char *folder, const char *name, char **ret_message)
{
        _cleanup_(freep) char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }

        if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
                return 0;

        return read_file(s, path, ret_message);
}

int settings_file_read(struct settings *s, const char *path, char **ret_message)
{
        _cleanup_(freep) char *folder = NULL;
        struct dirent **entries = NULL;
        int n, r;

        *ret_message = NULL;
        r = read_file(s, path, ret_message);
        if (r == -ENOENT) {
                free(*ret_message);
                return complain(ret_message, r,
                        "%s does not exist; an instance needs its settings file: "
                        "see acceptd.conf(5)",
                        path);
        }
        if (r < 0)
                return r;

        if (asprintf(&folder, "%s.d", path) < 0) {
                folder = NULL;
                return -ENOMEM;
        }

        n = scandir(folder, &entries, is_drop_in, compare_names);
        if (n < 0 && errno == ENOENT)
                return 0;
        if (n < 0)
                return complain(ret_message, -errno, "cannot read the drop-ins in %s: %m", folder);

        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = read_drop_in(s, folder, entries[i]->d_name, ret_message);
                free(entries[i]);
        }

        free(entries);
        return r;
}

int settings_file_read_reply(struct settings *s, char **ret_message)
{
        _cleanup_(words_freep) char **words = NULL;
        char text[OVERLOAD_REPLY_MAX + 2];
        _cleanup_(fd_closep) int fd = -1;
        const char *path;
        struct stat st;
        ssize_t n;

        *ret_message = NULL;
        if (!s->overload_reply || s->overload_reply[1])
                return 0;

        path = s->overload_reply[0];
        fd = open_file(path, "a reply", &st, ret_message);
        if (fd < 0)
                return fd;
        n = pread(fd, text, sizeof(text) - 1, 0);
        if (n < 0)
                return complain(ret_message, -errno, "cannot read %s: %m", path);
        if (n > OVERLOAD_REPLY_MAX)
                return complain(ret_message, -EFBIG, "%s is larger than %d bytes", path,
                        OVERLOAD_REPLY_MAX);
        text[n] = '\0';
        if (strlen(text) != (size_t)n)
                return complain(ret_message, -EINVAL, "%s has a zero byte in it", path);

        words = words_copy((char *[]){ s->overload_reply[0], text, NULL });
        if (!words)
                return -ENOMEM;
        words_free(s->overload_reply);
        s->overload_reply = TAKE_PTR(words);
        return 0;
}
