/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What keys of one kind have in common: how a value is read, reset and written. Knows the row that
 * it is given and no other, and nothing of sections, sources and messages.
 */

#include <inttypes.h>

#include "base/words.h"
#include "settings/settings-types.h"

static int parse_number(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        uint64_t number = 0;
        const char *s;

        if (row->word && streq(value, row->word)) {
                *(uint32_t *)field = (uint32_t)row->word_value;
                return 0;
        }

        /* one past the maximum is enough to know: no overflow, however many digits follow */
        for (s = value; *s >= '0' && *s <= '9'; s++)
                number = MIN(number * 10 + (uint64_t)(*s - '0'), row->maximum + 1);

        if (*s != '\0')
                *ret_problem = "not a number";
        else if (number < row->minimum)
                *ret_problem = "too small";
        else if (number > row->maximum)
                *ret_problem = "too large";
        else {
                *(uint32_t *)field = (uint32_t)number;
                return 0;
        }

        return -EINVAL;
}

static void reset_number(const struct settings_row *row, void *field)
{
        *(uint32_t *)field = (uint32_t)row->default_value;
}

static void print_number(const struct settings_row *row, const void *field, FILE *f)
{
        uint32_t number = *(const uint32_t *)field;

        if (row->word && number == row->word_value)
                fputs(row->word, f);
        else if (number <= row->maximum)
                fprintf(f, "%" PRIu32, number);
}

static void print_allowed_numbers(const struct settings_row *row, FILE *f)
{
        if (row->word)
                fprintf(f, "%s, or ", row->word);
        fprintf(f, "%" PRIu64 " to %" PRIu64, row->minimum, row->maximum);
}

const struct settings_type settings_type_number = {
        .parse = parse_number,
        .reset = reset_number,
        .print = print_number,
        .print_allowed = print_allowed_numbers,
};

static int parse_time(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        usec_t time;
        int r;

        r = usec_parse(value, &time);
        if (r == -ERANGE ||
                (r == 0 && time > row->maximum && !(row->word && time == row->word_value)))
                *ret_problem = "too long";
        else if (r < 0)
                *ret_problem = "not a time span";
        else if (time < row->minimum && !(row->word && time == row->word_value))
                *ret_problem = "too short";
        else {
                *(usec_t *)field = time;
                return 0;
        }

        return -EINVAL;
}

static void reset_time(const struct settings_row *row, void *field)
{
        *(usec_t *)field = row->default_value;
}

static void print_time(const struct settings_row *row, const void *field, FILE *f)
{
        char buffer[USEC_FORMAT_SIZE];

        (void)row;
        fputs(usec_format(*(const usec_t *)field, buffer), f);
}

static void print_allowed_times(const struct settings_row *row, FILE *f)
{
        char minimum[USEC_FORMAT_SIZE], maximum[USEC_FORMAT_SIZE];

        fprintf(f, "%s to %s%s%s, such as 5s, 2min or 1h 30min", usec_format(row->minimum, minimum),
                usec_format(row->maximum, maximum), row->word ? " or " : "",
                row->word ? row->word : "");
}

const struct settings_type settings_type_time = {
        .parse = parse_time,
        .reset = reset_time,
        .print = print_time,
        .print_allowed = print_allowed_times,
};

/* As systemd has them: each is 1024 of the one before. */
static const char size_units[] = "KMGTP";

/* Reads the number of bytes. More than the maximum is one past it: no overflow. */
static bool read_size(const char *value, uint64_t maximum, uint64_t *ret)
{
        uint64_t size = 0;
        const char *s = value, *unit;

        for (; *s >= '0' && *s <= '9'; s++)
                size = MIN(size * 10 + (uint64_t)(*s - '0'), maximum + 1);
        if (s == value)
                return false;

        unit = *s != '\0' ? strchr(size_units, *s) : NULL;
        for (ptrdiff_t i = unit ? unit - size_units + 1 : 0; i > 0; i--)
                size = MIN(size * 1024, maximum + 1);
        s += unit != NULL;
        *ret = size;
        return *s == '\0';
}

static int parse_size(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        uint64_t size;

        if (row->word && streq(value, row->word)) {
                *(uint64_t *)field = row->word_value;
                return 0;
        }

        if (!read_size(value, row->maximum, &size))
                *ret_problem = "not a size";
        else if (size < row->minimum)
                *ret_problem = "too small";
        else if (size > row->maximum)
                *ret_problem = "too large";
        else {
                *(uint64_t *)field = size;
                return 0;
        }

        return -EINVAL;
}

static void reset_size(const struct settings_row *row, void *field)
{
        *(uint64_t *)field = row->default_value;
}

