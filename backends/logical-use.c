/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who has a logical volume open. */

#include "backends/block-device.h"
#include "backends/logical.h"

int logical_find_users(BackendContext *ctx, const char *name, UserList *ret)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", ctx->pool->target_path, name) < 0) {
                path = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot find out who uses volume '%s'", name);
        }
        r = block_device_find(ctx, path, &dev);
        if (r < 0)
                return r;
        r = user_list_find_device(dev.devnum, dev.node, ret);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot find out who uses volume '%s'", name) : 0;
}

int logical_describe_use(BackendContext *ctx, const char *name, char **ret)
{
        UserList users = {0};
        int r;

        r = logical_find_users(ctx, name, &users);
        if (r < 0)
                return r;
        r = user_list_describe(&users, ret);
        user_list_done(&users);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot find out who uses volume '%s'", name) : 0;
}

int logical_refuse_open(BackendContext *ctx, const char *name, const char *verb)
{
        _cleanup_free_ char *words = NULL;

        if (logical_describe_use(ctx, name, &words) < 0 && ctx->error)
                sd_bus_error_free(ctx->error);
        return error_setf(ctx->error, STORAGE_ERROR_IN_USE, "Volume '%s' of pool '%s' %s: it is in use: %s",
                          name, ctx->pool->name, verb, words ?: "somebody has it open");
}

int logical_require_closed(BackendContext *ctx, const LogicalLv *lv, const char *verb)
{
        return logical_lv_is_open(lv) ? logical_refuse_open(ctx, lv->name, verb) : 0;
}
