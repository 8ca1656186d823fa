/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where the compiler has no fuzzing engine: runs a target on each file of the folders that are named. */

#include "common/util.h"

#include <dirent.h>

#define INPUT_MAX (1U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int run_file(const char *folder, const char *name)
{
        _cleanup_free_ char *path = NULL, *data = NULL;
        _cleanup_fclose_ FILE *f = NULL;
        size_t n;

        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return -ENOMEM;
        f = fopen(path, "re");
        if (!f)
                return -errno;
        data = malloc(INPUT_MAX);
        if (!data)
                return -ENOMEM;
        n = fread(data, 1, INPUT_MAX, f);
        if (ferror(f))
                return -EIO;
        (void) LLVMFuzzerTestOneInput((const uint8_t *) data, n);
        return 0;
}

static int run_folder(const char *folder)
{
        struct dirent *e;
        unsigned n = 0;
        DIR *d;
        int r = 0;

        d = opendir(folder);
        if (!d)
                return -errno;
        while (r >= 0 && (e = readdir(d))) {
                if (e->d_name[0] == '.')
                        continue;
                r = run_file(folder, e->d_name);
                n++;
        }
        (void) closedir(d);
        printf("%s: %u inputs\n", folder, n);
        return r < 0 ? r : n == 0 ? -ENOENT : 0;
}

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                int r = run_folder(argv[i]);

                if (r < 0) {
                        fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
                        return 1;
                }
        }
        return 0;
}