/* In the largest unit that leaves no remainder */
static void write_size(uint64_t size, FILE *f)
{
        size_t i = 0;

        while (size > 0 && size % 1024 == 0 && i < strlen(size_units)) {
                size /= 1024;
                i++;
        }
        fprintf(f, "%" PRIu64 "%.*s", size, i > 0 ? 1 : 0, size_units + MAX(i, (size_t)1) - 1);
}

static void print_size(const struct settings_row *row, const void *field, FILE *f)
{
        uint64_t size = *(const uint64_t *)field;

        if (row->word && size == row->word_value)
                fputs(row->word, f);
        else
                write_size(size, f);
}

static void print_allowed_sizes(const struct settings_row *row, FILE *f)
{
        write_size(row->minimum, f);
        fputs(" to ", f);
        write_size(row->maximum, f);
        fprintf(f, "%s%s, such as 300M or 2G", row->word ? " or " : "", row->word ? row->word : "");
}

const struct settings_type settings_type_size = {
        .parse = parse_size,
        .reset = reset_size,
        .print = print_size,
        .print_allowed = print_allowed_sizes,
};

/* The field of a choice is an enum from 0 on, which gcc and clang store as unsigned int. */

static int parse_choice(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        for (unsigned i = 0; row->names[i]; i++)
                if (streq(value, row->names[i])) {
                        *(unsigned *)field = i;
                        return 0;
                }

        *ret_problem = "unknown";
        return -EINVAL;
}

static void reset_choice(const struct settings_row *row, void *field)
{
        *(unsigned *)field = (unsigned)row->default_value;
}

static void print_choice(const struct settings_row *row, const void *field, FILE *f)
{
        fputs(row->names[*(const unsigned *)field], f);
}

static void print_allowed_choices(const struct settings_row *row, FILE *f)
{
        for (unsigned i = 0; row->names[i]; i++)
                fprintf(f, "%s%s", i > 0 ? ", " : "", row->names[i]);
}

const struct settings_type settings_type_choice = {
        .parse = parse_choice,
        .reset = reset_choice,
        .print = print_choice,
        .print_allowed = print_allowed_choices,
};

/* The words that systemd takes, see systemd.syntax(7). */
static const char *const yes_words[] = { "yes", "y", "true", "t", "on", "1", NULL };
static const char *const no_words[] = { "no", "n", "false", "f", "off", "0", NULL };

static bool is_among(const char *value, const char *const *words)
{
        for (; *words; words++)
                if (strcasecmp(value, *words) == 0)
                        return true;

        return false;
}

static int parse_boolean(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        bool yes = is_among(value, yes_words);

        (void)row;
        if (!yes && !is_among(value, no_words)) {
                *ret_problem = "neither yes nor no";
                return -EINVAL;
        }

        *(bool *)field = yes;
        return 0;
}

static void reset_boolean(const struct settings_row *row, void *field)
{
        *(bool *)field = row->default_value;
}

static void print_boolean(const struct settings_row *row, const void *field, FILE *f)
{
        (void)row;
        fputs(*(const bool *)field ? "yes" : "no", f);
}

static void print_allowed_booleans(const struct settings_row *row, FILE *f)
{
        (void)row;
        fputs("yes, no", f);
}

const struct settings_type settings_type_boolean = {
        .parse = parse_boolean,
        .reset = reset_boolean,
        .print = print_boolean,
        .print_allowed = print_allowed_booleans,
};

static int parse_command(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        _cleanup_(words_freep) char **words = NULL;
        int r;

        (void)row;
        r = words_split(value, &words, ret_problem);
        if (r < 0)
                return r;

        return settings_types_take_command(TAKE_PTR(words), field, ret_problem);
}

/* A name is looked for when the service starts. The prefixes of ExecStart= are none: what they
 * stand for is not done here. */
static bool can_be_program(const char *word)
{
        return word[0] == '/' ||
               (word[0] != '\0' && !strchr(word, '/') && !strchr("-@:+!|", word[0]));
}

int settings_types_take_command(char **words_consume, char ***field, const char **ret_problem)
{
        if (!words_consume[0] || !can_be_program(words_consume[0])) {
                *ret_problem = "does not start with an absolute path or a name";
                words_free(words_consume);
                return -EINVAL;
        }

        words_free(*field);
        *field = words_consume;
        return 0;
}

static void reset_command(const struct settings_row *row, void *field)
{
        char ***command = field;

        (void)row;
        words_free(*command);
        *command = NULL;
}

static void print_command(const struct settings_row *row, const void *field, FILE *f)
{
        char *const *const *command = field;

        (void)row;
        if (*command)
                words_print(*command, f);
}

static void print_allowed_commands(const struct settings_row *row, FILE *f)
{
        (void)row;
        fputs("an absolute path or a name, and arguments, quoted as in systemd.service(5)", f);
}

const struct settings_type settings_type_command = {
        .parse = parse_command,
        .reset = reset_command,
        .print = print_command,
        .print_allowed = print_allowed_commands,
};
