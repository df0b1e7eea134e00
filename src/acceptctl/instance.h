/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "base/time.h"
#include "varlink/stream.h"

/*
 * Instances: which there are, and talking to one that runs.
 */

/* Where they are looked for. */
struct places {
        const char *root; /* "" is this system's own */
};

/* Returns the names of all instances that run or have a settings file, sorted and
 * NULL-terminated, for words_free(). Returns 0 or -errno. */
int instance_list(const struct places *places, char ***ret_names);

/* The name as it stands in the unit's: cuts acceptd@ and .service or .socket off. Returns NULL
 * without memory, or where it cannot be one. */
char *instance_parse_name(const char *text);

/* Whether its settings file is there. */
bool instance_is_configured(const struct places *places, const char *name);

/* Whether one that runs would be seen: below another root there may be no /run of a running system,
 * as in a container's tree on the disk. */
bool instance_can_be_seen(const struct places *places);

/* Returns the names that `texts` stand for, NULL-terminated, for words_free(): each a name, or a
 * pattern as in glob(7) for those that there are. Returns 0; -EINVAL or -ESRCH with the text that
 * is no name or that no instance matches in `ret_wrong`; or -errno. */
int instance_expand(
        const struct places *places, char *const *texts, char ***ret_names, const char **ret_wrong);

#define INSTANCE_STOPPED (-ESRCH)
#define INSTANCE_DEAF    (-ENOTCONN)

/*
 * Calls a method of a running instance; that never starts it. NULL for the parameters: no memory.
 * Returns 0 and its reply as varlink_call() does, or -errno: INSTANCE_STOPPED, INSTANCE_DEAF where
 * the service runs and has no control socket, -EACCES, -ETIMEDOUT, ...
 */
int instance_call(const struct places *places, const char *name, const char *method,
        json_t *parameters_consume, usec_t timeout, json_t **ret_reply);

/* Only sends the call; with `more`, one to which more replies than one may come. They are for
 * varlink_receive_reply(), whose error goes through instance_explain_end(). */
int instance_open(const struct places *places, const char *name, const char *method,
        json_t *parameters_consume, bool more, usec_t deadline, struct varlink_stream *ret_stream);
int instance_explain_end(int error);

/* Reads a file below the root, as one of /proc, up to `size` - 1 bytes. Returns false where it
 * cannot be read. */
bool instance_read_file(const struct places *places, const char *path, char *text, size_t size);

/* Returns a word for what is known of an instance without a status: `error` is why. */
const char *instance_name_error(int error);
