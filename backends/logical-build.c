/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Volume groups are made of devices, and unmade. */

#include <blockdev/exec.h>
#include <blockdev/lvm.h>
#include <sys/stat.h>

#include "backends/block-device.h"
#include "backends/blockdev-lib.h"
#include "backends/logical-member.h"
#include "backends/logical.h"

typedef struct Build {
        BackendContext *ctx;
        BlockDevice *devices;
        size_t n;
        size_t n_touched; /* of them: wiped, and perhaps physical volumes */
} Build;

static void build_done(Build *b)
{
        for (size_t i = 0; i < b->n; i++)
                block_device_done(&b->devices[i]);
        free(b->devices);
}

static int find_devices(Build *b)
{
        const PoolDef *pool = b->ctx->pool;

        if (pool->source.n_devices == 0)
                return error_setf(
                        b->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "Cannot build pool '%s': it has no source devices to make the volume group "
                        "of",
                        pool->name);
        b->devices = calloc(pool->source.n_devices, sizeof(BlockDevice));
        if (!b->devices)
                return error_set_errno(b->ctx->error, ENOMEM, "Cannot build pool '%s'", pool->name);
        while (b->n < pool->source.n_devices) {
                BlockDevice *dev = &b->devices[b->n];
                int r = block_device_find(b->ctx, pool->source.devices[b->n].path, dev);

                if (r < 0)
                        return r;
                for (size_t i = 0; i < b->n; i++) {
                        if (b->devices[i].devnum != dev->devnum)
                                continue;
                        r = error_setf(b->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                       "Cannot build pool '%s': %s and %s are the same device", pool->name,
                                       b->devices[i].path, dev->path);
                        block_device_done(dev);
                        return r;
                }
                b->n++;
        }
        return 0;
}

/* Never forced, as libblockdev does: what has become a part of somebody's group by now stays that. */
static int remove_pv(const char *node, GError **gerror)
{
        const char *argv[] = {"lvm", "pvremove", "--yes", node, NULL};

        return bd_utils_exec_and_report_error(argv, NULL, gerror) ? 0 : -EIO;
}

static int make_group(Build *b, bool overwrite)
{
        const BDExtraArg yes = {.opt = (char *) "--yes", .val = (char *) ""};
        const BDExtraArg *extra[] = {&yes, NULL};
        _cleanup_free_ const char **nodes = calloc(b->n + 1, sizeof(char *));
        const char *vg = b->ctx->pool->source.name;
        g_autoptr(GError) gerror = NULL;
        int r;

        if (!nodes)
                return error_set_errno(b->ctx->error, ENOMEM, "Cannot build pool '%s'", b->ctx->pool->name);
        while (b->n_touched < b->n) {
                const BlockDevice *dev = &b->devices[b->n_touched];

                r = block_device_wipe(b->ctx, dev, overwrite);
                if (r < 0)
                        return r;
                nodes[b->n_touched++] = dev->node;
                if (!bd_lvm_pvcreate(dev->node, 0, 0, extra, &gerror))
                        return error_set_blockdev(
                                b->ctx, &gerror,
                                "Cannot build pool '%s': cannot make a physical volume of %s",
                                b->ctx->pool->name, dev->path);
        }
        if (!bd_lvm_vgcreate(vg, nodes, 0, extra, &gerror))
                return error_set_blockdev(b->ctx, &gerror,
                                          "Cannot build pool '%s': cannot make the volume group %s",
                                          b->ctx->pool->name, vg);
        for (size_t i = 0; i < b->n; i++)
                block_device_settle(&b->devices[i]);
        return 0;
}

/* What was there before is lost already: then at least nothing of ours stays. */
static void unmake(Build *b)
{
        BackendContext quiet = *b->ctx;

        quiet.error = NULL;
        while (b->n_touched-- > 0) {
                const BlockDevice *dev = &b->devices[b->n_touched];
                /* libblockdev looks into it, wanted or not. */
                g_autoptr(GError) gerror = NULL;

                /* What is recognised on it after that is somebody else's. */
                (void) remove_pv(dev->node, &gerror);
                (void) block_device_wipe(&quiet, dev, false);
        }
}

static int require_new_group(BackendContext *ctx)
{
        LogicalGroup group = {0};
        int r;

        r = logical_group_read(ctx, &group);
        if (r == -ENOENT) {
                if (ctx->error)
                        sd_bus_error_free(ctx->error);
                return 0;
        }
        if (r < 0)
                return r;
        r = error_setf(
                ctx->error, STORAGE_ERROR_EXISTS,
                "Cannot build pool '%s': there is a volume group %s already; start the pool to use it",
                ctx->pool->name, group.name);
        logical_group_done(&group);
        return r;
}

