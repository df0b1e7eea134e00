/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a target once with each file of its corpus: folders that are named on the command line. */

#include <dirent.h>
#include <limits.h>

#include "fuzz.h"

static void run_file(const char *path)
{
        static uint8_t data[65536];
        FILE *f = fopen(path, "re");
        size_t n;

        fuzz_expect(f);
        n = fread(data, 1, sizeof(data), f);
        (void)fclose(f);
        (void)LLVMFuzzerTestOneInput(data, n);
}

static void run_folder(const char *folder)
{
        DIR *dir = opendir(folder);
        struct dirent *entry;

        fuzz_expect(dir);
        while ((entry = readdir(dir))) {
                char path[PATH_MAX];

                if (entry->d_name[0] == '.')
                        continue;
                (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
                run_file(path);
        }
        (void)closedir(dir);
}

int main(int argc, char **argv)
{
        (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
        printf("1..%d\n", argc - 1);
        for (int i = 1; i < argc; i++) {
                run_folder(argv[i]);
                printf("ok %d - %s\n", i, argv[i]);
        }

        return 0;
}
