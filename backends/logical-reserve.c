/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Volumes whose contents come from elsewhere. They have their tag until these are whole; whoever works on
 * one has it open, so that nobody takes it for a leftover.
 */

#include <fcntl.h>
#include <inttypes.h>

#include "backends/logical.h"

/* "logical/1/name": 1 if a thin pool was made for it, 0 if not. */
#define TOKEN_PREFIX "logical/"

static int open_made(BackendContext *ctx, const char *name, int *ret_fd)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s", ctx->pool->target_path, name) < 0) {
                path = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot make volume '%s'", name);
        }
        *ret_fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
        return *ret_fd >= 0 ? 0
                            : error_set_errno(ctx->error, errno, "Cannot open the new volume '%s'", name);
}

int logical_volume_reserve(BackendContext *ctx, const VolumeDef *def, const char *token, CreateResult *ret)
{
        LogicalUnfinished made = {0};
        CreateResult result = {.fd = -EBADF};
        int r;

        r = logical_make_unfinished(ctx, def, &made);
        if (r < 0)
                return r;
        result.zero = made.zero;
        r = open_made(ctx, def->name, &result.fd);
        if (r >= 0 && asprintf(&result.token, TOKEN_PREFIX "%i/%s", made.new_pool, def->name) < 0) {
                result.token = NULL;
                r = error_set_errno(ctx->error, ENOMEM, "Cannot make volume '%s'", def->name);
        }
        if (r < 0) {
                create_result_done(&result);
                logical_undo(ctx, def->name, made.new_pool);
                return r;
        }
        *ret = result;
        return 0;
}

static int split_token(BackendContext *ctx, const char *token, bool *ret_new_pool, const char **ret_name)
{
        const char *rest = startswith(token, TOKEN_PREFIX);

        if (!rest || (rest[0] != '0' && rest[0] != '1') || rest[1] != '/')
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "The token names no volume that is being made");
        *ret_new_pool = rest[0] == '1';
        *ret_name = rest + 2;
        return logical_name_validate(ctx, rest + 2);
}

int logical_volume_publish(BackendContext *ctx, const char *token, VolumeRow *ret)
{
        const char *name;
        bool new_pool;
        int r;

        r = split_token(ctx, token, &new_pool, &name);
        return r < 0 ? r : logical_finish(ctx, name, new_pool, ret);
}

int logical_volume_discard(BackendContext *ctx, const char *token)
{
        const char *name;
        bool new_pool;
        int r;

        r = split_token(ctx, token, &new_pool, &name);
        if (r < 0)
                return r;
        logical_undo(ctx, name, new_pool);
        return 0;
}
