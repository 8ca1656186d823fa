/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/disk-kernel.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/blkpg.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

/* The kernel gives an extended partition this much, for boot loaders. */
#define EXTENDED_SIZE 1024U
#define SECTOR 512U
/* udev, and LVM at each of its commands, open every partition for a moment to see what is on it. */
#define BUSY_USEC (3 * USEC_PER_SEC)
#define BUSY_STEP_USEC (20 * USEC_PER_MSEC)

static int read_number(int dir_fd, const char *partition, const char *attribute, uint64_t *ret)
{
        char path[512], text[32] = "";
        _cleanup_close_ int fd = -EBADF;

        (void) snprintf(path, sizeof(path), "%s/%s", partition, attribute);
        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
                return -ENOENT;
        *ret = strtoull(text, NULL, 10);
        return 0;
}

static int read_devnum(int dir_fd, const char *partition, dev_t *ret)
{
        char path[512], text[32] = "";
        _cleanup_close_ int fd = -EBADF;
        unsigned ma, mi;

        (void) snprintf(path, sizeof(path), "%s/dev", partition);
        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%u:%u", &ma, &mi) != 2)
                return -ENOENT;
        *ret = makedev(ma, mi);
        return 0;
}

/* 1: it is one, 0: it is something else, or is gone by now. */
static int read_partition(int dir_fd, const char *name, KernelPartition *ret)
{
        uint64_t number, start, size;

        if (strlen(name) >= sizeof(ret->name) || read_number(dir_fd, name, "partition", &number) < 0 ||
            read_number(dir_fd, name, "start", &start) < 0 || read_number(dir_fd, name, "size", &size) < 0 ||
            read_devnum(dir_fd, name, &ret->devnum) < 0)
                return 0;
        ret->number = (unsigned) number;
        ret->start = start * SECTOR;
        ret->size = size * SECTOR;
        memcpy(ret->name, name, strlen(name) + 1);
        return 1;
}

int disk_kernel_list(const BlockDevice *device, KernelPartition **ret, size_t *ret_n)
{
        _cleanup_free_ KernelPartition *l = NULL;
        char path[64];
        struct dirent *entry;
        size_t n = 0;
        DIR *dir;

        (void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(device->devnum),
                        minor(device->devnum));
        dir = opendir(path);
        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                KernelPartition p, *longer;

                if (entry->d_name[0] == '.' || read_partition(dirfd(dir), entry->d_name, &p) == 0)
                        continue;
                longer = reallocarray(l, n + 1, sizeof(*l));
                if (!longer) {
                        (void) closedir(dir);
                        return -ENOMEM;
                }
                l = longer;
                l[n++] = p;
        }
        (void) closedir(dir);
        *ret = TAKE_PTR(l);
        *ret_n = n;
        return 0;
}

const KernelPartition *disk_kernel_find(const KernelPartition *l, size_t n, unsigned number)
{
        for (size_t i = 0; i < n; i++) {
                if (l[i].number == number)
                        return &l[i];
        }
        return NULL;
}

bool disk_kernel_agrees(const KernelPartition *k, const DiskPartition *p)
{
        if (k->start != p->start)
                return false;
        return p->kind == PARTITION_EXTENDED || k->size == p->end - p->start;
}

static int blkpg(int fd, int op, unsigned number, uint64_t start, uint64_t size)
{
        struct blkpg_partition partition = {
                .pno = (int) number,
                .start = (long long) start,
                .length = (long long) size,
        };
        struct blkpg_ioctl_arg arg = {.op = op, .datalen = sizeof(partition), .data = &partition};

        return ioctl(fd, BLKPG, &arg) < 0 ? -errno : 0;
}

int disk_kernel_forget(int fd, unsigned number)
{
        uint64_t end = now_monotonic() + BUSY_USEC;
        int r;

        while ((r = blkpg(fd, BLKPG_DEL_PARTITION, number, 0, 0)) == -EBUSY && now_monotonic() < end)
                (void) usleep(BUSY_STEP_USEC);
        return r;
}

int disk_kernel_add(int fd, const DiskPartition *p, uint32_t sector_size)
{
        uint64_t size = p->end - p->start;

        if (p->kind == PARTITION_EXTENDED && size > EXTENDED_SIZE)
                size = sector_size > EXTENDED_SIZE ? sector_size : EXTENDED_SIZE;
        return blkpg(fd, BLKPG_ADD_PARTITION, p->number, p->start, size);
}

static int fail(BackendContext *ctx, const BlockDevice *device, int r, unsigned number)
{
        if (r == -EBUSY)
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                  "The partition table of %s is written, but the kernel keeps partition %u "
                                  "as it was, as somebody has it open",
                                  device->path, number);
        return error_set_errno(ctx->error, r, "Cannot tell the kernel of partition %u of %s", number,
                               device->path);
}

/* The kernel's partitions must not overlap, as the whole disk does with all others. */
static bool is_whole(const DiskTable *table, const DiskPartition *p)
{
        return p->kind == PARTITION_RESERVED && p->start == 0 && p->end >= table->last;
}

static int forget_old(BackendContext *ctx, const BlockDevice *device, int fd, const DiskTable *table,
                      const KernelPartition *l, size_t n)
{
        int result = 0;

        for (size_t i = 0; i < n; i++) {
                const DiskPartition *p = disk_table_find(table, l[i].number);
                int r;

                if (p && p->start == l[i].start && !is_whole(table, p))
                        continue;
                r = disk_kernel_forget(fd, l[i].number);
                if (r < 0 && r != -ENXIO && result == 0)
                        result = fail(ctx, device, r, l[i].number);
        }
        return result;
}

static int tell(int fd, const DiskTable *table, const DiskPartition *p, const KernelPartition *k)
{
        if (!k || k->start != p->start)
                return disk_kernel_add(fd, p, table->sector_size);
        if (disk_kernel_agrees(k, p))
                return 0;
        return blkpg(fd, BLKPG_RESIZE_PARTITION, p->number, p->start, p->end - p->start);
}

int disk_kernel_sync(BackendContext *ctx, const BlockDevice *device, int fd, const DiskTable *table)
{
        _cleanup_free_ KernelPartition *l = NULL;
        int r, result;
        size_t n;

        r = disk_kernel_list(device, &l, &n);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot list the kernel's partitions of %s",
                                       device->path);
        result = forget_old(ctx, device, fd, table, l, n);
        for (size_t i = 0; i < table->n_partitions; i++) {
                const DiskPartition *p = &table->partitions[i];

                if (p->kind == PARTITION_RESERVED)
                        continue;
                r = tell(fd, table, p, disk_kernel_find(l, n, p->number));
                if (r < 0 && result == 0)
                        result = fail(ctx, device, r, p->number);
        }
        return result;
}
