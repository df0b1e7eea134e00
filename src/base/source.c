/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sources of connections: prefixes of them, and their texts. Asks the system for nothing.
 */

#include <arpa/inet.h>
#include <inttypes.h>

#include "base/source.h"
#include "base/words.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }; /* RFC 4291, 2.5.5.2 */

#define MAPPED_BITS 96

static uint8_t count_bits(enum source_kind kind)
{
        return kind == SOURCE_IPV6 ? 128 : 32;
}

struct source source_make(enum source_kind kind, uint32_t number)
{
        struct source source = { .kind = (uint8_t)kind };

        for (int i = 0; i < 4; i++)
                source.bytes[i] = (uint8_t)(number >> (24 - 8 * i));

        return source;
}

struct source source_make_ipv6(const uint8_t bytes[static SOURCE_SIZE])
{
        struct source source = { .kind = SOURCE_IPV6 };

        if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
                source.kind = SOURCE_IPV4;
                memcpy(source.bytes, bytes + sizeof(mapped), 4);
        } else {
                memcpy(source.bytes, bytes, SOURCE_SIZE);
        }

        return source;
}

static void clear_behind(struct source *source, uint8_t bits)
{
        size_t n = bits / 8;

        if (bits % 8 != 0) {
                source->bytes[n] &= (uint8_t)(0xff00 >> (bits % 8));
                n++;
        }
        memset(source->bytes + n, 0, SOURCE_SIZE - n);
}

static uint8_t choose_bits(enum source_kind kind, struct source_prefixes prefixes)
{
        if (kind == SOURCE_IPV4)
                return prefixes.ipv4;

        return kind == SOURCE_IPV6 ? prefixes.ipv6 : count_bits(kind);
}

struct source source_shorten(const struct source *source, struct source_prefixes prefixes)
{
        struct source prefix = *source;

        clear_behind(&prefix, choose_bits(source->kind, prefixes));
        return prefix;
}

bool source_equal(const struct source *a, const struct source *b)
{
        return a->kind == b->kind && memcmp(a->bytes, b->bytes, SOURCE_SIZE) == 0;
}

bool source_is_in(const struct source *source, const struct source_range *range)
{
        struct source prefix = *source;

        clear_behind(&prefix, range->bits);
        return source_equal(&prefix, &range->first);
}

/* --- Texts --- */

static bool parse_number(const char *text, enum source_kind kind, struct source_range *ret)
{
        uint64_t number;

        if (!words_parse_number(text, 0, UINT32_MAX, &number))
                return false;

        *ret = (struct source_range){ source_make(kind, (uint32_t)number), count_bits(kind) };
        return true;
}

static bool parse_address(const char *text, struct source *ret)
{
        uint8_t ipv6[SOURCE_SIZE];

        if (inet_pton(AF_INET6, text, ipv6) == 1) {
                *ret = source_make_ipv6(ipv6);
                return true;
        }

        *ret = (struct source){ .kind = SOURCE_IPV4 };
        return inet_pton(AF_INET, text, ret->bytes) == 1;
}

bool source_parse(const char *text, struct source_range *ret)
{
        const char *slash = strchr(text, '/'), *number;
        char address[INET6_ADDRSTRLEN];
        size_t n = slash ? (size_t)(slash - text) : strlen(text);
        struct source source;
        uint64_t bits, spare;

        if ((number = startswith(text, "uid:")))
                return parse_number(number, SOURCE_UID, ret);
        if ((number = startswith(text, "cid:")))
                return parse_number(number, SOURCE_CID, ret);

        if (n >= sizeof(address))
                return false;
        memcpy(address, text, n);
        address[n] = '\0';
        if (!parse_address(address, &source))
                return false;

        bits = count_bits(source.kind);
        /* ::ffff:192.0.2.0/120 is 192.0.2.0/24 */
        spare = source.kind == SOURCE_IPV4 && strchr(address, ':') ? MAPPED_BITS : 0;
        if (slash && !words_parse_number(slash + 1, spare, bits + spare, &bits))
                return false;
        if (slash)
                bits -= spare;

        *ret = (struct source_range){ source, (uint8_t)bits };
        clear_behind(&ret->first, ret->bits);
        return true;
}

static uint32_t get_number(const struct source *source)
{
        uint32_t number = 0;

        for (int i = 0; i < 4; i++)
                number = number << 8 | source->bytes[i];

        return number;
}

char *source_format(const struct source_range *range, char buffer[static SOURCE_FORMAT_SIZE])
{
        const struct source *source = &range->first;
        size_t n;

        switch (source->kind) {
        case SOURCE_IPV4:
        case SOURCE_IPV6:
                (void)inet_ntop(source->kind == SOURCE_IPV4 ? AF_INET : AF_INET6, source->bytes,
                        buffer, SOURCE_FORMAT_SIZE);
                n = strlen(buffer);
                if (range->bits < count_bits(source->kind))
                        (void)snprintf(buffer + n, SOURCE_FORMAT_SIZE - n, "/%u", range->bits);
                break;
        case SOURCE_UID:
        case SOURCE_CID:
                (void)snprintf(buffer, SOURCE_FORMAT_SIZE, "%s:%" PRIu32,
                        source->kind == SOURCE_UID ? "uid" : "cid", get_number(source));
                break;
        default:
                (void)snprintf(buffer, SOURCE_FORMAT_SIZE, "unknown");
                break;
        }

        return buffer;
}

char *source_format_short(const struct source *source, struct source_prefixes prefixes,
        char buffer[static SOURCE_FORMAT_SIZE])
{
        struct source_range range = { source_shorten(source, prefixes),
                choose_bits(source->kind, prefixes) };

        return source_format(&range, buffer);
}
