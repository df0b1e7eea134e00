/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 *         acceptd-confine PROGRAM [ARGUMENT...]
 *
 * The last step before a worker: puts itself into a Landlock domain of its own, landlock(7), and
 * executes the worker's program. So workers of one user cannot read each other's memory, nor the
 * dispatcher's, and where the kernel has it (Linux 6.12), send no signals to each other or to the
 * dispatcher. Process, environment and descriptors stay as they are. It must not take away anything
 * else: where the kernel, the sandbox or the lack of no_new_privs do not allow a domain, the worker
 * goes on without.
 *
 * A program that cannot be executed is told to the dispatcher on the channel, which waits for no
 * answer of a file system here.
 */

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "wire/wire.h"

/* struct landlock_ruleset_attr as of Linux 6.12: headers may be older. What an older kernel does
 * not know has to be 0. */
struct ruleset {
        uint64_t handled_access_fs;
        uint64_t handled_access_net;
        uint64_t scoped;
};

#define ABI_WITH_REFER  2 /* Linux 5.19 */
#define ABI_WITH_SCOPES 6 /* Linux 6.12 */

#define SCOPE_SIGNAL (UINT64_C(1) << 1)

static int get_abi(void)
{
        return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* A file may not be moved to another folder in any domain that restricts files, unless REFER is
 * allowed there. Everything is below `/`. Returns 0, or -1 with errno. */
static int allow_refer(int ruleset_fd)
{
        _cleanup_(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct landlock_path_beneath_attr rule = {
                .allowed_access = LANDLOCK_ACCESS_FS_REFER,
                .parent_fd = root,
        };

        if (root < 0)
                return -1;

        return (int)syscall(
                SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* Any domain keeps processes in it from tracing those outside of it, and so from their memory and
 * descriptors. It has to restrict something else, too: signals, or what is allowed everywhere. */
static void confine(void)
{
        _cleanup_(fd_closep) int ruleset_fd = -1;
        struct ruleset ruleset = {};
        int abi = get_abi();

        if (abi < ABI_WITH_REFER)
                return;

        if (abi < ABI_WITH_SCOPES)
                ruleset.handled_access_fs = LANDLOCK_ACCESS_FS_REFER;
        else
                ruleset.scoped = SCOPE_SIGNAL;
        ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
        if (ruleset_fd < 0)
                return;
        if (ruleset.handled_access_fs && allow_refer(ruleset_fd) < 0)
                return;

        /* It fails without no_new_privs or CAP_SYS_ADMIN. Where the unit did not choose the first,
         * it is for set-user-ID programs, which would not work any more. */
        (void)syscall(SYS_landlock_restrict_self, ruleset_fd, 0);
}

/* Returns true where the dispatcher knows now, and says it. */
static bool tell(int error)
{
        const char *channel = getenv("ACCEPTD_CHANNEL");
        const struct record record = {
                .version = RECORD_VERSION,
                .type = RECORD_NOT_STARTED,
                .value = (uint32_t)error,
        };

        return channel && wire_send(atoi(channel), &record, -1) == 0;
}

int main(int argc, char **argv)
{
        int error;

        if (argc < 2) {
                fprintf(stderr, "Usage: acceptd-confine PROGRAM [ARGUMENT...]\n");
                return EX_USAGE;
        }

        confine();
        (void)execv(argv[1], argv + 1);
        error = errno;
        if (!tell(error))
                fprintf(stderr, "Cannot execute %s: %s\n", argv[1], strerror(error));

        return EX_UNAVAILABLE;
}
