/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/vmdk-name.h"

#include <endian.h>

#include "backends/qemu-img.h"

/* VMware's "Virtual Disk Format 5.0", SparseExtentHeader. */
#define SECTOR_SIZE 512U
#define DESCRIPTOR_OFFSET 28
#define DESCRIPTOR_SIZE 36
#define DESCRIPTOR_SECTORS_MAX 128U

/* The last part of the path that qemu-img was given. */
#define TARGET_NAME (strrchr(QEMU_IMG_TARGET, '/') + 1)

static uint64_t read_le64(const char *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof(v));
        return le64toh(v);
}

int vmdk_set_extent_name(int fd, const char *name)
{
        _cleanup_free_ char *text = NULL, *changed = NULL, *before = NULL;
        uint64_t offset, sectors;
        char head[SECTOR_SIZE];
        char *found;
        size_t n;

        if (pread(fd, head, sizeof(head), 0) != (ssize_t) sizeof(head) || memcmp(head, "KDMV", 4) != 0)
                return -EIO;
        offset = read_le64(head + DESCRIPTOR_OFFSET) * SECTOR_SIZE;
        sectors = read_le64(head + DESCRIPTOR_SIZE);
        if (sectors == 0 || sectors > DESCRIPTOR_SECTORS_MAX || strchr(name, '"'))
                return 0;
        n = (size_t) sectors * SECTOR_SIZE;
        text = calloc(1, n + 1);
        if (!text || asprintf(&before, "SPARSE \"%s\"", TARGET_NAME) < 0)
                return -ENOMEM;
        if (pread(fd, text, n, (off_t) offset) != (ssize_t) n)
                return -EIO;
        found = strstr(text, before);
        if (!found)
                return 0;
        *found = 0;
        if (asprintf(&changed, "%sSPARSE \"%s\"%s", text, name, found + strlen(before)) < 0)
                return -ENOMEM;
        if (strlen(changed) > n)
                return 0;
        memset(text, 0, n);
        memcpy(text, changed, strlen(changed));
        return pwrite(fd, text, n, (off_t) offset) == (ssize_t) n ? 0 : -EIO;
}
