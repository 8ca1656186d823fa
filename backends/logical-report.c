/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/logical-report.h"

#include <blockdev/exec.h>
#include <sys/stat.h>

#include "backends/blockdev-lib.h"

/* Names that a message tells at most. */
#define NAMES_SHOWN 5U

static void find_devices(LogicalGroup *group)
{
        struct stat st;

        for (size_t i = 0; i < group->n_pvs; i++) {
                if (group->pvs[i].device && stat(group->pvs[i].device, &st) >= 0)
                        group->pvs[i].devnum = st.st_rdev;
        }
}

static int read_group(BackendContext *ctx, const char **argv, LogicalGroup *ret)
{
        const char *vg = ctx->pool->source.name;
        g_autoptr(GError) gerror = NULL;
        g_autofree gchar *json = NULL;
        int r;

        r = blockdev_need(ctx, BD_PLUGIN_LVM);
        if (r < 0)
                return r;
        if (!bd_utils_exec_and_capture_output(argv, NULL, &json, &gerror)) {
                if (!strstr(gerror->message, "not found"))
                        return error_set_blockdev(ctx, &gerror,
                                                  "Cannot read the volume group %s of pool '%s'", vg,
                                                  ctx->pool->name);
                r = -ENOENT;
        } else
                r = logical_group_parse(json, ret);
        if (r >= 0)
                find_devices(ret);
        if (r == -ENOENT)
                return error_setf(
                        ctx->error, STORAGE_ERROR_NOT_FOUND,
                        "There is no volume group %s of pool '%s', or none of its devices is there", vg,
                        ctx->pool->name);
        return r < 0 ? error_set_errno(ctx->error, r,
                                       "Cannot understand what lvm says of the volume group %s", vg)
                     : 0;
}

int logical_group_read(BackendContext *ctx, LogicalGroup *ret)
{
        const char *argv[LOGICAL_REPORT_ARGS_MAX];

        logical_report_argv(ctx->pool->source.name, argv);
        return read_group(ctx, argv, ret);
}

int logical_group_read_devices(BackendContext *ctx, LogicalGroup *ret)
{
        const char *argv[LOGICAL_REPORT_ARGS_MAX];

        logical_devices_argv(ctx->pool->source.name, argv);
        return read_group(ctx, argv, ret);
}

int logical_group_require(BackendContext *ctx, const LogicalGroup *group, const char *name,
                          const LogicalLv **ret)
{
        const LogicalLv *lv = logical_group_find(group, name);

        if (!lv || lv->hidden || lv->unfinished)
                return error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND,
                                  "There is no volume '%s' in pool '%s'", name, ctx->pool->name);
        *ret = lv;
        return 0;
}

size_t logical_group_n_missing(const LogicalGroup *group)
{
        size_t n = 0;

        for (size_t i = 0; i < group->n_pvs; i++)
                n += !group->pvs[i].device;
        return n;
}

uint64_t logical_part_of(uint64_t size, uint32_t percent)
{
        return size / 10000 * percent + size % 10000 * percent / 10000;
}

uint64_t logical_lv_allocation(const LogicalLv *lv)
{
        bool counted = lv->thick_snapshot || lv->pool || lv->thin_pool;

        if (!counted)
                return lv->stored;
        /* LVM does not know it of those that are not active. */
        return lv->data_percent == LOGICAL_PERCENT_UNKNOWN ? 0
                                                           : logical_part_of(lv->stored, lv->data_percent);
}

int logical_dependents(const LogicalGroup *group, const LogicalLv *lv, char **ret)
{
        _cleanup_free_ char *words = NULL;
        size_t n = 0;

        for (size_t i = 0; i < group->n_lvs && n <= NAMES_SHOWN; i++) {
                const LogicalLv *other = &group->lvs[i];
                char *more;

                if (!streq_ptr(other->origin, lv->name) || other->hidden)
                        continue;
                if ((n++ == NAMES_SHOWN ? asprintf(&more, "%s and more", words)
                                        : asprintf(&more, "%s%s'%s'", strempty(words), words ? ", " : "",
                                                   other->name)) < 0)
                        return -ENOMEM;
                free(words);
                words = more;
        }
        *ret = TAKE_PTR(words);
        return 0;
}
