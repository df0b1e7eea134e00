/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What makes a record of the worker protocol sound in itself. Whether it fits the state of the
 * worker that sent it (an id that is not its own, a PONG that nobody asked for, a feature that was
 * not taken) is the receiver's to judge.
 */

#include "wire/record.h"

static const char *check_listener(const struct record *record)
{
        return record->listener == 0 ? NULL : "listener is not 0";
}

static const char *check_fields(const struct record *record, bool with_id)
{
        const char *why = record->type == RECORD_CONNECTION ? NULL : check_listener(record);

        if (why)
                return why;
        if (with_id && record->id == 0)
                return "connection id is 0";
        if (!with_id && record->id != 0)
                return "connection id is not 0";

        return NULL;
}

const char *record_check_to_worker(const struct record *record)
{
        if (record->version != RECORD_VERSION)
                return "unknown version (allowed: 1)";

        switch (record->type) {
        case RECORD_CONNECTION:
                return check_fields(record, true);
        case RECORD_PING:
        case RECORD_LIST:
        case RECORD_FINISHED:
                return check_fields(record, false);
        case RECORD_DRAIN:
                if (record->value == 0)
                        return "DRAIN for the reason 0 (allowed: 1 or more)";
                return check_listener(record);
        default:
                return "unknown record type (allowed: CONNECTION, PING, LIST, DRAIN, FINISHED)";
        }
}

const char *record_check_to_dispatcher(const struct record *record)
{
        if (record->version != RECORD_VERSION)
                return "unknown version (allowed: 1)";

        switch (record->type) {
        case RECORD_READY:
                /* Each READY names the features, so a pause names its own. */
                if (record->value == 0 && !(record->id & RECORD_FEATURE_PAUSE))
                        return "READY with capacity 0 (allowed: 1 or more)";
                return check_listener(record);
        case RECORD_NOT_STARTED:
                if (record->value == 0 || record->value > RECORD_ERRNO_MAX)
                        return "NOT_STARTED without an errno (allowed: 1 to 4095)";
                return check_fields(record, false);
        case RECORD_PONG:
                return check_fields(record, false);
        case RECORD_DONE:
        case RECORD_HELD:
        case RECORD_FAILED:
                return check_fields(record, true);
        default:
                return "unknown record type (allowed: READY, DONE, PONG, HELD, FAILED)";
        }
}
