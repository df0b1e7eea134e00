/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The settings as a whole: finding the key, sources, messages. The keys are in settings-table.c.
 * Must not know where text comes from (`source` is only repeated), and asks the system for nothing.
 */

#include <inttypes.h>

#include "base/words.h"
#include "settings/settings-table.h"

#define SHOWN_MAX 80 /* of a wrong value in a message */

#define WHITESPACE " \t\n\r"

static void *field_of(struct settings *s, size_t i)
{
        return (uint8_t *)s + settings_table[i].offset;
}

static const void *const_field_of(const struct settings *s, size_t i)
{
        return (const uint8_t *)s + settings_table[i].offset;
}

static const char *source_of(const struct settings *s, size_t i)
{
        return s->sources[i] ? s->sources[i] : "default";
}

void settings_init(struct settings *s)
{
        *s = (struct settings){ 0 };

        for (size_t i = 0; i < SETTING_COUNT; i++)
                settings_table[i].type->reset(&settings_table[i], field_of(s, i));
}

void settings_done(struct settings *s)
{
        if (!s)
                return;

        for (size_t i = 0; i < SETTING_COUNT; i++)
                free(s->sources[i]);
        words_free(s->command);
        free(s->source_exempt);
        words_free(s->overload_reply);
        *s = (struct settings){ 0 };
}

/* A message is written as to a file. */

struct message {
        char *text;
        size_t size;
        FILE *f;
};

static int message_begin(struct message *m)
{
        *m = (struct message){ 0 };
        m->f = open_memstream(&m->text, &m->size);
        return m->f ? 0 : -ENOMEM;
}

/* Gives the text away. Returns -EINVAL, which is what a message is about, or -ENOMEM. */
static int message_end(struct message *m, char **ret_message)
{
        bool failed = ferror(m->f);

        if (fclose(m->f) != 0 || failed) {
                free(m->text);
                return -ENOMEM;
        }

        *ret_message = m->text;
        return -EINVAL;
}

static void print_known_sections(FILE *f)
{
        const char *previous = NULL;

        fputs(" (known:", f);
        for (size_t i = 0; i < SETTING_COUNT; i++) {
                const char *section = settings_table[i].section;

                if (previous && streq(section, previous))
                        continue;
                fprintf(f, "%s [%s]", previous ? "," : "", section);
                previous = section;
        }
        fputc(')', f);
}

/* The keys of one section, or all with NULL. */
static void print_known_keys(const char *section, FILE *f)
{
        const char *separator = "";

        fputs(" (known:", f);
        for (size_t i = 0; i < SETTING_COUNT; i++) {
                const struct settings_row *row = &settings_table[i];

                if (section && !streq(row->section, section))
                        continue;
                fprintf(f, "%s %s=", separator, row->key);
                separator = ",";
        }
        fputc(')', f);
}

static bool is_section(const char *section)
{
        for (size_t i = 0; i < SETTING_COUNT; i++)
                if (streq(settings_table[i].section, section))
                        return true;

        return false;
}

/* Returns the place of the key in the table, or SETTING_COUNT. */
static size_t find_key(const char *key)
{
        size_t i = 0;

        while (i < SETTING_COUNT && !streq(settings_table[i].key, key))
                i++;

        return i;
}

/* The key is unknown, or in a section that is not its own. */
static int complain_of_place(const char *section, const char *key, char **ret_message)
{
        size_t i = find_key(key);
        struct message m;
        int r;

        r = message_begin(&m);
        if (r < 0)
                return r;

        if (section && *section != '\0' && !is_section(section)) {
                fputs("there is no section [", m.f);
                words_print_safely(section, SHOWN_MAX, m.f);
                fputc(']', m.f);
                print_known_sections(m.f);
        } else if (i < SETTING_COUNT) {
                if (section && *section != '\0')
                        fprintf(m.f, "[%s] has no key %s=, it belongs to", section, key);
                else
                        fprintf(m.f, "%s= is in no section, it belongs to", key);
                fprintf(m.f, " [%s]", settings_table[i].section);
        } else {
                if (section && *section != '\0')
                        fprintf(m.f, "[%s] has", section);
                else
                        fputs("there is", m.f);
                fputs(" no key ", m.f);
                words_print_safely(key, SHOWN_MAX, m.f);
                fputc('=', m.f);
                print_known_keys(section && *section != '\0' ? section : NULL, m.f);
        }

        return message_end(&m, ret_message);
}

