/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dispatcher/dispatcher.h"

/*
 * LogConnections=: one message a connection, at its end.
 */

/* Has the pool tell of connections that end, or not, as the settings say. To be called again when
 * they have changed. */
void connection_log_set(struct dispatcher *d);
