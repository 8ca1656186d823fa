/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/store-read.h"
#include "common/log.h"

#include <dirent.h>

#define LINE_SIZE 4096U

static void take_line(const char *line, const StoreField *fields, size_t n)
{
        const char *equals = strchr(line, '=');

        for (size_t i = 0; equals && i < n; i++) {
                if (strncmp(line, fields[i].key, (size_t) (equals - line)) != 0 ||
                    fields[i].key[equals - line])
                        continue;
                if (strlen(equals + 1) < fields[i].size)
                        strcpy(fields[i].value, equals + 1);
                return;
        }
}

void store_read_fields(FILE *f, const StoreField *fields, size_t n)
{
        char line[LINE_SIZE];

        for (size_t i = 0; i < n; i++)
                fields[i].value[0] = 0;
        while (fgets(line, sizeof line, f)) {
                line[strcspn(line, "\n")] = 0;
                take_line(line, fields, n);
        }
}

uint64_t store_read_number(const char *value, uint64_t missing)
{
        char *end;
        uint64_t n;

        errno = 0;
        n = strtoull(value, &end, 10);
        return end == value || *end || errno ? missing : n;
}

static int is_file_of_ours(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

static int read_one(Manager *m, StoreFile kind, const char *name,
                    int (*found)(Manager *m, const char *name, FILE *f))
{
        _cleanup_free_ char *path = store_path(m, kind, name);
        _cleanup_fclose_ FILE *f = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        f = fopen(path, "re");
        if (!f) {
                log_warning("Skipped %s: %s", path, strerrordesc_np(errno));
                return 0;
        }
        r = found(m, name, f);
        if (r != -EINVAL)
                return r;
        log_warning("Skipped %s: it does not say what it is about", path);
        return 0;
}

int store_read_each(Manager *m, StoreFile kind, int (*found)(Manager *m, const char *name, FILE *f))
{
        _cleanup_free_ char *folder = store_path(m, kind, "");
        struct dirent **entries = NULL;
        int n, r = 0;

        n = folder ? scandir(folder, &entries, is_file_of_ours, versionsort) : -1;
        if (n < 0)
                return folder ? -errno : -ENOMEM;
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = read_one(m, kind, entries[i]->d_name, found);
                free(entries[i]);
        }
        free(entries);
        return r < 0 ? r : 0;
}
