/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Returns a sentence for a negative result of acceptd.h, as far as the number alone tells. */
const char *explain_error(int error);
