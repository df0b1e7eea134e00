/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "acceptctl/instance.h"

/*
 * How acceptctl says things: in colours or not, errors as lines or as JSON, and its exit statuses.
 */

/* As systemctl's, which are those of init scripts. */
enum exit_status {
        EXIT_NOT_RUNNING = 3,
        EXIT_UNKNOWN = 4,     /* no such instance, or its status cannot be had */
        EXIT_NO_INSTANCE = 5, /* of commands that change something */
};

enum say_json {
        SAY_NO_JSON,
        SAY_PRETTY,
        SAY_SHORT,
};

/* What the command line says of it. Set once. */
struct say {
        enum say_json json;
        bool no_legend; /* no heads of tables, no hints */
        bool plain;     /* nothing but columns: no colours, no indentation */
        bool colours;
};

extern struct say say;

/* Decides on colours: NO_COLOR, SYSTEMD_COLORS, or whether this is a terminal. */
void say_set_up(void);

/* --- Colours: "" where there are none --- */

enum say_colour {
        SAY_NORMAL,
        SAY_BOLD,
        SAY_GOOD,
        SAY_WARN,
        SAY_BAD,
        SAY_FAINT,
};

const char *say_colour(enum say_colour colour);

/* The colour of a state, of an instance or of a worker. */
enum say_colour say_colour_of(const char *state);

/* --- JSON --- */

/* Prints it. NULL: there was no memory for it. Returns an exit status. */
int say_print_json(const json_t *json);

/* --- Errors --- */

/* Says what is wrong, in one line, whatever is in it. With JSON, as an object in one line:
 * {"error": kind, "instance": name (or null), "message": text}. */
void say_error(const char *kind, const char *instance, const char *format, ...) _printf_(3, 4);

#define complain(...) say_error("Failed", NULL, __VA_ARGS__)

int say_out_of_memory(void);

/* There is no /run to look at. */
void say_no_root(const struct places *places);

/* Says why an instance cannot be talked to: `error` is what instance_call() returned. Returns the
 * exit status of commands that look. */
int say_why(const struct places *places, const char *name, int error);

/* The same of commands that change something. */
int say_why_not(const struct places *places, const char *name, int error);
