/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-snapshot.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "backends/copy-raw.h"
#include "backends/file-beneath.h"
#include "backends/file-replace.h"
#include "backends/file-row.h"
#include "backends/file-volume.h"
#include "common/snapshot-name.h"

/* XFS_IOC_FSGEOMETRY_V4 of xfs_fs.h (ioctl_xfs_fsgeometry(2)): its size, where its flags are, and one of
 * them. */
#define XFS_GEOMETRY_SIZE 112U
#define XFS_GEOMETRY_FLAGS_OFFSET 92U
#define XFS_GEOMETRY_REFLINK (UINT32_C(1) << 20)

bool file_system_shares_blocks(int fd)
{
        uint8_t geometry[XFS_GEOMETRY_SIZE];
        struct statfs fs;
        uint32_t flags;

        if (fstatfs(fd, &fs) < 0)
                return false;
        if (fs.f_type == BTRFS_SUPER_MAGIC)
                return true;
        if (fs.f_type != XFS_SUPER_MAGIC ||
            ioctl(fd, _IOR('X', 124, uint8_t[XFS_GEOMETRY_SIZE]), geometry) < 0)
                return false;
        memcpy(&flags, geometry + XFS_GEOMETRY_FLAGS_OFFSET, sizeof(flags));
        return flags & XFS_GEOMETRY_REFLINK;
}

static int fail(BackendContext *ctx, int r, const char *verb, const char *volume, const char *name)
{
        if (r == -EEXIST)
                return error_setf(ctx->error, STORAGE_ERROR_EXISTS,
                                  "Volume '%s' of pool '%s' has a snapshot '%s' already; choose another "
                                  "name or delete "
                                  "that",
                                  volume, ctx->pool->name, name);
        if (r == -ENOENT)
                return error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND,
                                  "Volume '%s' of pool '%s' has no snapshot '%s'", volume, ctx->pool->name,
                                  name);
        if (r == -EOPNOTSUPP)
                return error_setf(
                        ctx->error, STORAGE_ERROR_UNSUPPORTED,
                        "Cannot %s snapshot '%s' of volume '%s': its file system does not let files share "
                        "blocks, or not these (btrfs: both must copy on write, or neither)",
                        verb, name, volume);
        return error_set_errno(ctx->error, r, "Cannot %s snapshot '%s' of volume '%s' of pool '%s'", verb,
                               name, volume, ctx->pool->name);
}

/* A file that copies on write cannot share blocks with one that does not. */
static int fill(BackendContext *ctx, int from, int to, const char *volume)
{
        int r = file_copy_nocow(ctx, from, to, volume);

        if (r >= 0)
                r = copy_reflink(from, to);
        return r < 0 ? r : fsync(to) < 0 ? -errno : 0;
}

int file_snapshot_create(BackendContext *ctx, const char *volume, int fd, const char *name, VolumeRow *ret)
{
        _cleanup_free_ char *file = snapshot_file_name(volume, name);
        _cleanup_close_ int dir_fd = -EBADF;
        Unfinished u = UNFINISHED_NONE;
        int r;

        if (!file)
                return fail(ctx, -ENOMEM, "make", volume, name);
        r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        r = unfinished_create(dir_fd, false, &u);
        if (r >= 0)
                r = fill(ctx, fd, u.fd, volume);
        if (r >= 0)
                r = unfinished_publish(&u, file);
        if (r >= 0 && fsync(dir_fd) < 0)
                r = -errno;
        if (r >= 0)
                r = file_row_read(u.fd, ctx->pool->target_path, file, ret);
        unfinished_done(&u);
        return r < 0 ? fail(ctx, r, "make", volume, name) : 0;
}

int file_snapshot_revert(BackendContext *ctx, const char *volume, int fd, const char *name)
{
        _cleanup_free_ char *file = snapshot_file_name(volume, name);
        _cleanup_close_ int dir_fd = -EBADF, from = -EBADF;
        Replacement replacement;
        int r;

        if (!file)
                return fail(ctx, -ENOMEM, "go back to", volume, name);
        r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        from = open_beneath(dir_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, false);
        if (from < 0)
                return fail(ctx, from, "go back to", volume, name);
        r = file_replace_begin(ctx, volume, fd, &replacement);
        if (r < 0)
                return r;
        r = copy_reflink(from, replacement.new.fd);
        r = r < 0 ? fail(ctx, r, "go back to", volume, name) : file_replace_publish(&replacement);
        file_replace_done(&replacement);
        return r;
}

int file_snapshot_delete(BackendContext *ctx, const char *volume, const char *name)
{
        _cleanup_free_ char *file = snapshot_file_name(volume, name);
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        if (!file)
                return fail(ctx, -ENOMEM, "delete", volume, name);
        r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        if (unlinkat(dir_fd, file, 0) < 0 || fsync(dir_fd) < 0)
                return fail(ctx, -errno, "delete", volume, name);
        return 0;
}
