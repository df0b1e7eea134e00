/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Command lines to lists of words and back. Used by the settings; knows nothing of files or of
 * starting a program.
 */

#include "base/words.h"

/* In pairs: the letter behind the backslash, the character that it stands for. */
static const char escapes[] = "a\ab\bf\fn\nr\rt\tv\v\\\\\"\"''s ";

static const char *const bad_escape =
        "unknown escape (allowed: \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\' \\s \\xHH \\NNN)";

static bool is_space(char c)
{
        return c != '\0' && strchr(" \t\n\r", c);
}

/* Reads exactly `n` digits. Returns the number, or -1. */
static int parse_digits(const char *s, size_t n, unsigned base)
{
        static const char digits[] = "0123456789abcdef";
        unsigned sum = 0;

        for (size_t i = 0; i < n; i++) {
                char lower = s[i] >= 'A' && s[i] <= 'F' ? (char)(s[i] + ('a' - 'A')) : s[i];
                const char *digit = lower == '\0' ? NULL : strchr(digits, lower);

                if (!digit || (size_t)(digit - digits) >= base)
                        return -1;
                sum = sum * base + (unsigned)(digit - digits);
        }

        return (int)sum;
}

/* Reads the escape behind a backslash at `*s`, and moves on behind it. */
static int parse_escape(const char **s, char *ret)
{
        bool hex = **s == 'x';
        int number;

        for (size_t i = 0; i + 1 < sizeof(escapes); i += 2)
                if (**s == escapes[i]) {
                        *ret = escapes[i + 1];
                        *s += 1;
                        return 0;
                }

        number = hex ? parse_digits(*s + 1, 2, 16) : parse_digits(*s, 3, 8);
        /* a word cannot hold a zero byte, and a byte cannot hold \777 */
        if (number < 1 || number > UINT8_MAX)
                return -EINVAL;

        *ret = (char)number;
        *s += 3;
        return 0;
}

/* Reads the word at `*text` into `word`, which has room for all of the text, and moves on. */
static int split_word(const char **text, char *word, const char **ret_problem)
{
        const char *s = *text;
        char quote = '\0';

        while (*s != '\0' && (quote != '\0' || !is_space(*s))) {
                if (*s == '\\') {
                        s++;
                        if (parse_escape(&s, word) < 0) {
                                *ret_problem = bad_escape;
                                return -EINVAL;
                        }
                        word++;
                } else if (quote == '\0' && (*s == '"' || *s == '\'')) {
                        quote = *s++;
                } else if (quote != '\0' && *s == quote) {
                        quote = '\0';
                        s++;
                } else {
                        *word++ = *s++;
                }
        }

        if (quote != '\0') {
                *ret_problem = "a quote is not closed";
                return -EINVAL;
        }

        *word = '\0';
        *text = s;
        return 0;
}

static int append_word(char ***words, size_t *n, const char *word)
{
        char **larger = reallocarray(*words, *n + 2, sizeof(char *));

        if (!larger)
                return -ENOMEM;
        *words = larger;

        larger[*n] = strdup(word);
        larger[*n + 1] = NULL;
        if (!larger[*n])
                return -ENOMEM;

        *n += 1;
        return 0;
}

int words_split(const char *text, char ***ret, const char **ret_problem)
{
        _cleanup_(words_freep) char **words = NULL;
        _cleanup_(freep) char *word = malloc(strlen(text) + 1);
        size_t n = 0;
        int r;

        words = calloc(1, sizeof(char *));
        if (!word || !words)
                return -ENOMEM;

        for (;;) {
                while (is_space(*text))
                        text++;
                if (*text == '\0')
                        break;

                r = split_word(&text, word, ret_problem);
                if (r < 0)
                        return r;

                r = append_word(&words, &n, word);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(words);
        return 0;
}

char **words_copy(char *const *words)
{
        _cleanup_(words_freep) char **copy = calloc(1, sizeof(char *));
        size_t n = 0;

        if (!copy)
                return NULL;

        for (; *words; words++)
                if (append_word(&copy, &n, *words) < 0)
                        return NULL;

        return TAKE_PTR(copy);
}

void words_free(char **words)
{
        for (char **w = words; w && *w; w++)
                free(*w);
        free(words);
}

static void print_escaped(char c, FILE *f)
{
        fprintf(f, "\\x%02x", (unsigned)(unsigned char)c);
}

static bool is_control(char c)
{
        return (unsigned char)c < ' ' || c == 0x7f;
}

void words_print(char *const *words, FILE *f)
{
        for (char *const *w = words; *w; w++) {
                bool quote = **w == '\0' || strpbrk(*w, " '\"\\");

                if (w != words)
                        fputc(' ', f);
                if (quote)
                        fputc('"', f);
                for (const char *s = *w; *s != '\0'; s++) {
                        if (*s == '"' || *s == '\\')
                                fputc('\\', f);
                        if (is_control(*s))
                                print_escaped(*s, f);
                        else
                                fputc(*s, f);
                }
                if (quote)
                        fputc('"', f);
        }
}

void words_print_safely(const char *text, size_t max, FILE *f)
{
        size_t i;

        for (i = 0; i < max && text[i] != '\0'; i++)
                if (is_control(text[i]) || (unsigned char)text[i] > 0x7f)
                        print_escaped(text[i], f);
                else
                        fputc(text[i], f);

        if (text[i] != '\0')
                fputs("...", f);
}

bool words_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
        char *end;
        unsigned long long n;

        errno = 0;
        n = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || n < min || n > max)
                return false;

        *ret = n;
        return true;
}

void words_flatten(char *text)
{
        for (; *text; text++)
                if ((unsigned char)*text < ' ' || *text == 0x7f)
                        *text = ' ';
}
