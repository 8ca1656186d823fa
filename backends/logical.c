/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/logical.h"

#include <blockdev/lvm.h>
#include <sys/stat.h>

#include "backends/block-device.h"
#include "backends/block-luks.h"
#include "backends/blockdev-lib.h"
#include "backends/find-sources.h"
#include "backends/logical-kernel.h"

/* Volumes that a message names at most. */
#define NAMED_MAX 5U

/* Whether one of the devices that the pool is said to be made of belongs to the group; without any, yes. */
static bool has_listed_device(const PoolDef *pool, const LogicalGroup *group)
{
        bool any = false;

        for (size_t i = 0; i < pool->source.n_devices; i++) {
                struct stat listed, st;

                /* One that is not there tells nothing. */
                if (stat(pool->source.devices[i].path, &listed) < 0 || !S_ISBLK(listed.st_mode))
                        continue;
                any = true;
                for (size_t j = 0; j < group->n_pvs; j++) {
                        const char *device = group->pvs[j].device;

                        if (device && stat(device, &st) >= 0 && st.st_rdev == listed.st_rdev)
                                return true;
                }
        }
        return !any;
}

/* A group without volumes has nothing that could be active: it is as good as started. */
static bool is_active(const LogicalGroup *group)
{
        bool any = false;

        for (size_t i = 0; i < group->n_lvs; i++) {
                if (group->lvs[i].hidden)
                        continue;
                if (logical_lv_is_active(&group->lvs[i]))
                        return true;
                any = true;
        }
        return !any;
}

static int logical_check(BackendContext *ctx, bool *ret_active)
{
        LogicalGroup group = {0};
        int r;

        *ret_active = false;
        r = logical_group_read(ctx, &group);
        if (r == -ENOENT) {
                if (ctx->error)
                        sd_bus_error_free(ctx->error);
                return 0;
        }
        if (r < 0)
                return r;
        *ret_active = has_listed_device(ctx->pool, &group) && is_active(&group);
        logical_group_done(&group);
        return 0;
}

static int activate(BackendContext *ctx, const LogicalGroup *group)
{
        g_autoptr(GError) gerror = NULL;

        if (!has_listed_device(ctx->pool, group))
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Cannot start pool '%s': there is a volume group %s, but on none of the "
                                  "devices of the pool; correct the definition",
                                  ctx->pool->name, group->name);
        if (bd_lvm_vgactivate(group->name, NULL, &gerror))
                return 0;
        /* What lies on devices that are there is of use: what does not is told as a problem. */
        if (logical_group_n_missing(group) > 0)
                return 0;
        return error_set_blockdev(ctx, &gerror, "Cannot start pool '%s'", ctx->pool->name);
}

/* Appends ", PATH is blank" and so on: what there is on a device that should be a part of the group. */
static int describe_device(BackendContext *ctx, const char *path, char **words)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        _cleanup_(block_contents_done) BlockContents c = {0};
        _cleanup_free_ char *what = NULL;
        BackendContext quiet = *ctx;
        const char *is = "is not there";
        char *more;

        quiet.error = NULL;
        if (block_device_find(&quiet, path, &dev) >= 0) {
                if (block_device_probe(&quiet, &dev, &c) < 0)
                        is = "cannot be read";
                else if (block_contents_describe(&c, &what) < 0)
                        return -ENOMEM;
                else
                        is = what ? "holds " : "is blank";
        }
        if (asprintf(&more, "%s%s%s %s%s", strempty(*words), *words ? ", " : "", path, is, strempty(what)) <
            0)
                return -ENOMEM;
        free(*words);
        *words = more;
        return 0;
}

/* Also what a build that was cut short leaves: physical volumes without a group. */
static int no_group(BackendContext *ctx)
{
        const PoolSource *source = &ctx->pool->source;
        _cleanup_free_ char *words = NULL;

        sd_bus_error_free(ctx->error);
        for (size_t i = 0; i < source->n_devices; i++) {
                if (describe_device(ctx, source->devices[i].path, &words) < 0)
                        return error_set_errno(ctx->error, ENOMEM, "Cannot start pool '%s'",
                                               ctx->pool->name);
        }
        if (!words)
                return error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND,
                                  "Cannot start pool '%s': there is no volume group %s, or none of its "
                                  "devices is there",
                                  ctx->pool->name, source->name);
        return error_setf(
                ctx->error, STORAGE_ERROR_NOT_FOUND,
                "Cannot start pool '%s': there is no volume group %s (%s); build the pool to make it",
                ctx->pool->name, source->name, words);
}

static int logical_start(BackendContext *ctx)
{
        LogicalGroup group = {0};
        int r;

        r = logical_group_read_devices(ctx, &group);
        if (r == -ENOENT)
                return no_group(ctx);
        if (r >= 0)
                r = activate(ctx, &group);
        logical_group_done(&group);
        return r;
}

