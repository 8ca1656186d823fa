/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "backends/dir-scan.h"
#include "backends/file-volume.h"

#define PARENT_MODE 0755
#define LEAF_MODE 0711

static int dir_check(BackendContext *ctx, bool *ret_active)
{
        struct stat st;

        *ret_active = stat(ctx->pool->target_path, &st) >= 0 && S_ISDIR(st.st_mode);
        return 0;
}

static int make_parents(BackendContext *ctx)
{
        _cleanup_free_ char *path = strdup(ctx->pool->target_path);

        if (!path)
                return error_set_errno(ctx->error, ENOMEM, "Cannot build pool '%s'", ctx->pool->name);
        for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
                *p = 0;
                if (mkdir(path, PARENT_MODE) < 0 && errno != EEXIST)
                        return error_set_errno(ctx->error, errno, "Cannot make the folder %s for pool '%s'",
                                               path, ctx->pool->name);
                *p = '/';
        }
        return 0;
}

/* An existing folder changes only as far as the definition says something. */
static int set_up_leaf(BackendContext *ctx, int fd, bool fresh)
{
        const Permissions *p = &ctx->pool->permissions;
        const char *path = ctx->pool->target_path;
        uint32_t mode = p->mode != MODE_UNSET ? p->mode : LEAF_MODE;

        if (ctx->pool->cow == TRISTATE_NO) {
                int r = file_set_nocow(ctx, fd, path);

                if (r < 0)
                        return r;
        }
        if ((p->owner != ID_UNSET || p->group != ID_UNSET) && fchown(fd, p->owner, p->group) < 0)
                return error_set_errno(ctx->error, errno, "Cannot change the owner of %s", path);
        if ((fresh || p->mode != MODE_UNSET) && fchmod(fd, mode) < 0)
                return error_set_errno(ctx->error, errno, "Cannot change the mode of %s", path);
        return 0;
}

static int dir_build(BackendContext *ctx, const BuildOptions *options, bool *ret_made)
{
        const char *path = ctx->pool->target_path;
        _cleanup_close_ int fd = -EBADF;
        bool fresh;
        int r;

        r = make_parents(ctx);
        if (r < 0)
                return r;
        fresh = mkdir(path, 0700) >= 0;
        if (!fresh && errno != EEXIST)
                return error_set_errno(ctx->error, errno, "Cannot make the folder %s of pool '%s'", path,
                                       ctx->pool->name);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOTDIR)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                         "Cannot build pool '%s': %s is there already and is not a folder",
                                         ctx->pool->name, path);
        if (fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot open the folder %s of pool '%s'", path,
                                       ctx->pool->name);
        r = set_up_leaf(ctx, fd, fresh);
        if (r < 0 && fresh)
                (void) rmdir(path);
        *ret_made = r >= 0 && fresh;
        return r;
}

static int dir_start(BackendContext *ctx)
{
        const char *path = ctx->pool->target_path;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0)
                return 0;
        if (errno == ENOTDIR)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                         "Cannot start pool '%s': %s is not a folder", ctx->pool->name,
                                         path);
        if (errno == ENOENT)
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_NOT_FOUND,
                        "Cannot start pool '%s': there is no folder %s; build the pool to make it",
                        ctx->pool->name, path);
        return error_set_errno(ctx->error, errno, "Cannot start pool '%s': cannot read %s", ctx->pool->name,
                               path);
}

static int dir_stop(BackendContext *ctx)
{
        return 0;
}

static int dir_delete(BackendContext *ctx)
{
        const char *path = ctx->pool->target_path;

        if (rmdir(path) >= 0)
                return 0;
        if (errno == ENOTEMPTY || errno == EEXIST)
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_FAILED,
                        "Cannot delete pool '%s': the folder %s is not empty; remove what is in it "
                        "first",
                        ctx->pool->name, path);
        return error_set_errno(ctx->error, errno, "Cannot delete the folder %s of pool '%s'", path,
                               ctx->pool->name);
}

static const char *const dir_tools[] = {"qemu-img", NULL};

const Backend backend_dir = {
        .type = POOL_DIR,
        .tools = dir_tools,
        .check = dir_check,
        .build = dir_build,
        .start = dir_start,
        .stop = dir_stop,
        .delete = dir_delete,
        .scan_new = dir_scan_new,
        .scan_free = dir_scan_free,
        .refresh = dir_scan_refresh,
        .watch = dir_scan_watch,
        .refresh_changes = dir_scan_refresh_changes,
        .scan_note = dir_scan_note,
        .volume_create = file_volume_create,
        .volume_fill = file_volume_fill,
        .volume_publish = file_volume_publish,
        .volume_discard = file_volume_discard,
        .volume_delete = file_volume_delete,
        .volume_resize = file_volume_resize,
        .volume_open = file_volume_open,
};
