/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is said in the same way by all commands. It knows no command.
 */

#include <stdarg.h>
#include <unistd.h>

#include "acceptctl/say.h"
#include "base/words.h"
#include "varlink/message.h"

struct say say;

/* As systemd(1) has it: a boolean, or a kind of colours, of which there is only one here. */
static bool wants_colours(void)
{
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };
        const char *text = getenv("SYSTEMD_COLORS");

        if (text && *text) {
                for (size_t i = 0; i < ELEMENTSOF(no); i++)
                        if (streq(text, no[i]))
                                return false;
                return !startswith(text, "auto-") || isatty(STDOUT_FILENO);
        }

        text = getenv("NO_COLOR");
        if (text && *text)
                return false;
        text = getenv("TERM");
        return isatty(STDOUT_FILENO) && text && !streq(text, "dumb");
}

void say_set_up(void)
{
        say.colours = say.json == SAY_NO_JSON && !say.plain && wants_colours();
}

const char *say_colour(enum say_colour colour)
{
        static const char *const codes[] = {
                [SAY_NORMAL] = "\033[0m",
                [SAY_BOLD] = "\033[1m",
                [SAY_GOOD] = "\033[1;32m",
                [SAY_WARN] = "\033[1;33m",
                [SAY_BAD] = "\033[1;31m",
                [SAY_FAINT] = "\033[90m",
        };

        return say.colours ? codes[colour] : "";
}

enum say_colour say_colour_of(const char *state)
{
        static const struct {
                const char *state;
                enum say_colour colour;
        } colours[] = {
                { "ready", SAY_GOOD },
                { "degraded", SAY_BAD },
                { "paused", SAY_WARN },
                { "starting", SAY_WARN },
                { "stopping", SAY_WARN },
                { "draining", SAY_WARN },
                { "terminating", SAY_WARN },
                { "aborted", SAY_BAD },
                { "killed", SAY_BAD },
                { "dead", SAY_BAD },
                { "unreachable", SAY_BAD },
                { "no answer", SAY_BAD },
                { "stopped", SAY_FAINT },
        };

        for (size_t i = 0; i < ELEMENTSOF(colours); i++)
                if (streq(state, colours[i].state))
                        return colours[i].colour;

        return SAY_NORMAL;
}

int say_print_json(const json_t *json)
{
        if (!json ||
                json_dumpf(json, stdout, say.json == SAY_SHORT ? JSON_COMPACT : JSON_INDENT(2)) < 0)
                return say_out_of_memory();
        fputc('\n', stdout);

        return 0;
}

static void print_error_as_json(const char *kind, const char *instance, const char *text)
{
        json_auto_t *json = json_pack("{s:s, s:o?, s:o}", "error", kind, "instance",
                instance ? varlink_make_text(instance) : NULL, "message", varlink_make_text(text));

        if (json)
                (void)json_dumpf(json, stderr, JSON_COMPACT);
        fputc('\n', stderr);
}

void say_error(const char *kind, const char *instance, const char *format, ...)
{
        _cleanup_(freep) char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);

        if (say.json != SAY_NO_JSON) {
                print_error_as_json(kind, instance, text ?: "Out of memory");
                return;
        }
        fputs("acceptctl: ", stderr);
        words_print_safely(text ?: "Out of memory", SIZE_MAX, stderr);
        fputc('\n', stderr);
}

int say_out_of_memory(void)
{
        complain("Out of memory");
        return EXIT_FAILURE;
}

void say_no_root(const struct places *places)
{
        complain("No running instance can be seen below %s: there is no /run of a running system. "
                 "For a container, give /proc/PID/root, with the PID of its init.",
                places->root);
}

int say_why(const struct places *places, const char *name, int error)
{
        switch (error) {
        case INSTANCE_STOPPED:
                if (!instance_is_configured(places, name)) {
                        say_error("NoSuchInstance", name,
                                "There is no instance %s: %s/etc/acceptd/%s.conf does not exist.",
                                name, places->root, name);
                        return EXIT_UNKNOWN;
                }
                if (!instance_can_be_seen(places)) {
                        say_no_root(places);
                        return EXIT_UNKNOWN;
                }
                say_error("NotRunning", name,
                        "Instance %s is not running. A connection to its socket starts it, or: "
                        "systemctl start acceptd@%s.service",
                        name, name);
                return EXIT_NOT_RUNNING;
        case INSTANCE_DEAF:
                say_error("Unreachable", name,
                        "Instance %s runs, but its control socket is gone, so it cannot be asked. "
                        "A restart makes it again. See: systemctl status "
                        "acceptd@%s.service acceptd-control@%s.socket",
                        name, name, name);
                return EXIT_UNKNOWN;
        case -EACCES:
        case -EPERM:
                say_error("PermissionDenied", name,
                        "Instance %s answers root, and who is of the group of its control socket: try it as root.",
                        name);
                return EXIT_UNKNOWN;
        case -ETIMEDOUT:
                say_error("TimedOut", name,
                        "Instance %s does not answer. See: systemctl status acceptd@%s.service",
                        name, name);
                return EXIT_UNKNOWN;
        case -ECONNRESET:
                say_error("HungUp", name,
                        "Instance %s hung up. See: journalctl -u acceptd@%s.service", name, name);
                return EXIT_UNKNOWN;
        case -EBADMSG:
                say_error("NotUnderstood", name,
                        "Instance %s answered what is not understood. Is it of another version?",
                        name);
                return EXIT_UNKNOWN;
        default:
                say_error("Failed", name, "Cannot talk to instance %s: %s", name, strerror(-error));
                return EXIT_UNKNOWN;
        }
}

int say_why_not(const struct places *places, const char *name, int error)
{
        (void)say_why(places, name, error);
        return error == INSTANCE_STOPPED && !instance_is_configured(places, name) ? EXIT_NO_INSTANCE
                                                                                  : EXIT_FAILURE;
}
