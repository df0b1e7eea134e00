/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/*
 * Who a connection comes from, as far as the kernel tells: an address, a user, a virtual machine.
 * What has to be counted together is the same prefix of it.
 */

enum source_kind {
        SOURCE_UNKNOWN, /* or nobody asked */
        SOURCE_IPV4,    /* also where it came in over IPv6, as ::ffff:192.0.2.1 */
        SOURCE_IPV6,
        SOURCE_UID, /* of the process that connected an AF_UNIX socket */
        SOURCE_CID, /* of a vsock peer */
        SOURCE_KINDS,
};

#define SOURCE_SIZE 16 /* of an IPv6 address */

/* The most significant byte first, and zeros behind: 4 bytes, or 16 of IPv6. */
struct source {
        uint8_t bytes[SOURCE_SIZE];
        uint8_t kind; /* enum source_kind */
};

/* All sources that have the first `bits` in common. */
struct source_range {
        struct source first;
        uint8_t bits;
};

/* How many bits of an address make a source. */
struct source_prefixes {
        uint8_t ipv4, ipv6;
};

#define SOURCE_WHOLE ((struct source_prefixes){ 32, 128 })

/* One of a user or of a virtual machine. */
struct source source_make(enum source_kind kind, uint32_t number);

/* One of an IPv6 address, which may stand for one of IPv4. */
struct source source_make_ipv6(const uint8_t bytes[static SOURCE_SIZE]);

/* Returns what it is counted as. Users and virtual machines are counted one by one. */
struct source source_shorten(const struct source *source, struct source_prefixes prefixes);

bool source_equal(const struct source *a, const struct source *b);
bool source_is_in(const struct source *source, const struct source_range *range);

/* Reads ADDRESS, ADDRESS/BITS, uid:N or cid:N. Returns false for what is none of these. */
bool source_parse(const char *text, struct source_range *ret);

#define SOURCE_FORMAT_SIZE 64

/* Writes it as it is read, without /BITS where they are all. Returns `buffer`. */
char *source_format(const struct source_range *range, char buffer[static SOURCE_FORMAT_SIZE]);

/* The same of what it is counted as. */
char *source_format_short(const struct source *source, struct source_prefixes prefixes,
        char buffer[static SOURCE_FORMAT_SIZE]);