static int complain_of_value(const char *section, const struct settings_row *row, const char *value,
        const char *problem, char **ret_message)
{
        struct message m;
        int r;

        r = message_begin(&m);
        if (r < 0)
                return r;

        if (section)
                fprintf(m.f, "[%s] ", section);
        fprintf(m.f, "%s=", row->key);
        words_print_safely(value, SHOWN_MAX, m.f);
        fprintf(m.f, ": %s (allowed: ", problem);
        row->type->print_allowed(row, m.f);
        fputc(')', m.f);

        return message_end(&m, ret_message);
}

/* Copies `text` without the white space around it. Returns NULL when memory ran out. */
static char *trim(const char *text, size_t length)
{
        while (length > 0 && strchr(WHITESPACE, *text)) {
                text++;
                length--;
        }
        while (length > 0 && strchr(WHITESPACE, text[length - 1]))
                length--;

        return strndup(text, length);
}

int settings_set(struct settings *s, const char *section, const char *key, const char *value,
        const char *source, char **ret_message)
{
        _cleanup_(freep) char *trimmed = trim(value, strlen(value)), *copy = strdup(source);
        const struct settings_row *row;
        const char *problem = NULL;
        size_t i = find_key(key);
        int r;

        *ret_message = NULL;
        if (!trimmed || !copy)
                return -ENOMEM;

        if (i == SETTING_COUNT || (section && !streq(section, settings_table[i].section)))
                return complain_of_place(section, key, ret_message);

        row = &settings_table[i];
        if (*trimmed == '\0') {
                row->type->reset(row, field_of(s, i));
                free(TAKE_PTR(s->sources[i]));
                return 0;
        }

        r = row->type->parse(row, trimmed, field_of(s, i), &problem);
        if (r == -EINVAL)
                return complain_of_value(section, row, trimmed, problem, ret_message);
        if (r < 0)
                return r;

        free(s->sources[i]);
        s->sources[i] = TAKE_PTR(copy);
        return 0;
}

int settings_assign(
        struct settings *s, const char *assignment, const char *source, char **ret_message)
{
        const char *equals = strchr(assignment, '=');
        _cleanup_(freep) char *key = NULL;
        struct message m;
        int r;

        *ret_message = NULL;
        if (equals) {
                key = trim(assignment, (size_t)(equals - assignment));
                return key ? settings_set(s, NULL, key, equals + 1, source, ret_message) : -ENOMEM;
        }

        r = message_begin(&m);
        if (r < 0)
                return r;

        words_print_safely(assignment, SHOWN_MAX, m.f);
        fputs(": not of the form Key=Value", m.f);
        return message_end(&m, ret_message);
}

int settings_set_command(
        struct settings *s, char *const *words, const char *source, char **ret_message)
{
        _cleanup_(words_freep) char **list = words_copy(words);
        _cleanup_(freep) char *copy = strdup(source);
        const char *problem = NULL;
        int r;

        *ret_message = NULL;
        if (!list || !copy)
                return -ENOMEM;

        r = settings_types_take_command(TAKE_PTR(list), &s->command, &problem);
        if (r < 0)
                return complain_of_value(NULL, &settings_table[SETTING_COMMAND],
                        words[0] ? words[0] : "", problem, ret_message);

        free(s->sources[SETTING_COMMAND]);
        s->sources[SETTING_COMMAND] = TAKE_PTR(copy);
        return 0;
}

void settings_resolve(struct settings *s, uint32_t n_cpus)
{
        if (s->workers == 0) {
                /* The same settings have to do on a machine with more processors. */
                uint32_t most = MIN(s->workers_max, WORKERS_LIMIT);

                s->workers = n_cpus == 0 ? 1 : MIN(n_cpus, most);
                s->resolved_cpus = n_cpus;
        }
        if (s->workers_max == UINT32_MAX)
                s->workers_max = s->workers;
}

static void print_value(const struct settings *s, size_t i, FILE *f)
{
        const struct settings_row *row = &settings_table[i];

        fprintf(f, "%s=", row->key);
        row->type->print(row, const_field_of(s, i), f);
}

