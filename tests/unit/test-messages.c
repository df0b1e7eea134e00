/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The messages of the dispatcher and their texts for `journalctl -x`: src/os/messages.h and
 * systemd/acceptd.catalog have the same ids, each once.
 */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "os/messages.h"

#define CATALOG     "systemd/acceptd.catalog"
#define ID_LENGTH   32
#define ENTRIES_MAX 256
#define WIDTH_MAX   100 /* of a line, before its @FIELDS@ are replaced */

static const struct {
        const char *name, *id;
} messages[] = {
#define MESSAGE_NAME(name, id, priority) { #name, id },
        MESSAGES(MESSAGE_NAME)
#undef MESSAGE_NAME
};

struct entry {
        char id[ID_LENGTH + 1];
        char name[64]; /* from the comment above it */
        bool subject, defined_by, documentation;
        unsigned n_lines; /* of text */
};

struct catalog {
        struct entry entries[ENTRIES_MAX];
        size_t n;
};

/* The tree is somewhere above this program. */
static FILE *open_catalog(void)
{
        char path[PATH_MAX + sizeof("/" CATALOG)];
        ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
        FILE *f = NULL;

        assert_in_range(n, 1, PATH_MAX - 1);
        path[n] = '\0';
        while (!f) {
                char *slash = strrchr(path, '/');

                assert_non_null(slash);
                strcpy(slash, "/" CATALOG);
                f = fopen(path, "re");
                *slash = '\0';
        }

        return f;
}

static bool is_header(const char *line, const char *name)
{
        const char *value = startswith(line, name);

        return value && startswith(value, ": ") && value[2] != '\0';
}

static void read_line(struct catalog *c, char *comment, const char *line, bool *in_text)
{
        struct entry *e = c->n > 0 ? &c->entries[c->n - 1] : NULL;

        if (*line == '#') {
                (void)snprintf(comment, sizeof(e->name), "%s", line + 1 + strspn(line + 1, " "));
                return;
        }

        if (startswith(line, "-- ")) {
                assert_in_range(c->n, 0, ENTRIES_MAX - 1);
                assert_int_equal(strlen(line + 3), ID_LENGTH);
                e = &c->entries[c->n++];
                (void)snprintf(e->id, sizeof(e->id), "%s", line + 3);
                (void)snprintf(e->name, sizeof(e->name), "%s", comment);
                *in_text = false;
                return;
        }

        if (*line == '\0') {
                *in_text = true;
                return;
        }

        if (!e)
                return;
        if (*in_text)
                e->n_lines++;
        e->subject |= is_header(line, "Subject");
        e->defined_by |= is_header(line, "Defined-By");
        e->documentation |= is_header(line, "Documentation");
}

static int read_catalog(void **state)
{
        static struct catalog catalog;
        _cleanup_(fclosep) FILE *f = open_catalog();
        char line[512], comment[sizeof(catalog.entries->name)] = "";
        bool in_text = false;

        catalog.n = 0;
        while (fgets(line, sizeof(line), f)) {
                line[strcspn(line, "\n")] = '\0';
                if (strlen(line) > WIDTH_MAX)
                        fail_msg("too long: %s", line);
                read_line(&catalog, comment, line, &in_text);
        }

        *state = &catalog;
        return 0;
}

static const struct entry *find_entry(const struct catalog *c, const char *id)
{
        for (size_t i = 0; i < c->n; i++)
                if (streq(c->entries[i].id, id))
                        return &c->entries[i];

        return NULL;
}

static void each_message_has_an_id_of_its_own(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(messages); i++) {
                const char *id = messages[i].id;

                if (strlen(id) != ID_LENGTH || strspn(id, "0123456789abcdef") != ID_LENGTH)
                        fail_msg("%s: not an id: %s", messages[i].name, id);
                for (size_t j = 0; j < i; j++)
                        if (streq(id, messages[j].id))
                                fail_msg("%s and %s have the same id", messages[i].name,
                                        messages[j].name);
        }
}

static void each_message_has_its_text(void **state)
{
        for (size_t i = 0; i < ELEMENTSOF(messages); i++) {
                const struct entry *e = find_entry(*state, messages[i].id);

                if (!e)
                        fail_msg("%s (%s) is not in " CATALOG, messages[i].name, messages[i].id);
                else if (!streq(e->name, messages[i].name))
                        fail_msg("%s is called %s in " CATALOG, messages[i].name, e->name);
        }
}

static void each_text_has_its_message(void **state)
{
        const struct catalog *c = *state;

        for (size_t i = 0; i < c->n; i++) {
                size_t j = 0;

                while (j < ELEMENTSOF(messages) && !streq(c->entries[i].id, messages[j].id))
                        j++;
                if (j == ELEMENTSOF(messages))
                        fail_msg("%s (%s) is in " CATALOG " only", c->entries[i].id,
                                c->entries[i].name);
                if (find_entry(c, c->entries[i].id) != &c->entries[i])
                        fail_msg("%s is there twice", c->entries[i].id);
        }
}

static void each_text_is_complete(void **state)
{
        const struct catalog *c = *state;

        for (size_t i = 0; i < c->n; i++) {
                const struct entry *e = &c->entries[i];

                if (!e->subject || !e->defined_by || !e->documentation || e->n_lines == 0)
                        fail_msg("%s (%s): want Subject, Defined-By, Documentation and a text",
                                e->id, e->name);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_message_has_an_id_of_its_own),
                cmocka_unit_test_setup(each_message_has_its_text, read_catalog),
                cmocka_unit_test_setup(each_text_has_its_message, read_catalog),
                cmocka_unit_test_setup(each_text_is_complete, read_catalog),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
