/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SIGHUP and SIGUSR1 are meant for the dispatcher, and `systemctl kill` sends them to all processes
 * unless it is told otherwise: they would end a worker that has no handler. One that does nothing,
 * and not SIG_IGN, which programs that it executes would inherit. */
void signals_outlive(void);

/* How many of these have come to handlers that do nothing. */
unsigned signals_count_outlived(void);
