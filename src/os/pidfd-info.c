/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ioctl and the flag that <linux/pidfd.h> of Debian 12 does not have. It must not know whose
 * process it is.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/time.h"
#include "os/pidfd-info.h"

/* struct pidfd_info, which grows */
struct info {
        uint64_t mask, cgroup;
        uint32_t pid, tgid, parent, ids[8], exit_code;
};
#define GET_INFO             _IOWR(0xFF, 11, struct info)
#define INFO_PID             (UINT64_C(1) << 0)
#define INFO_EXIT            (UINT64_C(1) << 3)
#define SIGNAL_PROCESS_GROUP (1U << 2)

/* Whoever is to reap it was woken together with this process. */
#define REAP_MSEC 10

/* Service managers that stand still are not waited for at each death. */
#define PATIENCE_USEC (10 * USEC_PER_SEC)

pid_t pidfd_info_get_parent(int pidfd)
{
        struct info info = { .mask = INFO_PID };

        return ioctl(pidfd, GET_INFO, &info) < 0 ? -errno : (pid_t)info.parent;
}

/* Returns 1 with the end, 0 where it is not told yet, or -errno. */
static int read_end(int pidfd, struct process_end *ret)
{
        struct info info = { .mask = INFO_EXIT };
        int status;

        if (ioctl(pidfd, GET_INFO, &info) < 0)
                return -errno;
        if (!(info.mask & INFO_EXIT))
                return 0;

        status = (int)info.exit_code;
        if (WIFEXITED(status))
                *ret = (struct process_end){ .code = CLD_EXITED, .status = WEXITSTATUS(status) };
        else
                *ret = (struct process_end){
                        .code = WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED,
                        .status = WTERMSIG(status),
                };
        return 1;
}

struct process_end pidfd_info_get_end(int pidfd)
{
        static usec_t in_vain;
        struct process_end end = {};

        if (read_end(pidfd, &end) != 0 ||
                (in_vain != 0 && usec_now() < usec_add(in_vain, PATIENCE_USEC)))
                return end;

        /* POLLHUP: it was reaped */
        if (poll(&(struct pollfd){ .fd = pidfd }, 1, REAP_MSEC) <= 0 || read_end(pidfd, &end) <= 0)
                in_vain = usec_now();
        return end;
}

void pidfd_info_signal_group(int pidfd, int signal)
{
        (void)pidfd_send_signal(pidfd, signal, NULL, SIGNAL_PROCESS_GROUP);
}
