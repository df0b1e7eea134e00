/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The command line of the load generator. Called by load.c.
 */

#include <arpa/inet.h>
#include <getopt.h>
#include <stddef.h>
#include <sysexits.h>

#include "load.h"

_Noreturn void load_refuse(const char *what, const char *allowed)
{
        fprintf(stderr, "load: %s; allowed: %s. Try --help.\n", what, allowed);
        exit(EX_USAGE);
}

static void parse_unix(struct load *l, const char *path)
{
        size_t length = strlen(path);

        if (length == 0 || length >= sizeof(l->to.un.sun_path))
                load_refuse("bad path", "1 to 107 characters, or @NAME");
        l->to.un.sun_family = AF_UNIX;
        memcpy(l->to.un.sun_path, path, length);
        if (path[0] == '@')
                l->to.un.sun_path[0] = '\0';
        l->to_size =
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] != '@'));
}

static void parse_tcp(struct load *l, const char *text)
{
        const char *colon = strrchr(text, ':');
        char host[64] = "", *end;
        unsigned long port;

        if (!colon || (size_t)(colon - text) >= sizeof(host))
                load_refuse("bad address", "tcp:127.0.0.1:PORT, tcp:[::1]:PORT");
        (void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
        port = strtoul(colon + 1, &end, 10);
        if (*end || port == 0 || port > UINT16_MAX)
                load_refuse("bad port", "1 to 65535");

        l->type = SOCK_STREAM;
        if (streq(host, "[::1]")) {
                l->to.in6 = (struct sockaddr_in6){
                        .sin6_family = AF_INET6,
                        .sin6_port = htons((uint16_t)port),
                        .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                };
                l->to_size = sizeof(l->to.in6);
        } else {
                l->to.in = (struct sockaddr_in){
                        .sin_family = AF_INET,
                        .sin_port = htons((uint16_t)port),
                };
                if (inet_pton(AF_INET, host, &l->to.in.sin_addr) != 1 ||
                        ntohl(l->to.in.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
                        load_refuse("another machine's address", "127.x.y.z, [::1]");
                l->to_size = sizeof(l->to.in);
        }
}

static void parse_destination(struct load *l, const char *text)
{
        const char *rest;

        l->type = SOCK_STREAM;
        if ((rest = startswith(text, "tcp:"))) {
                parse_tcp(l, rest);
        } else if ((rest = startswith(text, "unix:"))) {
                parse_unix(l, rest);
        } else if ((rest = startswith(text, "seqpacket:"))) {
                l->type = SOCK_SEQPACKET;
                parse_unix(l, rest);
        } else {
                load_refuse("bad destination", "tcp:ADDRESS:PORT, unix:PATH, seqpacket:PATH");
        }
}

static double parse_number(const char *option, const char *text, double least, double most)
{
        char *end, what[128], allowed[64];
        double value = strtod(text, &end);

        if (*end == '\0' && end != text && value >= least && value <= most)
                return value;

        (void)snprintf(what, sizeof(what), "--%s=%s", option, text);
        (void)snprintf(allowed, sizeof(allowed), "%g to %g", least, most);
        load_refuse(what, allowed);
}

static void help(void)
{
        puts("load --to=DESTINATION [OPTION]...: load for an echo service on this machine\n"
             "\n"
             "  --to=tcp:127.0.0.1:PORT, tcp:[::1]:PORT, unix:PATH, unix:@NAME, seqpacket:PATH\n"
             "  --sources=N         connect from N addresses, 127.0.0.2 and up: more ports\n"
             "  --destinations=N    connect to N addresses, from the given one up\n"
             "  --seconds=S         how long (10)\n"
             "  --timeout=S         for one exchange (10)\n"
             "  --slow=MS           count the short ones that take longer, too\n"
             "\n"
             "  --held=N            connections that last (0)\n"
             "  --held-bytes=N      each exchange is 1 to N bytes (4096)\n"
             "  --held-fixed        each exchange is N bytes\n"
             "  --held-interval=MS  between two exchanges of one connection; 0: none (100)\n"
             "\n"
             "  --rate=R            short connections a second, whatever becomes of them\n"
             "  --clients=C         or: C clients, each with one short connection after another\n"
             "  --count=N           end after so many short connections\n"
             "  --bytes=N           each sends N bytes and gets them back (64)\n"
             "  --unchecked         any bytes are taken for the right ones: for a service that\n"
             "                      answers something else\n"
             "  --half-close        says that that was all, and waits for the end of file\n"
             "  --failures=FILE     write a line for each connection that fails: kind, outcome,\n"
             "                      its own IPv4 address, begin and end in microseconds; the\n"
             "                      first line has that clock and the time of day\n"
             "\n"
             "Prints one line of key=value. Exit status 0: no failure, 1: some.");
}

/* Options with a number, and where it goes. */
static const struct number {
        const char *name;
        double least, most;
        size_t offset;
        enum { IS_UINT32, IS_UINT64, IS_DOUBLE, IS_SECONDS, IS_MSEC } kind;
} numbers[] = {
#define NUMBER(name, kind, member, least, most)                                                    \
        {                                                                                          \
                name, least, most, offsetof(struct load, member), kind                             \
        }
        NUMBER("sources", IS_UINT32, sources, 1, SOURCES_MAX),
        NUMBER("destinations", IS_UINT32, destinations, 1, SOURCES_MAX),
        NUMBER("seconds", IS_SECONDS, duration, 0.01, 1e6),
        NUMBER("timeout", IS_SECONDS, timeout, 0.01, 1e6),
        NUMBER("slow", IS_MSEC, slow, 0, 1e6),
        NUMBER("held", IS_UINT32, n_held, 0, 1e6),
        NUMBER("held-bytes", IS_UINT32, held_bytes, 1, CHUNK_MAX),
        NUMBER("held-interval", IS_MSEC, held_interval, 0, 1e6),
        NUMBER("rate", IS_DOUBLE, rate, 0.001, 1e7),
        NUMBER("clients", IS_UINT32, n_clients, 1, IN_FLIGHT),
        NUMBER("count", IS_UINT64, count, 1, 1e12),
        NUMBER("bytes", IS_UINT32, short_bytes, 1, CHUNK_MAX),
#undef NUMBER
};

static void set_number(struct load *l, const struct number *number, const char *text)
{
        double value = parse_number(number->name, text, number->least, number->most);
        void *to = (char *)l + number->offset;

        switch (number->kind) {
        case IS_UINT32:
                *(uint32_t *)to = (uint32_t)value;
                break;
        case IS_UINT64:
                *(uint64_t *)to = (uint64_t)value;
                break;
        case IS_DOUBLE:
                *(double *)to = value;
                break;
        case IS_SECONDS:
                *(usec_t *)to = (usec_t)(value * (double)USEC_PER_SEC);
                break;
        case IS_MSEC:
                *(usec_t *)to = (usec_t)(value * (double)USEC_PER_MSEC);
                break;
        }
}

static void check_options(const struct load *l)
{
        if (l->rate > 0 && l->n_clients > 0)
                load_refuse("--rate and --clients", "one of them");
        if ((l->sources > 0 || l->destinations > 0) && l->to.any.sa_family != AF_INET)
                load_refuse("--sources, --destinations", "with tcp: and an IPv4 address");
        if (l->failures && l->to.any.sa_family != AF_INET)
                load_refuse("--failures", "with tcp: and an IPv4 address");
        if (l->destinations > 0 &&
                (ntohl(l->to.in.sin_addr.s_addr) + l->destinations - 1) >> 24 != IN_LOOPBACKNET)
                load_refuse("--destinations beyond this machine", "127.x.y.z");
}

void load_parse_options(struct load *l, int argc, char *argv[])
{
        struct option options[ELEMENTSOF(numbers) + 7] = {
                { "help", no_argument, NULL, 'h' },
                { "to", required_argument, NULL, 't' },
                { "half-close", no_argument, NULL, 'x' },
                { "held-fixed", no_argument, NULL, 'f' },
                { "unchecked", no_argument, NULL, 'u' },
                { "failures", required_argument, NULL, 'F' },
        };
        const size_t others = 6;
        int c, at = 0;

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                options[others + i] =
                        (struct option){ numbers[i].name, required_argument, NULL, 'n' };

        while ((c = getopt_long(argc, argv, "", options, &at)) != -1)
                switch (c) {
                case 'h':
                        help();
                        exit(0);
                case 't':
                        parse_destination(l, optarg);
                        break;
                case 'x':
                        l->half_close = true;
                        break;
                case 'f':
                        l->held_fixed = true;
                        break;
                case 'u':
                        l->unchecked = true;
                        break;
                case 'F':
                        l->failures = fopen(optarg, "we");
                        if (!l->failures)
                                load_refuse("--failures", "a file that can be written");
                        load_note_clock(l);
                        break;
                case 'n':
                        set_number(l, &numbers[(size_t)at - others], optarg);
                        break;
                default:
                        exit(EX_USAGE);
                }

        if (optind < argc || l->to_size == 0)
                load_refuse("no destination, or more than options", "--to=DESTINATION [OPTION]...");
        check_options(l);
}
