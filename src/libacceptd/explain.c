/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Errors of the library in words, and as exit statuses. Knows no worker.
 */

#include <sysexits.h>

#include "base/base.h"
#include "libacceptd/acceptd.h"
#include "libacceptd/explain.h"

const char *explain_error(int error)
{
        switch (-error) {
        case ENXIO:
                return "$ACCEPTD_CHANNEL is not set: this program is a worker, run it from "
                       "acceptd (acceptd -- PROGRAM, or Command= in its settings)";
        case EBADF:
                return "$ACCEPTD_CHANNEL is not the number of an open descriptor";
        case EPROTOTYPE:
                return "$ACCEPTD_CHANNEL is not an AF_UNIX socket of type SOCK_SEQPACKET";
        case EMFILE:
                return "RLIMIT_NOFILE leaves no descriptor for a connection";
        case EBUSY:
                return "this process has opened the channel already, and can have it once";
        case ENOENT:
                return "no connection with this id is held: its end was said already, or it never "
                       "came";
        case ECHILD:
                return "this process was forked from the worker: only that may use the channel";
        case EOPNOTSUPP:
                return "this acceptd does not offer that";
        case EINVAL:
                return "no such flag";
        default:
                return strerrordesc_np(-error) ?: "unknown error";
        }
}

int acceptd_exit_status(int result)
{
        if (result >= 0)
                return EX_OK;

        switch (-result) {
        case ENXIO:
        case EBADF:
        case EPROTOTYPE:
                return EX_USAGE;
        case EPROTO:
                return EX_PROTOCOL;
        default:
                return EX_OSERR;
        }
}
