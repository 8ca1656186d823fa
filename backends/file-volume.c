/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-volume.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "backends/device-row.h"
#include "backends/file-beneath.h"
#include "backends/file-row.h"
#include "backends/in-use.h"
#include "backends/mount.h"
#include "backends/safe-open.h"

int file_volume_folder(BackendContext *ctx, int *ret_fd)
{
        _cleanup_close_ int fd = open_folder_safely(ctx->pool->target_path);
        int r;

        if (fd < 0)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_INACCESSIBLE,
                                         "The folder %s of pool '%s' cannot be opened: %s",
                                         ctx->pool->target_path, ctx->pool->name, open_folder_problem(fd));
        r = ctx->pool->type == POOL_FS ? mount_require(ctx, fd) : 0;
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int file_volume_require_files(BackendContext *ctx)
{
        if (!device_folder(ctx->pool->target_path))
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                          "Pool '%s' holds the host's own devices (%s): its volumes can be neither made nor "
                          "changed nor deleted",
                          ctx->pool->name, ctx->pool->target_path);
}

static int error_not_found(BackendContext *ctx, const char *name)
{
        return sd_bus_error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND, "There is no volume '%s' in pool '%s'",
                                 name, ctx->pool->name);
}

/* What is there of that name, if it can be a volume. */
static int stat_volume(BackendContext *ctx, int dir_fd, const char *name, struct stat *ret)
{
        int r;

        r = volume_name_validate(name, ctx->error);
        if (r < 0)
                return r;
        if (fstatat(dir_fd, name, ret, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT
                               ? error_not_found(ctx, name)
                               : error_set_errno(ctx->error, errno, "Cannot look at volume '%s'", name);
        if (S_ISREG(ret->st_mode) || S_ISDIR(ret->st_mode) || S_ISLNK(ret->st_mode))
                return 0;
        return error_not_found(ctx, name);
}

int file_volume_open_regular(BackendContext *ctx, int dir_fd, const char *name, int flags,
                             struct stat *ret_stat)
{
        int r, fd;

        r = stat_volume(ctx, dir_fd, name, ret_stat);
        if (r < 0)
                return r;
        if (S_ISDIR(ret_stat->st_mode))
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                                         "Volume '%s' of pool '%s' is a folder, not a file", name,
                                         ctx->pool->name);
        if (S_ISLNK(ret_stat->st_mode))
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_UNSUPPORTED,
                        "Volume '%s' of pool '%s' is a symbolic link; use the volume that it "
                        "leads to",
                        name, ctx->pool->name);
        fd = open_beneath(dir_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, false);
        if (fd >= 0 && (fstat(fd, ret_stat) < 0 || !S_ISREG(ret_stat->st_mode))) {
                safe_close(fd);
                return error_not_found(ctx, name);
        }
        if (fd < 0)
                return error_set_errno(ctx->error, fd, "Cannot open volume '%s' of pool '%s'", name,
                                       ctx->pool->name);
        return fd;
}

static int delete_folder(BackendContext *ctx, int dir_fd, const char *name)
{
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) >= 0)
                return 0;
        if (errno == ENOTEMPTY || errno == EEXIST)
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_FAILED,
                        "Cannot delete volume '%s' of pool '%s': it is a folder that is not "
                        "empty; remove what is in it first",
                        name, ctx->pool->name);
        return error_set_errno(ctx->error, errno, "Cannot delete folder '%s' of pool '%s'", name,
                               ctx->pool->name);
}

static int check_deletable(BackendContext *ctx, int dir_fd, const char *name, bool link)
{
        _cleanup_close_ int fd = open_beneath(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, link);

        /* A link that leads nowhere is in nobody's use; a file that we may not open cannot be asked. */
        if (fd < 0 && link)
                return 0;
        if (fd < 0)
                return error_set_errno(
                        ctx->error, fd,
                        "Cannot tell whether volume '%s' of pool '%s' is in use, unless by force", name,
                        ctx->pool->name);
        return in_use_refuse(ctx, fd, name, "cannot be deleted", false, true);
}

static int make_durable(BackendContext *ctx, int dir_fd, const char *name)
{
        if (!ctx->durable || fsync(dir_fd) >= 0)
                return 0;
        return error_set_errno(ctx->error, errno,
                               "Volume '%s' of pool '%s' was deleted, but may come back after a loss of power", name,
                               ctx->pool->name);
}

int file_volume_delete(BackendContext *ctx, const char *name, bool force)
{
        _cleanup_close_ int dir_fd = -EBADF;
        struct stat st;
        int r;

        r = file_volume_require_files(ctx);
        if (r >= 0)
                r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        r = stat_volume(ctx, dir_fd, name, &st);
        if (r < 0)
                return r;
        if (S_ISDIR(st.st_mode))
                return delete_folder(ctx, dir_fd, name);
        r = force ? 0 : check_deletable(ctx, dir_fd, name, S_ISLNK(st.st_mode));
        if (r < 0)
                return r;
        if (unlinkat(dir_fd, name, 0) >= 0)
                return make_durable(ctx, dir_fd, name);
        if (errno == ENOENT)
                return error_not_found(ctx, name);
        return error_set_errno(ctx->error, errno, "Cannot delete volume '%s' of pool '%s'", name,
                               ctx->pool->name);
}

int file_volume_lock(BackendContext *ctx, int fd, const char *name, OpenMode mode, bool force)
{
        bool change = open_mode_changes(mode), forcible = mode == OPEN_TO_CHANGE;
        const char *verb = change ? "cannot be changed" : "cannot be read";
        int r = image_lock(fd, change);

        if (force)
                return 0;
        if (r < 0) {
                r = in_use_refuse(ctx, fd, name, verb, false, forcible);
                if (r < 0)
                        return r;
                /* Whoever had it is gone. */
                r = image_lock(fd, change);
                if (r < 0)
                        return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                          "Volume '%s' of pool '%s' %s: others begin to use it all the time",
                                          name, ctx->pool->name, verb);
        }
        return in_use_refuse(ctx, fd, name, verb, !change, forcible);
}

static int lock_for_job(BackendContext *ctx, int fd, const char *name, OpenMode mode, bool force)
{
        if (mode != OPEN_TO_COPY && !open_mode_changes(mode))
                return 0;
        return file_volume_lock(ctx, fd, name, mode, force);
}

int file_volume_open(BackendContext *ctx, const char *name, OpenMode mode, bool force, int *ret_fd)
{
        bool write = open_mode_writes(mode);
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        struct stat st;
        int r;

        r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        if (device_folder(ctx->pool->target_path)) {
                r = volume_name_validate(name, ctx->error);
                return r < 0 ? r : device_open(ctx, dir_fd, name, mode, force, ret_fd);
        }
        fd = file_volume_open_regular(ctx, dir_fd, name, write ? O_RDWR : O_RDONLY, &st);
        if (fd < 0)
                return fd;
        /* The caller gets an ordinary descriptor; that flag was against surprises. */
        if (fcntl(fd, F_SETFL, 0) < 0)
                return error_set_errno(ctx->error, errno, "Cannot open volume '%s'", name);
        r = lock_for_job(ctx, fd, name, mode, force);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int file_volume_look(BackendContext *ctx, const char *name, VolumeRow *ret)
{
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        struct stat st;
        int r;

        r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        if (device_folder(ctx->pool->target_path))
                return device_row_look(ctx, dir_fd, name, ret);
        fd = file_volume_open_regular(ctx, dir_fd, name, O_RDONLY, &st);
        if (fd < 0)
                return fd;
        r = file_row_read(fd, ctx->pool->target_path, name, ret);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot read volume '%s'", name) : 0;
}
