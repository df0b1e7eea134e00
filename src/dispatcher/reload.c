/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reloading. Called by control-methods.c when somebody asks for it; which settings can change under
 * running workers is policy/settings-change.c's to say.
 */

#include "dispatcher/connection-log.h"
#include "dispatcher/health.h"
#include "dispatcher/journal.h"
#include "dispatcher/reload.h"
#include "policy/settings-change.h"
#include "varlink/interfaces.h"

/* The keys with this change, as text for the log. */
static void format_keys(const enum settings_change *changes, enum settings_change which, char *text,
        size_t size)
{
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; i < SETTING_COUNT; i++)
                if (changes[i] == which && n < size)
                        n += (size_t)snprintf(
                                text + n, size - n, "%s%s=", n > 0 ? ", " : "", settings_key(i));
}

static json_t *make_keys(const enum settings_change *changes, enum settings_change which)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < SETTING_COUNT; i++)
                if (changes[i] == which)
                        (void)json_array_append_new(list, json_string(settings_key(i)));

        return list;
}

static void log_changes(const enum settings_change *changes)
{
        char applied[512], pending[512];

        format_keys(changes, SETTING_APPLIED, applied, sizeof(applied));
        format_keys(changes, SETTING_PENDING, pending, sizeof(pending));
        journal_event(MESSAGE_RELOADED,
                JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_APPLIED", applied),
                        JOURNAL_TEXT("ACCEPTD_PENDING", pending)),
                "Settings were read again. In force now: %s. At the next start: %s.",
                applied[0] ? applied : "nothing new", pending[0] ? pending : "nothing new");
}

/* Returns 0 or -errno, with a message where there is more to say. */
static int reload(const struct reload *what, enum settings_change *changes, char **ret_message)
{
        _cleanup_(settings_done) struct settings fresh = {};
        struct dispatcher *d = what->dispatcher;
        int r;

        settings_init(&fresh);
        r = what->read(&fresh, what->userdata, ret_message);
        if (r < 0)
                return r;

        r = settings_change(what->settings, &fresh, d->pool.slots.n_table, changes);
        if (r < 0)
                return r;

        pool_settings_changed(&d->pool);
        connection_log_set(d);
        /* From the timer and not from here, where a failure would not end the dispatcher */
        (void)sd_event_source_set_time(d->timer, 0);
        (void)sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
        return 0;
}

static void fail(struct control_call *call, const char *reason)
{
        journal_event(MESSAGE_RELOAD_FAILED,
                JOURNAL_FIELDS(JOURNAL_TEXT("ACCEPTD_REASON", reason)),
                "The reload failed, and nothing changed: %s", reason);
        control_fail(call, VARLINK_RELOAD_FAILED,
                json_pack("{s:o}", "reason", varlink_make_text(reason)));
}

void reload_run(struct control_call *call, void *userdata)
{
        const struct reload *what = userdata;
        struct dispatcher *d = what->dispatcher;
        enum settings_change changes[SETTING_COUNT];
        _cleanup_(freep) char *message = NULL;
        int r;

        if (d->pool.stopping) {
                fail(call, "the instance is stopping");
                return;
        }

        health_reloading(d);
        r = reload(what, changes, &message);
        health_reloaded(d);
        if (r < 0) {
                fail(call, message ?: strerror(-r));
                return;
        }

        log_changes(changes);
        control_reply(call,
                json_pack("{s:I, s:o, s:o}", "generation", (json_int_t)d->pool.state->generation,
                        "applied", make_keys(changes, SETTING_APPLIED), "pending",
                        make_keys(changes, SETTING_PENDING)));
}