static int add_user(BackendContext *ctx, const LogicalLv *lv, size_t n, char **words)
{
        _cleanup_free_ char *who = NULL;
        char *more;

        if (n > NAMED_MAX)
                return 0;
        if (logical_describe_use(ctx, lv->name, &who) < 0 && ctx->error)
                sd_bus_error_free(ctx->error);
        if ((n == NAMED_MAX ? asprintf(&more, "%s, and more", *words)
                            : asprintf(&more, "%s%s'%s' (%s)", strempty(*words), *words ? ", " : "",
                                       lv->name, who ?: "somebody has it open")) < 0)
                return -ENOMEM;
        free(*words);
        *words = more;
        return 0;
}

/* Nothing is done by halves: all are asked before the first is deactivated. */
static int require_all_closed(BackendContext *ctx, const LogicalGroup *group)
{
        _cleanup_free_ char *words = NULL;
        size_t n = 0;

        for (size_t i = 0; i < group->n_lvs; i++) {
                const LogicalLv *lv = &group->lvs[i];

                if (!lv->hidden && logical_lv_is_open(lv) && add_user(ctx, lv, n++, &words) < 0)
                        return error_set_errno(ctx->error, ENOMEM, "Cannot stop pool '%s'", ctx->pool->name);
        }
        if (!words)
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_IN_USE, "Cannot stop pool '%s': in use are %s",
                          ctx->pool->name, words);
}

/* Those that were active, as they were: others may be off because somebody wants them to be. */
static void reactivate(const LogicalGroup *group, char *const *names)
{
        char *const *name;

        STRV_FOREACH (name, names) {
                const LogicalLv *lv = logical_group_find(group, *name);
                /* libblockdev looks into it, wanted or not. */
                g_autoptr(GError) gerror = NULL;

                if (lv && !lv->hidden && !logical_lv_is_active(lv))
                        (void) bd_lvm_lvactivate(group->name, *name, true, NULL, &gerror);
        }
}

/* Who has what open is asked of lvm if anything is: parts of arrays are open as long as these are active. */
static int require_closed(BackendContext *ctx, char *const *active)
{
        LogicalGroup group = {0};
        int r;

        r = logical_group_read(ctx, &group);
        if (r >= 0) {
                reactivate(&group, active);
                r = require_all_closed(ctx, &group);
        }
        logical_group_done(&group);
        return r;
}

static int deactivate(BackendContext *ctx, char *const *active)
{
        g_autoptr(GError) gerror = NULL;
        int r;

        if (bd_lvm_vgdeactivate(ctx->pool->source.name, NULL, &gerror))
                return 0;
        /* Somebody may have opened one just now. */
        r = require_closed(ctx, active);
        return r < 0 ? r : error_set_blockdev(ctx, &gerror, "Cannot stop pool '%s'", ctx->pool->name);
}

static int logical_stop(BackendContext *ctx)
{
        LogicalActive active = {0};
        int r;

        r = blockdev_need(ctx, BD_PLUGIN_LVM);
        if (r < 0)
                return r;
        /* If the kernel does not tell, lvm does. */
        if (logical_kernel_list_active(ctx->pool->source.name, &active) < 0)
                active.open = active.others = true;
        if (active.open)
                r = require_closed(ctx, NULL);
        /* lvm reads the group for a while also to do nothing. */
        if (r >= 0 && (active.volumes || active.others))
                r = deactivate(ctx, active.volumes);
        logical_active_done(&active);
        if (r != -ENOENT)
                return r;
        /* Its devices are gone, and it is as much stopped as it can be. */
        if (ctx->error)
                sd_bus_error_free(ctx->error);
        return 0;
}

static const char *const logical_tools[] = {"lvm", "thin_check", NULL};

const Backend backend_logical = {
        .type = POOL_LOGICAL,
        .needs_root = true,
        .tools = logical_tools,
        .find_sources = find_logical_sources,
        .check = logical_check,
        .build = logical_build,
        .start = logical_start,
        .stop = logical_stop,
        .delete = logical_delete,
        .scan_new = logical_scan_new,
        .scan_free = logical_scan_free,
        .refresh = logical_scan_refresh,
        .watch = logical_scan_watch,
        .refresh_changes = logical_scan_refresh,
        .scan_note = logical_scan_note,
        .volume_create = logical_volume_create,
        .volume_fill = block_luks_fill,
        .volume_reserve = logical_volume_reserve,
        .volume_publish = logical_volume_publish,
        .volume_discard = logical_volume_discard,
        .volume_delete = logical_volume_delete,
        .volume_resize = logical_volume_resize,
        .volume_open = logical_volume_open,
        .volume_look = logical_volume_look,
};
