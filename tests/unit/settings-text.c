/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Settings as text. Called by test-settings.c and test-settings-whole.c. */

#include "settings-text.h"

char *settings_text(const struct settings *s)
{
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        assert_int_equal(settings_print(s, f), 0);
        assert_int_equal(fclose(f), 0);
        return text;
}

void settings_must_assign(struct settings *s, const char *assignment)
{
        char *message = NULL;

        if (settings_assign(s, assignment, "-o", &message) != 0)
                fail_msg("%s: %s", assignment, message ? message : "no memory");
        assert_null(message);
}
