/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <blockdev/exec.h>

#include "backends/blockdev-lib.h"
#include "backends/logical.h"

/*
 * Told to remove a volume, lvm removes its snapshots with it, and with a thin pool all of its volumes. What
 * was seen of them a moment ago is no reason to: these conditions hold at the moment of the removal.
 */
#define NOTHING_UPON_IT "lv_role!=origin && !(thin_count>0)"

/* 1: it is gone, 0: there is none like that, negative: *gerror says why not. */
static int run(const char *verb, const char *object, const char *select, GError **gerror)
{
        const char *argv[] = {"lvm",  verb,   "--config", "log{silent=0}", "--yes", "--select",
                              select, object, NULL};
        g_autofree gchar *said = NULL;

        if (bd_utils_exec_and_capture_output(argv, NULL, &said, gerror))
                return 1;
        /* It says what it removed, and nothing if that was nothing. */
        return g_error_matches(*gerror, BD_UTILS_EXEC_ERROR, BD_UTILS_EXEC_ERROR_NOOUT) ||
                               strstr((*gerror)->message, "Failed to find logical volume")
                       ? 0
                       : -EIO;
}

static int run_lvremove(BackendContext *ctx, const char *name, const char *select, GError **gerror)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s", ctx->pool->source.name, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return run("lvremove", path, select, gerror);
}

/* A pool is whole as soon as it is there, and what others keep in it is theirs. 1: it is one. */
static int untag_used_pool(BackendContext *ctx, const char *name)
{
        _cleanup_free_ char *path = NULL;
        const char *argv[] = {"lvm",      "lvchange",
                              "--config", "log{silent=0} " LOGICAL_NO_ARCHIVE,
                              "--deltag", LOGICAL_UNFINISHED_TAG,
                              "--select", "lv_tags=" LOGICAL_UNFINISHED_TAG " && thin_count>0",
                              NULL,       NULL};
        /* libblockdev looks into both, wanted or not. */
        g_autoptr(GError) gerror = NULL;
        g_autofree gchar *said = NULL;

        if (asprintf(&path, "%s/%s", ctx->pool->source.name, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        argv[8] = path;
        return bd_utils_exec_and_capture_output(argv, NULL, &said, &gerror);
}

int logical_remove_unfinished(BackendContext *ctx, const char *name)
{
        g_autoptr(GError) gerror = NULL;
        int r;

        r = run_lvremove(ctx, name, "lv_tags=" LOGICAL_UNFINISHED_TAG " && " NOTHING_UPON_IT, &gerror);
        if (r == 0)
                r = untag_used_pool(ctx, name);
        return r < 0 ? r : r > 0 ? 0 : -EBUSY;
}

int logical_remove_exactly(BackendContext *ctx, const char *name, const char *vg_uuid, const char *lv_uuid)
{
        _cleanup_free_ char *select = NULL;
        g_autoptr(GError) gerror = NULL;
        int r;

        if (asprintf(&select, "vg_uuid=\"%s\" && lv_uuid=\"%s\" && " NOTHING_UPON_IT, vg_uuid, lv_uuid) <
            0) {
                select = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot delete volume '%s'", name);
        }
        r = run_lvremove(ctx, name, select, &gerror);
        if (r >= 0)
                return r;
        if (gerror && strstr(gerror->message, "in use"))
                return logical_refuse_open(ctx, name, "cannot be deleted");
        return error_set_blockdev(ctx, &gerror, "Cannot delete volume '%s' of pool '%s'", name,
                                  ctx->pool->name);
}

int logical_remove_group(BackendContext *ctx, const char *vg_uuid)
{
        _cleanup_free_ char *select = NULL;
        g_autoptr(GError) gerror = NULL;
        int r;

        if (asprintf(&select, "vg_uuid=\"%s\" && lv_count=0", vg_uuid) < 0) {
                select = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot delete pool '%s'", ctx->pool->name);
        }
        r = run("vgremove", ctx->pool->source.name, select, &gerror);
        if (r > 0)
                return 0;
        if (r < 0)
                return error_set_blockdev(ctx, &gerror, "Cannot delete pool '%s'", ctx->pool->name);
        return error_setf(
                ctx->error, STORAGE_ERROR_HAS_DEPENDENTS,
                "Cannot delete pool '%s': there are logical volumes in the volume group %s; remove "
                "them first",
                ctx->pool->name, ctx->pool->source.name);
}
