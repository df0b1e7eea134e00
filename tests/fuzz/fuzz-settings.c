/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A settings file: read, checked, printed, and what was printed is read again. */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "settings/settings-file.h"
#include "takeover/kept-settings.h"

#include "fuzz.h"

static int read_fd(struct settings *s, int fd)
{
        _cleanup_(freep) char *message = NULL;
        char path[48];
        int r;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        r = settings_file_read(s, path, &message);
        if (r >= 0)
                r = settings_check(s, &message);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(fd_closep) int fd = memfd_create("settings", MFD_CLOEXEC);
        struct settings s, again;

        fuzz_expect(fd >= 0 && write(fd, data, size) == (ssize_t)size);
        settings_init(&s);
        if (read_fd(&s, fd) >= 0) {
                _cleanup_(fd_closep) int printed = kept_settings_make(&s);

                fuzz_expect(printed >= 0);
                settings_init(&again);
                fuzz_expect(read_fd(&again, printed) >= 0);
                settings_done(&again);
        }
        settings_done(&s);
        return 0;
}
