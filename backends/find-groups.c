/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/find-groups.h"

#include <blockdev/lvm.h>

#include "backends/blockdev-lib.h"

void found_groups_done(FoundGroups *groups)
{
        for (size_t i = 0; i < groups->n; i++) {
                free(groups->list[i].name);
                strv_free(groups->list[i].devices);
        }
        free(groups->list);
        *groups = (FoundGroups){0};
}

static FoundGroup *get_group(FoundGroups *groups, const BDLVMPVdata *pv)
{
        FoundGroup *more;
        char *name;

        for (size_t i = 0; i < groups->n; i++) {
                if (streq(groups->list[i].name, pv->vg_name))
                        return &groups->list[i];
        }
        name = strdup(pv->vg_name);
        more = name ? reallocarray(groups->list, groups->n + 1, sizeof(FoundGroup)) : NULL;
        if (!more) {
                free(name);
                return NULL;
        }
        groups->list = more;
        more[groups->n] = (FoundGroup){.name = name, .size = pv->vg_size, .n_devices = pv->vg_pv_count};
        return &more[groups->n++];
}

static int tell_device(FoundDevice *d, const char *vg)
{
        int r = free_and_strdup(&d->vg, vg);

        if (r < 0 || d->used_by)
                return r;
        if (asprintf(&d->used_by, "part of the volume group '%s'", vg) < 0) {
                d->used_by = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int add_volume(FoundDevices *devices, FoundGroups *groups, const BDLVMPVdata *pv)
{
        FoundDevice *d = pv->pv_name ? found_devices_find(devices, pv->pv_name) : NULL;
        FoundGroup *group;
        int r = 0;

        if (isempty(pv->vg_name))
                return 0;
        if (d)
                r = tell_device(d, pv->vg_name);
        group = r >= 0 ? get_group(groups, pv) : NULL;
        if (!group)
                return -ENOMEM;
        /* LVM calls one that is missing "[unknown]". */
        return startswith(strempty(pv->pv_name), "/")
                       ? strv_extend(&group->devices, d ? d->node : pv->pv_name)
                       : 0;
}

static bool has_physical_volumes(const FoundDevices *devices)
{
        for (size_t i = 0; i < devices->n; i++) {
                if (streq_ptr(devices->list[i].contents.type, "LVM2_member"))
                        return true;
        }
        return false;
}

int found_groups_get(BackendContext *ctx, FoundDevices *devices, FoundGroups *ret)
{
        FoundGroups groups = {0};
        BDLVMPVdata **list;
        g_autoptr(GError) gerror = NULL;
        int r;

        *ret = groups;
        if (!has_physical_volumes(devices))
                return 0;
        /* LVM reads all devices, and would wait for that one for ever. */
        if (devices->silent) {
                ret->unread = true;
                return 0;
        }
        r = blockdev_need(ctx, BD_PLUGIN_LVM);
        if (r < 0)
                return r;
        list = bd_lvm_pvs(&gerror);
        if (!list)
                return error_set_blockdev(ctx, &gerror, "Cannot list the volume groups");
        for (size_t i = 0; list[i]; i++) {
                if (r >= 0)
                        r = add_volume(devices, &groups, list[i]);
                bd_lvm_pvdata_free(list[i]);
        }
        g_free(list);
        if (r < 0) {
                found_groups_done(&groups);
                return error_set_errno(ctx->error, r, "Cannot list the volume groups");
        }
        *ret = groups;
        return 0;
}
