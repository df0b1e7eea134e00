/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The command line of acceptd-inetd. It must not know what is done with it.
 */

#include <getopt.h>

#include "base/words.h"
#include "workers/inetd-options.h"

#define CAPACITY_MAX 10000

/* As many for each worker as systemd starts for a socket with Accept=yes (MaxConnections=). */
#define CAPACITY_DEFAULT 64

#define ALLOWED                                                                                    \
        "--capacity=N, --runtime-max=TIME, --stop-timeout=TIME, --stderr=journal|connection, "     \
        "--help, --version"

static const char help[] =
        "acceptd-inetd [OPTIONS...] PROGRAM [ARG...]\n\n"
        "Starts the program for each connection, which is its standard input and output. A\n"
        "worker, to be run from acceptd(8).\n\n"
        "  --capacity=N         programs to run at once: 1 to 10000 (default 64)\n"
        "  --runtime-max=TIME   a program that runs for longer gets SIGTERM: 5s, 2min, 500ms\n"
        "                       (default infinity)\n"
        "  --stop-timeout=TIME  and SIGKILL after this long (default 5s)\n"
        "  --stderr=WHERE       of the programs: journal, the log of the service (default), or\n"
        "                       connection\n"
        "  --help, --version    print this, or the version, and exit";

static int complain(const char *what, const char *value, const char *allowed)
{
        fprintf(stderr, "acceptd-inetd: %s%s: allowed: %s\n", what, value, allowed);
        return -EINVAL;
}

static int parse_option(struct inetd_options *o, int option, const char *value)
{
        static const char times[] = "a time above 0, as 5s, 2min, 500ms; infinity";
        uint64_t capacity;

        switch (option) {
        case 'c':
                if (!words_parse_number(value, 1, CAPACITY_MAX, &capacity))
                        return complain("--capacity=", value, "a number from 1 to 10000");
                o->capacity = (unsigned)capacity;
                return 0;
        case 'r':
                if (usec_parse(value, &o->runtime_max) < 0 || o->runtime_max == 0)
                        return complain("--runtime-max=", value, times);
                return 0;
        case 's':
                if (usec_parse(value, &o->stop_timeout) < 0 || o->stop_timeout == 0)
                        return complain("--stop-timeout=", value, times);
                return 0;
        default:
                o->stderr_is_connection = streq(value, "connection");
                if (!o->stderr_is_connection && !streq(value, "journal"))
                        return complain("--stderr=", value, "journal, connection");
                return 0;
        }
}

int inetd_options_parse(struct inetd_options *o, int argc, char **argv)
{
        static const struct option options[] = {
                { "capacity", required_argument, NULL, 'c' },
                { "runtime-max", required_argument, NULL, 'r' },
                { "stop-timeout", required_argument, NULL, 's' },
                { "stderr", required_argument, NULL, 'e' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c;

        *o = (struct inetd_options){
                .capacity = CAPACITY_DEFAULT,
                .runtime_max = USEC_INFINITY,
                .stop_timeout = 5 * USEC_PER_SEC,
        };
        opterr = 0;
        while ((c = getopt_long(argc, argv, "+:", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return puts(help) < 0 ? -EIO : 0;
                case 'v':
                        return puts("acceptd-inetd " ACCEPTD_VERSION) < 0 ? -EIO : 0;
                case '?':
                case ':':
                        return complain("", argv[optind - 1], ALLOWED);
                default:
                        if (parse_option(o, c, optarg) < 0)
                                return -EINVAL;
                }

        if (optind == argc)
                return complain("no program", "", ALLOWED " PROGRAM [ARG...]");
        o->argv = argv + optind;
        return 1;
}
