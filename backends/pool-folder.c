/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/pool-folder.h"

#include <sys/stat.h>

#include "backends/file-volume.h"
#include "backends/safe-open.h"

#define PARENT_MODE 0755
#define LEAF_MODE 0711

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

int pool_folder_make(BackendContext *ctx, int *ret_fd, bool *ret_fresh)
{
        const char *path = ctx->pool->target_path;
        bool fresh;
        int r, fd;

        r = make_parents(ctx);
        if (r < 0)
                return r;
        fresh = mkdir(path, 0700) >= 0;
        if (!fresh && errno != EEXIST)
                return error_set_errno(ctx->error, errno, "Cannot make the folder %s of pool '%s'", path,
                                       ctx->pool->name);
        fd = open_folder_safely(path);
        if (fd == -ENOTDIR)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                         "Cannot build pool '%s': %s is there already and is not a folder",
                                         ctx->pool->name, path);
        if (fd == -ELOOP)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED, "Cannot build pool '%s': cannot open %s: %s",
                                  ctx->pool->name, path, open_folder_problem(fd));
        if (fd < 0)
                return error_set_errno(ctx->error, fd, "Cannot open the folder %s of pool '%s'", path,
                                       ctx->pool->name);
        *ret_fd = fd;
        *ret_fresh = fresh;
        return 0;
}

int pool_folder_set_up(BackendContext *ctx, int fd, bool fresh)
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

int pool_folder_remove(BackendContext *ctx)
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
