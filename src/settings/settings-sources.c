/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The kinds of settings that are about sources of connections, and about who is refused. As with
 * settings-types.c, each knows the row that it is given and no other.
 */

#include <inttypes.h>

#include "base/words.h"
#include "settings/settings-types.h"
#include "settings/settings.h"

/* --- So many in so much time --- */

#define RATE_MAX 100000u

static int parse_rate(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        const char *slash = strchr(value, '/');
        size_t length = slash ? (size_t)(slash - value) : 0;
        char number[16];
        uint64_t n;
        usec_t time;

        if (streq(value, "0")) {
                *(struct settings_rate *)field = (struct settings_rate){};
                return 0;
        }

        *ret_problem = "not a number of connections and a time";
        if (length == 0 || length >= sizeof(number))
                return -EINVAL;
        memcpy(number, value, length);
        number[length] = '\0';
        if (!words_parse_number(number, 1, RATE_MAX, &n) || usec_parse(slash + 1, &time) < 0 ||
                time < row->minimum || time > row->maximum)
                return -EINVAL;

        *(struct settings_rate *)field = (struct settings_rate){ .n = (uint32_t)n, .time = time };
        return 0;
}

static void reset_rate(const struct settings_row *row, void *field)
{
        (void)row;
        *(struct settings_rate *)field = (struct settings_rate){};
}

static void print_rate(const struct settings_row *row, const void *field, FILE *f)
{
        const struct settings_rate *rate = field;
        char time[USEC_FORMAT_SIZE];

        (void)row;
        if (rate->n == 0)
                fputc('0', f);
        else
                fprintf(f, "%" PRIu32 "/%s", rate->n, usec_format(rate->time, time));
}

static void print_allowed_rates(const struct settings_row *row, FILE *f)
{
        char minimum[USEC_FORMAT_SIZE], maximum[USEC_FORMAT_SIZE];

        fprintf(f, "0, or 1 to %u, a slash, %s to %s, such as 10/1s", RATE_MAX,
                usec_format(row->minimum, minimum), usec_format(row->maximum, maximum));
}

const struct settings_type settings_type_rate = {
        .parse = parse_rate,
        .reset = reset_rate,
        .print = print_rate,
        .print_allowed = print_allowed_rates,
};

/* --- How many bits of an address count --- */

#define IPV4_BITS 32u
#define IPV6_BITS 128u

static int parse_prefixes(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        const char *colon = strchr(value, ':');
        uint64_t ipv4, ipv6;
        char first[8];
        size_t n;

        (void)row;
        *ret_problem = "not two prefix lengths";
        n = colon ? (size_t)(colon - value) : sizeof(first);
        if (n >= sizeof(first))
                return -EINVAL;
        memcpy(first, value, n);
        first[n] = '\0';
        if (!words_parse_number(first, 1, IPV4_BITS, &ipv4) ||
                !words_parse_number(colon + 1, 1, IPV6_BITS, &ipv6))
                return -EINVAL;

        *(struct source_prefixes *)field =
                (struct source_prefixes){ .ipv4 = (uint8_t)ipv4, .ipv6 = (uint8_t)ipv6 };
        return 0;
}

static void reset_prefixes(const struct settings_row *row, void *field)
{
        *(struct source_prefixes *)field = (struct source_prefixes){
                .ipv4 = (uint8_t)(row->default_value >> 8),
                .ipv6 = (uint8_t)row->default_value,
        };
}

static void print_prefixes(const struct settings_row *row, const void *field, FILE *f)
{
        const struct source_prefixes *prefixes = field;

        (void)row;
        fprintf(f, "%u:%u", prefixes->ipv4, prefixes->ipv6);
}

static void print_allowed_prefixes(const struct settings_row *row, FILE *f)
{
        (void)row;
        fprintf(f, "1 to %u for IPv4, a colon, 1 to %u for IPv6, such as 32:64", IPV4_BITS,
                IPV6_BITS);
}

const struct settings_type settings_type_prefixes = {
        .parse = parse_prefixes,
        .reset = reset_prefixes,
        .print = print_prefixes,
        .print_allowed = print_allowed_prefixes,
};

/* --- Sources --- */

static size_t count_words(char *const *words)
{
        size_t n = 0;

        while (words[n])
                n++;

        return n;
}

static int parse_sources(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        _cleanup_(words_freep) char **words = NULL;
        _cleanup_(freep) struct source_range *list = NULL;
        struct source_range **sources = field;
        size_t n;
        int r;

        (void)row;
        r = words_split(value, &words, ret_problem);
        if (r < 0)
                return r;

        n = count_words(words);
        list = calloc(n + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (!source_parse(words[i], &list[i])) {
                        *ret_problem = "not a list of sources";
                        return -EINVAL;
                }

        free(*sources);
        *sources = TAKE_PTR(list);
        return 0;
}

static void reset_sources(const struct settings_row *row, void *field)
{
        struct source_range **sources = field;

        (void)row;
        free(*sources);
        *sources = NULL;
}

static void print_sources(const struct settings_row *row, const void *field, FILE *f)
{
        const struct source_range *const *sources = field;
        char text[SOURCE_FORMAT_SIZE];

        (void)row;
        for (const struct source_range *s = *sources; s && s->first.kind != SOURCE_UNKNOWN; s++)
                fprintf(f, "%s%s", s == *sources ? "" : " ", source_format(s, text));
}

static void print_allowed_sources(const struct settings_row *row, FILE *f)
{
        (void)row;
        fputs("addresses, or prefixes of them such as 192.0.2.0/24 and 2001:db8::/32, uid:N and "
              "cid:N, with spaces between",
                f);
}

const struct settings_type settings_type_sources = {
        .parse = parse_sources,
        .reset = reset_sources,
        .print = print_sources,
        .print_allowed = print_allowed_sources,
};

/* --- A file, and what is in it --- */

static int parse_reply(
        const struct settings_row *row, const char *value, void *field, const char **ret_problem)
{
        _cleanup_(words_freep) char **words = NULL;
        char ***reply = field;
        size_t n;
        int r;

        (void)row;
        r = words_split(value, &words, ret_problem);
        if (r < 0)
                return r;

        n = count_words(words);
        if (n < 1 || n > 2 || words[0][0] != '/')
                *ret_problem = "not an absolute path";
        else if (n == 2 && strlen(words[1]) > OVERLOAD_REPLY_MAX)
                *ret_problem = "too long";
        else {
                words_free(*reply);
                *reply = TAKE_PTR(words);
                return 0;
        }

        return -EINVAL;
}

static void reset_reply(const struct settings_row *row, void *field)
{
        char ***reply = field;

        (void)row;
        words_free(*reply);
        *reply = NULL;
}

static void print_reply(const struct settings_row *row, const void *field, FILE *f)
{
        char *const *const *reply = field;

        (void)row;
        if (*reply)
                words_print(*reply, f);
}

static void print_allowed_replies(const struct settings_row *row, FILE *f)
{
        (void)row;
        fprintf(f,
                "the absolute path of a file of up to %d bytes; or that and, as --check prints "
                "it, what is to be taken for its contents",
                OVERLOAD_REPLY_MAX);
}

const struct settings_type settings_type_reply = {
        .parse = parse_reply,
        .reset = reset_reply,
        .print = print_reply,
        .print_allowed = print_allowed_replies,
};