/* Says that the value of `a` is `what` compared with that of `b`. */
static int complain_of_pair(
        const struct settings *s, size_t a, const char *what, size_t b, char **ret_message)
{
        struct message m;
        int r;

        r = message_begin(&m);
        if (r < 0)
                return r;

        print_value(s, a, m.f);
        fprintf(m.f, " (%s) is %s than ", source_of(s, a), what);
        print_value(s, b, m.f);
        fprintf(m.f, " (%s)", source_of(s, b));
        return message_end(&m, ret_message);
}

/* They are kept and read again as they are printed, and that is longer than what was written. */
static int check_size(const struct settings *s, char **ret_message)
{
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        int r;

        if (!f)
                return -ENOMEM;
        r = settings_print(s, f);
        if (fclose(f) != 0 || r < 0)
                return -ENOMEM;
        if (size <= SETTINGS_SIZE_MAX)
                return 0;

        *ret_message = strdup("The settings are too long: with what has to be written as an "
                              "escape, they are more than 1 MiB");
        return -E2BIG;
}

/* Set, and without a meaning where workers accept. WorkersMax= may say what it would be anyway: it
 * is always there in settings that are kept. */
static bool is_in_vain(const struct settings *s, size_t i)
{
        bool has_a_meaning = i == SETTING_WORKERS_MAX ? s->workers_max == s->workers
                                                      : !settings_table[i].needs_accept;

        return s->sources[i] && !has_a_meaning;
}

/* Accept=no */
static int check_without_accept(const struct settings *s, char **ret_message)
{
        size_t i = 0;
        struct message m;
        int r;

        while (i < SETTING_COUNT && !is_in_vain(s, i))
                i++;
        if (i == SETTING_COUNT && s->command)
                return 0;

        r = message_begin(&m);
        if (r < 0)
                return r;

        if (i < SETTING_COUNT) {
                print_value(s, i, m.f);
                fprintf(m.f, " (%s) is about connections, which workers accept unseen with ",
                        source_of(s, i));
        } else {
                fputs("Command= is not set, and the echo worker does not accept as it has to with ",
                        m.f);
        }
        print_value(s, SETTING_ACCEPT, m.f);
        fprintf(m.f, " (%s)", source_of(s, SETTING_ACCEPT));
        return message_end(&m, ret_message);
}

int settings_check(const struct settings *s, char **ret_message)
{
        *ret_message = NULL;

        if (!s->accept) {
                int r = check_without_accept(s, ret_message);

                if (r < 0)
                        return r;
        }

        if (s->workers_max < s->workers)
                return complain_of_pair(
                        s, SETTING_WORKERS_MAX, "less", SETTING_WORKERS, ret_message);
        if (s->workers_spare > s->workers_max)
                return complain_of_pair(
                        s, SETTING_WORKERS_SPARE, "more", SETTING_WORKERS_MAX, ret_message);
        if (s->restart_max_delay < s->restart)
                return complain_of_pair(
                        s, SETTING_RESTART_MAX_DELAY, "shorter", SETTING_RESTART, ret_message);

        return check_size(s, ret_message);
}

int settings_print(const struct settings *s, FILE *f)
{
        const char *section = NULL;

        for (size_t i = 0; i < SETTING_COUNT; i++) {
                const struct settings_row *row = &settings_table[i];

                if (row->needs_accept && !s->accept)
                        continue;
                if (!section || !streq(row->section, section))
                        fprintf(f, "%s[%s]\n", section ? "\n" : "", row->section);
                section = row->section;

                /* A comment of its own: behind a value it would be a part of the value. */
                fputs("# ", f);
                words_print_safely(source_of(s, i), SIZE_MAX, f);
                if (i == SETTING_WORKERS && s->resolved_cpus > 0)
                        fprintf(f, ": auto, %" PRIu32 " CPU%s", s->resolved_cpus,
                                s->resolved_cpus == 1 ? "" : "s");
                else if (!s->sources[i] && row->default_note)
                        fprintf(f, ": %s", row->default_note);
                fputc('\n', f);
                print_value(s, i, f);
                fputc('\n', f);
        }

        return fflush(f) != 0 || ferror(f) ? -EIO : 0;
}
