/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/* Returns how much memory a process and all that it has started have resident, in bytes, each as
 * ps(1) shows it: what several of them share is in there several times. 0: it is not known. */
uint64_t memory_measure(pid_t pid);
