/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/* How a process ended. */
struct process_end {
        int code;   /* CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: nobody knows */
        int status; /* exit status or signal */
};

/* Writes it in words that follow "Worker 3", into `text` with room for PROCESS_END_MAX. */
#define PROCESS_END_MAX 96
void process_end_format(const struct process_end *end, char *text);
