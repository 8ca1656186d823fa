/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir.h"

#include <sys/stat.h>

#include "backends/dir-scan.h"
#include "backends/file-volume.h"
#include "backends/pool-folder.h"
#include "backends/safe-open.h"

static int dir_check(BackendContext *ctx, bool *ret_active)
{
        struct stat st;

        *ret_active = stat(ctx->pool->target_path, &st) >= 0 && S_ISDIR(st.st_mode);
        return 0;
}

static int dir_build(BackendContext *ctx, const BuildOptions *options, bool *ret_made)
{
        _cleanup_close_ int fd = -EBADF;
        bool fresh;
        int r;

        r = pool_folder_make(ctx, &fd, &fresh);
        if (r < 0)
                return r;
        r = pool_folder_set_up(ctx, fd, fresh);
        if (r < 0 && fresh)
                (void) rmdir(ctx->pool->target_path);
        *ret_made = r >= 0 && fresh;
        return r;
}

static int dir_start(BackendContext *ctx)
{
        const char *path = ctx->pool->target_path;
        _cleanup_close_ int fd = open_folder_safely(path);

        if (fd >= 0)
                return 0;
        if (fd == -ENOTDIR)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                         "Cannot start pool '%s': %s is not a folder", ctx->pool->name,
                                         path);
        if (fd == -ENOENT)
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_NOT_FOUND,
                        "Cannot start pool '%s': there is no folder %s; build the pool to make it",
                        ctx->pool->name, path);
        if (fd == -ELOOP)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED, "Cannot start pool '%s': cannot open %s: %s",
                                  ctx->pool->name, path, open_folder_problem(fd));
        return error_set_errno(ctx->error, fd, "Cannot start pool '%s': cannot read %s", ctx->pool->name, path);
}

static int dir_stop(BackendContext *ctx)
{
        return 0;
}

static const char *const dir_tools[] = {"qemu-img", NULL};

const Backend backend_dir = {
        .type = POOL_DIR,
        .tools = dir_tools,
        .check = dir_check,
        .build = dir_build,
        .start = dir_start,
        .stop = dir_stop,
        .delete = pool_folder_remove,
        .scan_new = dir_scan_new,
        .scan_free = dir_scan_free,
        .refresh = dir_scan_refresh,
        .watch = dir_scan_watch,
        .refresh_changes = dir_scan_refresh_changes,
        .scan_note = dir_scan_note,
        .volume_create = file_volume_create,
        .volume_fill = file_volume_fill,
        .volume_reserve = file_volume_reserve,
        .volume_publish = file_volume_publish,
        .volume_discard = file_volume_discard,
        .volume_delete = file_volume_delete,
        .volume_resize = file_volume_resize,
        .volume_open = file_volume_open,
        .volume_look = file_volume_look,
};
