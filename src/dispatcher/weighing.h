/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy/pool.h"

/* Looks how large the workers are that the pool wants to know of: POOL_WEIGH. */
void weighing_do(struct pool *pool);
