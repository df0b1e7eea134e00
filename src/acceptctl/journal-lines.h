/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/base.h"

/* Prints the last `n` lines that the journal has of an instance and its workers. Does nothing where
 * there is no journal, or none that may be read. */
void journal_lines_show(const char *name, uint64_t n);
