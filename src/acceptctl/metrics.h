/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "acceptctl/instance.h"

/*
 * Statuses as metrics, in the text format of Prometheus or in that of OpenMetrics.
 */

/* `statuses` has a status by each name, or null where there is none. No series has to do with a
 * single worker, so their number does not grow with restarts. */
void metrics_write(FILE *f, const struct places *places, const json_t *statuses, bool openmetrics);

/* The type of such a text, for HTTP. */
const char *metrics_content_type(bool openmetrics);