int logical_build(BackendContext *ctx, const BuildOptions *options, bool *ret_made)
{
        Build b = {.ctx = ctx};
        int r;

        r = require_new_group(ctx);
        if (r >= 0)
                r = find_devices(&b);
        if (r >= 0)
                r = logical_require_groupless(ctx, b.devices, b.n);
        for (size_t i = 0; i < b.n && r >= 0; i++)
                r = block_device_require_writable(ctx, &b.devices[i], options->overwrite);
        if (r >= 0) {
                r = make_group(&b, options->overwrite);
                if (r < 0)
                        unmake(&b);
        }
        *ret_made = r >= 0;
        build_done(&b);
        return r;
}

static int require_no_volumes(BackendContext *ctx, const LogicalGroup *group)
{
        const LogicalLv *some = NULL;
        size_t n = 0;

        for (size_t i = 0; i < group->n_lvs; i++) {
                const LogicalLv *lv = &group->lvs[i];
                int r = lv->hidden ? 0 : logical_require_closed(ctx, lv, "cannot go with its pool");

                if (r < 0)
                        return r;
                if (lv->hidden || lv->unfinished)
                        continue;
                some = some ?: lv;
                n++;
        }
        if (n == 0)
                return 0;
        return error_setf(
                ctx->error, STORAGE_ERROR_HAS_DEPENDENTS,
                "Cannot delete pool '%s': the volume group %s has %zu volumes, such as '%s'; start "
                "the pool and delete them first",
                ctx->pool->name, group->name, n, some->name);
}

/* Only what is the pool's: a device that somebody else added to the group is not. */
static int require_own_devices(BackendContext *ctx, const LogicalGroup *group)
{
        const PoolSource *source = &ctx->pool->source;

        if (logical_group_n_missing(group) > 0)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Cannot delete pool '%s': devices of the volume group %s are missing, and "
                                  "would bring it back when they return",
                                  ctx->pool->name, group->name);
        for (size_t i = 0; i < group->n_pvs && source->n_devices > 0; i++) {
                struct stat st, listed;
                bool known = stat(group->pvs[i].device, &st) < 0;

                for (size_t j = 0; j < source->n_devices && !known; j++)
                        known = stat(source->devices[j].path, &listed) >= 0 && listed.st_rdev == st.st_rdev;
                if (!known)
                        return error_setf(
                                ctx->error, STORAGE_ERROR_FAILED,
                                "Cannot delete pool '%s': %s was added to the volume group %s and "
                                "is no device of the pool; add it to the definition or take it out "
                                "by vgreduce",
                                ctx->pool->name, group->pvs[i].device, group->name);
        }
        return 0;
}

/* What is no volume goes with the group: thin pools without volumes, leftovers. */
static int remove_rest(BackendContext *ctx, const LogicalGroup *group)
{
        for (size_t i = 0; i < group->n_lvs; i++) {
                const LogicalLv *lv = &group->lvs[i];
                int r = lv->thin_pool || lv->unfinished
                                ? logical_remove_exactly(ctx, lv->name, group->uuid, lv->uuid)
                                : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int remove_group(BackendContext *ctx, const LogicalGroup *group)
{
        g_autoptr(GError) gerror = NULL;
        int r;

        r = remove_rest(ctx, group);
        if (r >= 0)
                r = logical_remove_group(ctx, group->uuid);
        if (r < 0)
                return r;
        for (size_t i = 0; i < group->n_pvs; i++) {
                if (remove_pv(group->pvs[i].device, &gerror) < 0)
                        return error_set_blockdev(
                                ctx, &gerror,
                                "The volume group %s of pool '%s' was deleted, but not the physical volume "
                                "on %s",
                                group->name, ctx->pool->name, group->pvs[i].device);
        }
        return 0;
}

int logical_delete(BackendContext *ctx)
{
        LogicalGroup group = {0};
        int r;

        r = logical_group_read(ctx, &group);
        if (r < 0)
                return r;
        r = require_no_volumes(ctx, &group);
        if (r >= 0)
                r = require_own_devices(ctx, &group);
        if (r >= 0)
                r = remove_group(ctx, &group);
        logical_group_done(&group);
        return r;
}
