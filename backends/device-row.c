/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/device-row.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <systemd/sd-device.h>

#include "backends/block-device.h"
#include "backends/in-use.h"

#define SECTOR_SIZE 512U /* of sysfs, whatever the device's own is */

bool device_folder(const char *folder)
{
        return streq(folder, "/dev") || startswith(folder, "/dev/");
}

bool device_awaits_udev(const char *folder, const struct statx *stx)
{
        _cleanup_(sd_device_unrefp) sd_device *device = NULL;

        /* Elsewhere links may be anybody's, and there may be no udev. */
        return startswith(folder, "/dev/disk/") &&
               sd_device_new_from_devnum(&device, 'b', makedev(stx->stx_rdev_major, stx->stx_rdev_minor)) >=
                       0 &&
               sd_device_get_is_initialized(device) == 0;
}

static uint64_t read_size(sd_device *device)
{
        const char *value;

        return sd_device_get_sysattr_value(device, "size", &value) < 0
                       ? 0
                       : strtoull(value, NULL, 10) * SECTOR_SIZE;
}

static bool has_property(sd_device *device, const char *key)
{
        const char *value;

        return sd_device_get_property_value(device, key, &value) >= 0 && streq(value, "1");
}

static int set_problem(VolumeRow *row, const char *text)
{
        row->extra = volume_extra_new();
        if (!row->extra)
                return -ENOMEM;
        row->extra->problem = strdup(text);
        return row->extra->problem ? 0 : -ENOMEM;
}

int device_row_set(VolumeRow *row, const struct statx *stx)
{
        _cleanup_(sd_device_unrefp) sd_device *device = NULL;
        dev_t devnum = makedev(stx->stx_rdev_major, stx->stx_rdev_minor);
        const char *node;

        row->type = VOLUME_BLOCK;
        row->format = volume_format_intern("raw");
        row->mode = stx->stx_mode & 07777;
        row->owner = stx->stx_uid;
        row->group = stx->stx_gid;
        if (sd_device_new_from_devnum(&device, 'b', devnum) < 0)
                return set_problem(row, "There is no such device any more");
        /* Of a drive without a medium the kernel may still tell the size of the last one. */
        if (has_property(device, "ID_CDROM") && !has_property(device, "ID_CDROM_MEDIA"))
                return set_problem(row, "There is no medium in the drive");
        row->capacity = row->allocation = row->physical = read_size(device);
        row->in_use = sd_device_get_devname(device, &node) >= 0 && block_device_has_holders(devnum, node);
        return 0;
}

int device_open(BackendContext *ctx, int dir_fd, const char *name, OpenMode mode, bool force, int *ret_fd)
{
        bool write = open_mode_writes(mode);
        _cleanup_(block_device_done) BlockDevice dev = {0};
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (asprintf(&path, "%s/%s", ctx->pool->target_path, name) < 0)
                return -ENOMEM;
        r = block_device_find(ctx, path, &dev);
        if (r >= 0 && write)
                r = block_device_require_unheld(ctx, &dev, "cannot be opened for writing");
        if (r < 0)
                return r;
        fd = openat(dir_fd, name, (write ? O_RDWR | O_EXCL : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errno(ctx->error, errno, "Cannot open the device %s", path);
        /* The link may lead somewhere else by now. */
        if (!S_ISBLK(st.st_mode) || st.st_rdev != dev.devnum)
                return error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND, "%s leads to another device by now",
                                  path);
        r = in_use_refuse_mode(ctx, fd, name, mode, force);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int device_row_look(BackendContext *ctx, int dir_fd, const char *name, VolumeRow *ret)
{
        VolumeRow row = {0};
        struct statx stx;
        int r;

        r = volume_name_validate(name, ctx->error);
        if (r < 0)
                return r;
        if (statx(dir_fd, name, AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &stx) < 0 ||
            !S_ISBLK(stx.stx_mode))
                return error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND,
                                  "There is no volume '%s' in pool '%s'", name, ctx->pool->name);
        row.name = strdup(name);
        r = row.name ? device_row_set(&row, &stx) : -ENOMEM;
        if (r < 0) {
                volume_row_done(&row);
                return error_set_errno(ctx->error, r, "Cannot read volume '%s'", name);
        }
        *ret = row;
        return 0;
}
