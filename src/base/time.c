/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Time spans as people write them, systemd.time(7): libsystemd does not export its parser. Used by
 * the settings and the programs' options; knows nothing of acceptd.
 */

#include <inttypes.h>

#include "base/time.h"

struct unit {
        const char *name;
        usec_t usec;
};

/* Where one name is the beginning of another, the longer one comes first. */
static const struct unit units[] = {
        { "seconds", USEC_PER_SEC }, { "second", USEC_PER_SEC }, { "sec", USEC_PER_SEC },
        { "s", USEC_PER_SEC }, { "minutes", 60 * USEC_PER_SEC }, { "minute", 60 * USEC_PER_SEC },
        { "min", 60 * USEC_PER_SEC }, { "months", 2629800 * USEC_PER_SEC },
        { "month", 2629800 * USEC_PER_SEC }, { "M", 2629800 * USEC_PER_SEC },
        { "msec", USEC_PER_MSEC }, { "ms", USEC_PER_MSEC }, { "m", 60 * USEC_PER_SEC },
        { "hours", 3600 * USEC_PER_SEC }, { "hour", 3600 * USEC_PER_SEC },
        { "hr", 3600 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC }, { "days", USEC_PER_DAY },
        { "day", USEC_PER_DAY }, { "d", USEC_PER_DAY }, { "weeks", 7 * USEC_PER_DAY },
        { "week", 7 * USEC_PER_DAY }, { "w", 7 * USEC_PER_DAY },
        { "years", 31557600 * USEC_PER_SEC }, { "year", 31557600 * USEC_PER_SEC },
        { "y", 31557600 * USEC_PER_SEC }, { "usec", 1 }, { "us", 1 },
        { "\302\265s", 1 }, /* U+00B5, the micro sign */
        { "\316\274s", 1 }, /* U+03BC, the Greek letter */
};

static const char *skip_spaces(const char *s)
{
        return s + strspn(s, " \t\n\r");
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* Reads one number with its unit from `*text` and moves on behind it. */
static int parse_part(const char **text, usec_t *ret)
{
        const char *s = *text, *fraction = NULL;
        usec_t whole = 0, unit = USEC_PER_SEC, part, sum;
        bool digits = false;

        for (; is_digit(*s); s++, digits = true)
                if (__builtin_mul_overflow(whole, 10, &whole) ||
                        __builtin_add_overflow(whole, (usec_t)(*s - '0'), &whole))
                        return -ERANGE;

        if (*s == '.') {
                fraction = ++s;
                for (; is_digit(*s); s++)
                        digits = true;
                if (s == fraction || *s == '.')
                        return -EINVAL;
        }

        if (!digits)
                return -EINVAL;

        s = skip_spaces(s);
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                const char *behind = startswith(s, units[i].name);

                if (behind) {
                        unit = units[i].usec;
                        s = behind;
                        break;
                }
        }

        if (__builtin_mul_overflow(whole, unit, &sum))
                return -ERANGE;

        part = unit / 10;
        for (; fraction && is_digit(*fraction); fraction++, part /= 10)
                if (__builtin_add_overflow(sum, part * (usec_t)(*fraction - '0'), &sum))
                        return -ERANGE;

        *text = skip_spaces(s);
        *ret = sum;
        return 0;
}

int usec_parse(const char *text, usec_t *ret)
{
        usec_t sum = 0;
        const char *behind;

        text = skip_spaces(text);

        behind = startswith(text, "infinity");
        if (behind) {
                if (*skip_spaces(behind) != '\0')
                        return -EINVAL;
                *ret = USEC_INFINITY;
                return 0;
        }

        do {
                usec_t part;
                int r;

                r = parse_part(&text, &part);
                if (r < 0)
                        return r;
                if (__builtin_add_overflow(sum, part, &sum))
                        return -ERANGE;
        } while (*text != '\0');

        if (sum == USEC_INFINITY)
                return -ERANGE;

        *ret = sum;
        return 0;
}

const char *usec_format(usec_t t, char buffer[static USEC_FORMAT_SIZE])
{
        static const struct unit parts[] = {
                { "d", USEC_PER_DAY },
                { "h", 3600 * USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },
                { "s", USEC_PER_SEC },
                { "ms", USEC_PER_MSEC },
                { "us", 1 },
        };
        size_t n = 0;

        if (t == USEC_INFINITY || t == 0) {
                (void)snprintf(buffer, USEC_FORMAT_SIZE, "%s", t == 0 ? "0" : "infinity");
                return buffer;
        }

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                usec_t count = t / parts[i].usec;

                if (count == 0)
                        continue;

                n += (size_t)snprintf(buffer + n, USEC_FORMAT_SIZE - n, "%s%" PRIu64 "%s",
                        n > 0 ? " " : "", count, parts[i].name);
                t %= parts[i].usec;
        }

        return buffer;
}
