/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libacceptd/worker-inside.h"

/*
 * What a worker hears.
 */

/* Receives until there is a connection, or nothing more now. Returns as acceptd_worker_receive();
 * *ret is set with ACCEPTD_CONNECTION only. */
int heard_receive(struct acceptd_worker *worker, struct acceptd_connection *ret);
