/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/dispatcher.h"
#include "os/inheritance.h"

/*
 * Processes of the service that belong to nobody after a crash of the dispatcher: a worker that was
 * just being started, what a dead worker left.
 */

/* After the workers of the ledger were taken over, and before what else was inherited is closed:
 * ends what is in this service's control group and belongs neither to a worker nor to this process.
 * Does nothing where this is no service, or no crash was before it. */
void leftovers_end(const struct dispatcher *d, const struct inheritance *inheritance);

/* --- What it is made of, for tests --- */

struct pids {
        pid_t *list;
        size_t n;
};

#define LEFTOVERS_PATH_MAX 4096

/* True where this is a service, and the one before it left something in the store. */
bool leftovers_is_after_crash(const struct inheritance *inheritance);

/* Finds the list of processes of the service that `self` (a file as /proc/self/cgroup) names, under
 * `root` (where cgroups v2 are mounted). Returns false where it is no service's, or not v2. */
bool leftovers_find(const char *self, const char *root, char *ret_path);

/* Ends what stands in the file `path` and is neither this process, nor one of `kept`, nor in the
 * process group of one, nor a child of anything that stays there. Returns how many there were. */
size_t leftovers_end_others(const char *path, struct pids *kept);
