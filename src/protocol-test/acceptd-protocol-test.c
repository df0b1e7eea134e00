/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Plays the dispatcher for a worker, and says which rules of acceptd-protocol(7) it breaks. The
 * command line, and what is printed.
 */

#include <assert.h>
#include <getopt.h>
#include <signal.h>
#include <sysexits.h>

#include "base/words.h"
#include "protocol-test/trials.h"

#define ALLOWED "--timeout=TIME, --only=TRIAL, --list, --help, --version, then the command"

static const char help[] =
        "acceptd-protocol-test [OPTIONS...] COMMAND [ARGUMENTS...]\n\n"
        "Plays the dispatcher of acceptd(8) for a worker, and says which rules it breaks.\n\n"
        "  --timeout=TIME       for each answer (default 10s)\n"
        "  --only=TRIAL         this one trial\n"
        "  --list               the trials, and what they look for\n"
        "  --help, --version    print this, or the version, and exit";

struct options {
        usec_t timeout;
        const char *only;
        char **command;
};

static int complain(const char *what, const char *value, const char *allowed)
{
        fprintf(stderr, "acceptd-protocol-test: %s%s: allowed: %s\n", what, value, allowed);
        return -EINVAL;
}

static int list(void)
{
        for (unsigned i = 0; i < n_trials; i++)
                printf("%-18s%s\n", trials[i].name, trials[i].good);
        return 0;
}

static bool is_trial(const char *name)
{
        for (unsigned i = 0; i < n_trials; i++)
                if (streq(trials[i].name, name))
                        return true;

        return false;
}

/* Returns 1 to go on, 0 where all is done, or -EINVAL after saying what is wrong. */
static int parse_options(struct options *options, int argc, char **argv)
{
        static const struct option known[] = {
                { "timeout", required_argument, NULL, 't' },
                { "only", required_argument, NULL, 'o' },
                { "list", no_argument, NULL, 'l' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c;

        opterr = 0;
        while ((c = getopt_long(argc, argv, "+:", known, NULL)) >= 0)
                switch (c) {
                case 't':
                        if (usec_parse(optarg, &options->timeout) < 0 || options->timeout == 0)
                                return complain(
                                        "--timeout=", optarg, "a time above 0, as 5s, 500ms");
                        break;
                case 'o':
                        options->only = optarg;
                        if (!is_trial(optarg))
                                return complain("--only=", optarg, "one that --list prints");
                        break;
                case 'l':
                        return list();
                case 'h':
                        return puts(help) < 0 ? -EIO : 0;
                case 'v':
                        return puts("acceptd-protocol-test " ACCEPTD_VERSION) < 0 ? -EIO : 0;
                default:
                        return complain("", argv[optind - 1], ALLOWED);
                }

        options->command = argv + optind;
        return optind < argc ? 1 : complain("", "no command", ALLOWED);
}

static void report(const struct trial *trial, enum trial_result result, const struct play *play)
{
        switch (result) {
        case TRIAL_PASSED:
                printf("ok      %-18s%s", trial->name, trial->good);
                if (streq(trial->name, "capacity"))
                        printf(" (%u)", play->capacity);
                if (play->n_failed > 0)
                        printf(" (as FAILED)");
                (void)putchar('\n');
                break;
        case TRIAL_SKIPPED:
                printf("skipped %-18snot for this worker: %s\n", trial->name, trial->good);
                break;
        case TRIAL_BROKEN:
        default:
                printf("BROKEN  %-18s%s\n", trial->name, play->why);
        }
        (void)fflush(stdout);
}

/* Returns 0, 1 where a rule was broken, or -errno where the command could not be started. */
static int try(const struct trial *trial, const struct options *options)
{
        static struct play play;
        enum trial_result result;
        int r = play_start(&play, options->command, trial->offer, options->timeout);

        if (r >= 0) {
                result = trial->run(&play);
                report(trial, result, &play);
                r = result == TRIAL_BROKEN;
        }
        play_end(&play);
        return r;
}

int main(int argc, char **argv)
{
        struct options options = { .timeout = 10 * USEC_PER_SEC };
        unsigned n_broken = 0;
        int r;

        (void)signal(SIGPIPE, SIG_IGN);
        r = parse_options(&options, argc, argv);
        if (r <= 0)
                return r < 0 ? EX_USAGE : EX_OK;

        assert(options.command && options.command[0]);
        for (unsigned i = 0; i < n_trials; i++) {
                if (options.only && !streq(options.only, trials[i].name))
                        continue;
                r = try(&trials[i], &options);
                if (r < 0) {
                        fprintf(stderr, "acceptd-protocol-test: %s: %s\n", options.command[0],
                                strerror(-r));
                        return EX_UNAVAILABLE;
                }
                n_broken += (unsigned)r;
        }

        return n_broken > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
